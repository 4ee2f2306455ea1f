/**
 * A file whose store cannot answer at once: HTTP ranges, Blobs, object stores. A fault on a page that is not cached is `pending`; the same access succeeds
 * after the promise. Dirty pages leave their frames only after `writeLater` has confirmed them.
 */
import type { Core } from "../core.ts";
import { PAGE_DIRTY } from "../pages/pages.ts";
import type { AsyncBackingStore, IoOutcome } from "../ports.ts";
import { PAGE_SIZE } from "../units.ts";
import { CachedFile, type SyncCursor } from "./cached-file.ts";
import { SUPPLY_BUS, SUPPLY_NO_MEMORY, SUPPLY_PENDING } from "./object.ts";

/** What closed files still have on its way to their stores: whoever opens such a store again reads after it. */
const CLOSING: WeakMap<AsyncBackingStore, Promise<void>> = new WeakMap();

/** A file in the page cache, read by promises. */
export class AsyncFileObject extends CachedFile {
  readonly #backing: AsyncBackingStore;
  readonly #reading: Map<number, Promise<void>> = new Map();
  readonly #arrived: Map<number, Uint8Array> = new Map();
  readonly #failed: Set<number> = new Set();
  readonly #writing: Map<number, Promise<boolean>> = new Map();
  /** Whether the store failed to take the page that it answered for last: nobody waits for what may fail again. */
  #isFailing = false;
  /** What callers of {@link sync} without a cursor have been told. */
  readonly #told: SyncCursor = this.cursor();

  /** The object of a backing store. */
  constructor(core: Core, backing: AsyncBackingStore) {
    super(core);
    this.#backing = backing;
  }

  /** Bytes of the file as far as known. */
  get size(): number {
    return this.#backing.size();
  }

  /** See {@link MemoryObject.isWritable}: where the store can be written. */
  override get isWritable(): boolean {
    return this.#backing.writeLater !== undefined;
  }

  /** Holes cannot be punched, because the store would have to be written before the call returns: `failed`, and nothing has changed. */
  override punch(): "failed" {
    return "failed";
  }

