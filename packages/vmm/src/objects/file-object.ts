/**
 * A file behind the page cache: one object per backing, however often it is mapped, so that all mappings, `read` and `write` agree at once.
 *
 * Pages enter by faults and reads, become dirty by stores, and are written back by {@link FileObject.sync}, by age, or when they must leave. A page whose
 * write fails stays dirty; the error is told once to each caller of `sync` that had not heard of it.
 */
import type { Core } from "../core.ts";
import { isVmmError } from "../errors.ts";
import { PAGE_DIRTY } from "../pages/pages.ts";
import type { BackingStore, IoOutcome } from "../ports.ts";
import { PAGE_SIZE, TABLE_PAGES } from "../units.ts";
import { CachedFile, type SyncCursor } from "./cached-file.ts";
import { SUPPLY_BUS, SUPPLY_NO_MEMORY, demandSize } from "./object.ts";

/** Pages written in one call at most, when they lie in a row. */
export const CLUSTER_PAGES = 32;

/** A file in the page cache. */
export class FileObject extends CachedFile {
  readonly #backing: BackingStore;
  /** Bytes on their way between the store and frames, while it is asked or about to be. */
  readonly #cluster: Uint8Array = new Uint8Array(CLUSTER_PAGES * PAGE_SIZE);
  /** Whether the store is being asked: one whose bytes lie in memory of this manager may need frames for that, and no page of this file leaves for them that would have to be written. */
  #isAsking = false;
  #size: number;

  /** The object of a backing store. */
  constructor(core: Core, backing: BackingStore) {
    super(core);
    this.#backing = backing;
    this.#size = backing.size();
  }

  /** Bytes of the file now. */
  get size(): number {
    return this.#size;
  }

  /** See {@link MemoryObject.supply}: the bytes of the file. */
  supply(index: number): number {
    if (index * PAGE_SIZE >= this.#size || this.#isAsking) return SUPPLY_BUS;
    const { core } = this;
    const pfn = core.keeper.take();
    if (pfn < 0) return SUPPLY_NO_MEMORY;
    const bytes = this.#cluster.subarray(0, PAGE_SIZE);
    if (!this.#readPage(index, bytes)) {
      core.keeper.giveUnused(pfn);
      core.stats.ioErrors++;
      return SUPPLY_BUS;
    }
    core.window.write(pfn, 0, bytes);
    this.supplyRead = true;
    const page = this.adopt(index, pfn);
    core.tally.fetched(page, "fileReads");
    return page;
  }

  /** See {@link MemoryObject.canFillBlock}: the last page of the file is never among them, so its tail needs no care. */
  override canFillBlock(index: number): boolean {
    if ((index + TABLE_PAGES) * PAGE_SIZE > this.#size) return false;
    let resident = false;
    this.pages.forEach(index, index + TABLE_PAGES, (page) => (resident ||= this.core.pages.isResident(page)));
    return !resident;
  }

  /** See {@link MemoryObject.fillBlock}: the bytes of the file, read in clusters. */
  override fillBlock(index: number, pfn: number): boolean {
    const cluster = this.#cluster;
    for (let at = 0; at < TABLE_PAGES; at += CLUSTER_PAGES) {
      if (this.#ask((backing) => backing.read((index + at) * PAGE_SIZE, cluster)) !== "ok") {
        this.core.stats.ioErrors++;
        return false;
      }
      for (let page = 0; page < CLUSTER_PAGES; page++)
        this.core.window.write(pfn + at + page, 0, cluster.subarray(page * PAGE_SIZE, (page + 1) * PAGE_SIZE));
    }
    return true;
  }

  /**
   * See {@link MemoryObject.writeBack}: the page, whose dirty bits have been harvested, and the dirty ones beside it in its cluster, which then leave without a write.
   * Where other processors may run while bits are harvested, the page alone.
   */
  override writeBack(page: number): IoOutcome {
    const run = this.core.interleaving === null ? this.#runAround(page) : [page];
    const first = run[0] ?? page;
    if (run.length > 1) {
      const start = this.core.pages.index[first]!;
      this.harvestDirty(start, start + run.length);
      if (this.#writeRun(run) === run.length) return "ok";
    }
    return this.#writeRun([page]) === 1 ? "ok" : "failed";
  }

  /** The dirty pages around a page, in a row and within one cluster. */
  #runAround(page: number): number[] {
    const index = this.core.pages.index[page]!;
    const base = Math.floor(index / CLUSTER_PAGES) * CLUSTER_PAGES;
    const run = [page];
    for (let at = index - 1; at >= base; at--) {
      const before = this.pages.get(at);
      if (!this.dirty.has(before)) break;
      run.unshift(before);
    }
    for (let at = index + 1; at < base + CLUSTER_PAGES; at++) {
      const after = this.pages.get(at);
      if (!this.dirty.has(after)) break;
      run.push(after);
    }
    return run;
  }

  /**
   * Writes the dirty pages that begin in bytes `[start, end)` and makes them durable. `failed` where one of them could not be written, now or since the
   * cursor was last used; they stay dirty.
   */
  sync(cursor: SyncCursor, start = 0, end: number = Number.MAX_SAFE_INTEGER): IoOutcome {
    this.demandAlive();
    this.flushRange(Math.floor(start / PAGE_SIZE), Math.ceil(end / PAGE_SIZE));
    if (this.#ask((backing) => backing.sync()) !== "ok") this.noteError();
    return this.tell(cursor) ? "failed" : "ok";
  }

  /** Writes the dirty pages of `[start, end)`, in clusters; returns how many became clean. */
  flushRange(start: number, end: number): number {
    this.harvestDirty(start, end);
    return this.#writeClusters(this.dirtyWithin(start, end));
  }

  /** Writes the pages that have been dirty since before `moment` (nanoseconds of the clock); returns how many became clean. */
  flushOlderThan(moment: number): number {
    this.harvestDirty(0, Number.MAX_SAFE_INTEGER);
    return this.#writeClusters(this.dirtyBefore(moment));
  }

  /** Sets the size of the file. Nothing changes unless the backing agrees. */
  resize(bytes: number): IoOutcome {
    this.demandAlive();
    demandSize(bytes);
    this.settle();
    const before = this.#size;
    if (bytes < before) this.#size = bytes;
    const outcome = this.#ask((backing) => backing.resize(bytes));
    if (outcome !== "ok") {
      this.#size = before;
      return outcome;
    }
    this.#size = bytes;
    this.resized(before, bytes);
    return "ok";
  }

  /**
   * See {@link MemoryObject.punch}; the store is written first, and before anybody else runs pages that are in frames follow, so that nobody writes what was there.
   * `failed`: only the zeroes before the error are there.
   */
  override punch(start: number, end: number): "ok" | "failed" {
    this.demandAlive();
    for (const offset of [start, end]) demandSize(offset);
    const stop = Math.min(end, this.#size);
    const zeroes = new Uint8Array(PAGE_SIZE);
    let at = start;
    for (let isTaken = true; at < stop && isTaken;) {
      const offset = at;
      const bytes = Math.min(PAGE_SIZE - (at % PAGE_SIZE), stop - at);
      isTaken = this.#ask((backing) => backing.write(offset, zeroes.subarray(0, bytes))) === "ok";
      if (isTaken) at += bytes;
    }
    const first = Math.min(Math.ceil(start / PAGE_SIZE) * PAGE_SIZE, at);
    const last = Math.max(Math.floor(at / PAGE_SIZE) * PAGE_SIZE, first);
    this.zeroInFrame(start, first);
    this.zeroInFrame(last, at);
    if (first < last) this.dropPages(first / PAGE_SIZE, last / PAGE_SIZE);
    if (at >= stop) return "ok";
    this.noteError();
    return "failed";
  }

  /** Zeroes what lies beyond the end in the last page, as a new first mapping expects. */
  cleanTail(): void {
    this.zeroInFrame(this.#size, this.pageCount * PAGE_SIZE);
  }

  protected override closing(): void {
    this.flushRange(0, Number.MAX_SAFE_INTEGER);
    this.#ask((backing) => backing.sync());
  }

  #writeClusters(pages: readonly number[]): number {
    const { index } = this.core.pages;
    let clean = 0;
    for (let at = 0; at < pages.length;) {
      const run: number[] = [];
      for (let next = at; next < pages.length && run.length < CLUSTER_PAGES; next++) {
        const page = pages[next] ?? -1;
        const first = run[0];
        if (first !== undefined && index[page] !== index[first]! + run.length) break;
        run.push(page);
      }
      clean += this.#writeRun(run);
      at += run.length;
    }
    return clean;
  }

  /**
   * Writes pages that lie in a row; returns how many are clean: all, or none where the store fails. Pages whose bytes may be wrong are as if the store had failed, for
   * them alone.
   */
  #writeRun(run: readonly number[]): number {
    const { core } = this;
    const first = run[0];
    if (first === undefined || this.#isAsking) return 0;
    const offset = core.pages.index[first]! * PAGE_SIZE;
    for (let at = 0; at < run.length; at++) {
      const page = run[at] ?? first;
      core.window.read(core.pages.pfn[page]!, 0, this.#cluster.subarray(at * PAGE_SIZE, (at + 1) * PAGE_SIZE));
    }
    const isSuspect = run.some((page) => core.isSuspect(page));
    if (isSuspect && run.length > 1) return run.reduce((clean, page) => clean + this.#writeRun([page]), 0);
    const bytes = Math.min(run.length * PAGE_SIZE, this.#size - offset);
    if (isSuspect) this.noteError();
    if (isSuspect) return 0;
    const cluster = this.#cluster.subarray(0, bytes);
    if (bytes > 0 && this.#ask((backing) => backing.write(offset, cluster)) !== "ok") {
      this.noteError();
      core.stats.ioErrors++;
      return 0;
    }
    for (const page of run) {
      core.pages.unmark(page, PAGE_DIRTY);
      this.dirty.delete(page);
      core.tally.written(page, "fileWrites");
    }
    return run.length;
  }

  #readPage(index: number, into: Uint8Array): boolean {
    const bytes = Math.min(PAGE_SIZE, this.#size - index * PAGE_SIZE);
    into.fill(0, bytes);
    const part = bytes === PAGE_SIZE ? into : into.subarray(0, bytes);
    return this.#ask((backing) => backing.read(index * PAGE_SIZE, part)) === "ok";
  }

  /**
   * Asks the store, which should answer by a value; to throw is to have failed. Our own errors are nobody's to contain. A store that asks for its own file meanwhile has no
   * answer.
   */
  #ask(transfer: (backing: BackingStore) => IoOutcome): IoOutcome {
    if (this.#isAsking) return "failed";
    this.#isAsking = true;
    try {
      return this.core.asking(() => transfer(this.#backing));
    } catch (error) {
      if (isVmmError(error)) throw error;
      this.lastError = error;
      return "failed";
    } finally {
      this.#isAsking = false;
    }
  }
}