  /** See {@link MemoryObject.supply}. A failed read is one bus error; the access after it asks again. */
  supply(index: number): number {
    if (index * PAGE_SIZE >= this.size) return SUPPLY_BUS;
    const arrived = this.#arrived.get(index);
    if (arrived !== undefined) return this.#install(index, arrived);
    if (this.#failed.delete(index)) return SUPPLY_BUS;
    let reading = this.#reading.get(index);
    if (reading === undefined) {
      reading = this.#read(index);
      this.#reading.set(index, reading);
    }
    this.pending = reading;
    return SUPPLY_PENDING;
  }

  /** See {@link MemoryObject.writeBack}: begins to write; the page can leave once that has been confirmed. */
  override writeBack(page: number): IoOutcome {
    void this.#write(page);
    return "failed";
  }

  /** Writes all dirty pages. `failed` where one could not be written, now or since the cursor was last used; it stays dirty. Without a cursor: since the last such call. */
  async sync(cursor: SyncCursor = this.#told): Promise<IoOutcome> {
    this.demandAlive();
    const results = await Promise.all(this.#writeRange(0, this.pageCount));
    return this.tell(cursor) || !results.every(Boolean) ? "failed" : "ok";
  }

  /**
   * Begins to write the dirty pages of `[start, end)`: `pending` while some are on their way (await {@link MemoryObject.pending}, then ask again). `failed`, before
   * anything is tried again, where a page of the file could not be written since the cursor was last used; `ok` where none is dirty.
   */
  syncSoon(cursor: SyncCursor, start: number, end: number): IoOutcome | "pending" {
    this.demandAlive();
    if (this.tell(cursor)) return "failed";
    const writes = this.#writeRange(start, end);
    if (writes.length === 0) return "ok";
    this.pending = Promise.all(writes).then(() => undefined);
    return "pending";
  }

  /** Begins to write the pages that have been dirty since before a moment. */
  writeOlderThan(moment: number): void {
    this.harvestDirty(0, this.pageCount);
    for (const page of this.dirtyBefore(moment)) void this.#write(page);
  }

  /**
   * Begins to write what is dirty. The pages go now, their bytes are on their way, and whoever opens the store again reads after them; a write that
   * fails is counted, and nobody is left to be told.
   */
  protected override closing(): void {
    const writes: Promise<unknown>[] = this.#writeRange(0, this.pageCount);
    if (writes.length === 0) return;
    const before = CLOSING.get(this.#backing);
    if (before !== undefined) writes.push(before);
    CLOSING.set(
      this.#backing,
      Promise.all(writes).then(() => undefined),
    );
  }

  #writeRange(start: number, end: number): Promise<boolean>[] {
    const { index } = this.core.pages;
    this.harvestDirty(start, end);
    return [...new Set([...this.dirty, ...this.#writing.keys()])]
      .filter((page) => index[page]! >= start && index[page]! < end)
      .map((page) => this.#write(page));
  }

  #install(index: number, bytes: Uint8Array): number {
    const { core } = this;
    const pfn = core.keeper.take();
    if (pfn < 0) return SUPPLY_NO_MEMORY;
    this.#arrived.delete(index);
    core.window.write(pfn, 0, bytes);
    this.supplyRead = true;
    const page = this.adopt(index, pfn);
    core.tally.fetched(page, "fileReads");
    return page;
  }

  async #read(index: number): Promise<void> {
    const bytes = new Uint8Array(PAGE_SIZE);
    const count = Math.min(PAGE_SIZE, this.size - index * PAGE_SIZE);
    const closing = CLOSING.get(this.#backing);
    if (closing !== undefined) await closing;
    try {
      await this.#backing.readLater(index * PAGE_SIZE, bytes.subarray(0, count));
      this.#arrived.set(index, bytes);
    } catch (error) {
      this.lastError = error;
      this.#failed.add(index);
      this.core.stats.ioErrors++;
    }
    this.#reading.delete(index);
  }

  /**
   * Writes one page as it is now; true if the store has confirmed it. What is under way already is enough unless the page was stored to since. The page is
   * pinned meanwhile.
   */
  #write(page: number): Promise<boolean> {
    const known = this.#writing.get(page);
    if (known !== undefined && !this.dirty.has(page)) return known;
    const { fileWrites } = this.core;
    const writing = this.#writeNow(page, known).finally(() => {
      if (this.#writing.get(page) === writing) this.#writing.delete(page);
      fileWrites.delete(writing);
    });
    this.#writing.set(page, writing);
    if (!this.#isFailing) fileWrites.add(writing);
    return writing;
  }

  /** Takes the bytes at once, and writes them after `before`, so that the store never sees older bytes last. */
  async #writeNow(page: number, before?: Promise<boolean>): Promise<boolean> {
    const { core } = this;
    const backing = this.#backing;
    if (backing.writeLater === undefined) return false;
    const offset = core.pages.index[page]! * PAGE_SIZE;
    const bytes = new Uint8Array(Math.max(0, Math.min(PAGE_SIZE, this.size - offset))); // The file may be shorter by now.
    core.window.read(core.pages.pfn[page]!, 0, bytes);
    if (core.isSuspect(page)) {
      this.noteError();
      return false;
    }
    core.pages.unmark(page, PAGE_DIRTY);
    this.dirty.delete(page);
    core.pin(page);
    let written = true;
    if (before !== undefined) await before;
    try {
      await backing.writeLater(offset, bytes);
      core.tally.written(page, "fileWrites");
    } catch (error) {
      this.lastError = error;
      written = false;
      this.noteError();
      core.stats.ioErrors++;
    }
    this.#isFailing = !written;
    const change = core.begin(null);
    if (!written && core.pages.refs[page]! > 0) core.dirty(page);
    core.releasePinned(page, change.plan);
    core.end(change);
    return written;
  }
}
