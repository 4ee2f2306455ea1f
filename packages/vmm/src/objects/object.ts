/**
 * Memory objects: what regions map. An object has pages by index; each present page is one record, however many regions map it.
 *
 * ```
 *  region.offset + (vpn − region.start) ─→ index ─→ page record ─→ frame | swap | (file: read again)
 * ```
 */
import type { Core } from "../core.ts";
import { VmmError } from "../errors.ts";
import { PageIndex } from "../pages/page-index.ts";
import { NO_PAGE, PAGE_DIRTY, PAGE_OBJECT, PAGE_POISONED } from "../pages/pages.ts";
import type { IoOutcome } from "../ports.ts";
import { DIRTY } from "../rights.ts";
import type { ReadAhead } from "../reclaim/read-ahead.ts";
import { dropTranslations, takeAnons } from "../space/private-pages.ts";
import type { Region } from "../space/region.ts";
import type { AddressSpace } from "../space/space.ts";
import { noEvents, type Events } from "../statistics/events.ts";
import { PAGE_SIZE, pagesFor, type Vpn } from "../units.ts";
import { GivenUp } from "./given-up.ts";

/** What kind of thing an object is. */
export type ObjectKind = "anonymous" | "file" | "device" | "buffer" | "pager";

/** {@link MemoryObject.supply} found no frame. */
export const SUPPLY_NO_MEMORY = -2;
/** {@link MemoryObject.supply} failed for good: the access is a bus error. */
export const SUPPLY_BUS = -3;
/** {@link MemoryObject.supply} waits for {@link MemoryObject.pending}. */
export const SUPPLY_PENDING = -4;

/** What regions map: pages by index, each present one a single record however many regions map it. Anonymous memory, files, devices, pagers and buffers are kinds of it. */
export abstract class MemoryObject {
  /** What kind of thing it is. */
  abstract readonly kind: ObjectKind;
  /** The object's number, unique in its manager. */
  readonly number: number;
  /** The pages that exist, by index. */
  readonly pages: PageIndex = new PageIndex();
  /** Regions that map it, with their spaces. */
  readonly regions: Map<Region, AddressSpace> = new Map();
  /** What happened to its pages, and the faults in regions that map it. */
  readonly events: Events = noEvents();
  /** What the last {@link supply} waits for. */
  pending: Promise<void> | null = null;
  /** Whether the last {@link supply} read from a store. */
  supplyRead = false;
  /** Whether evicted pages go to the object's own store rather than to swap. */
  readonly persistent: boolean = false;
  /** Whether the record of an evicted page stays, so that the policy knows the page when it comes back. Else it is forgotten. */
  readonly remembers: boolean = false;
  /** Watches the misses; null where nothing is fetched ahead. */
  readonly readAhead: ReadAhead | null = null;
  protected readonly core: Core;
  /** Pages that are not the object's any more, and are about to go. */
  readonly #givenUp: GivenUp;
  #handles = 1;
  #destroyed = false;

  /** An object of a core with one handle. */
  constructor(core: Core) {
    this.core = core;
    this.#givenUp = new GivenUp(core);
    this.number = core.addObject(this);
  }

  /** Bytes of the object now: an access to a page that begins at or beyond is a bus error. */
  abstract get size(): number;

  /** Makes the page at `index` exist, resident, and returns it; or a SUPPLY_… code. Called where the object has no such page. */
  abstract supply(index: number): number;

  /** Whether {@link fillBlock} may be called for the 512 pages from `index` on: they lie within the size, and none of them has a content in memory or swap. */
  canFillBlock(_index: number): boolean {
    return false;
  }

  /** Gives the 512 frames from `pfn` on what the pages from `index` on hold. False: the store failed, and nothing has changed. */
  fillBlock(_index: number, _pfn: number): boolean {
    return false;
  }

  /** Whether the object is gone. */
  get isDestroyed(): boolean {
    return this.#destroyed;
  }

  /** Pages within the size. */
  get pageCount(): number {
    return pagesFor(this.size);
  }

  /** One more handle. */
  open(): this {
    this.demandAlive();
    this.#handles++;
    return this;
  }

  /** Gives a handle back. The object goes with its last handle and mapping. */
  close(): void {
    this.demandAlive();
    if (this.#handles === 0)
      throw new VmmError("unbalanced", "An object was closed more often than opened.", { object: this.number });
    this.#handles--;
    this.#destroyIfUnused();
  }

  /** A region begins to map the object. */
  attach(region: Region, space: AddressSpace): void {
    this.demandAlive();
    this.regions.set(region, space);
  }

  /** A region maps the object no more. */
  detach(region: Region): void {
    this.regions.delete(region);
    this.#destroyIfUnused();
  }

  /** A page was stored to for the first time since it was clean. */
  dirtied(_page: number): void {
    return;
  }

  /** What was stored to a page is lost with its frame. */
  lost(_page: number): void {
    return;
  }

  /** A page mapped with write notification is about to be stored to. */
  writeFault(_index: number, _vpn: Vpn): "allow" | "deny" {
    return "allow";
  }

  /** Whether a page that leaves its frame goes to the object's own store, or is dropped where that has it already; otherwise it goes to swap. */
  hasStoreFor(_page: number): boolean {
    return this.persistent;
  }

  /** Writes a dirty page to the object's own store. Only called where {@link persistent}. */
  writeBack(_page: number): IoOutcome {
    throw new VmmError("invariant", "The object has no store of its own.", { object: this.number });
  }

  /** Removes all translations of the object's pages `[start, end)`, and of private copies there. */
  unmapPages(start: number, end: number): void {
    for (const [region, space] of [...this.regions]) {
      if (!this.regions.has(region)) continue; // Unmapped at a yield point.
      const [from, to] = partOf(region, start, end);
      if (from < to) dropTranslations(space, region, from, to, false);
    }
  }

  /**
   * Moves the dirty bits of all translations of `[start, end)` into the pages, and invalidates what anybody else has unmapped: until somebody else runs, no processor
   * can store to the pages without a trace.
   */
  harvestDirty(start: number, end: number): void {
    const { core } = this;
    const change = core.begin(null);
    const { plan } = change;
    let isMoving = false;
    for (const [region, space] of this.regions) {
      const [from, to] = partOf(region, start, end);
      if (from >= to || !region.shared) continue;
      plan.asid = space.asid;
      space.tables.harvest(from, to, DIRTY, plan, core.marker);
      isMoving ||= space.isMoving;
    }
    if (isMoving) this.pages.forEach(start, end, (page) => core.harvestPage(page, DIRTY, plan)); // Some are still where no region is any more.
    plan.flush();
    core.end(change);
  }

  /** The page at `index`, resident: found, swapped in or supplied. Or a SUPPLY_… code. */
  obtain(index: number): number {
    this.supplyRead = false;
    let page = this.pages.get(index);
    if (page === NO_PAGE && this.isSettling) {
      this.settle();
      page = this.pages.get(index);
    }
    if (page === NO_PAGE) return this.supply(index);
    const { pages } = this.core;
    if (pages.has(page, PAGE_POISONED)) return SUPPLY_BUS;
    if (pages.isResident(page)) return page;
    if (this.remembers && pages.swap[page] === -1) return this.supply(index);
    this.supplyRead = pages.swap[page]! >= 0;
    const brought = this.core.swapper.bringIn(page);
    this.pending = this.core.swapper.pending;
    return brought;
  }

  /** Whether processors may still reach pages that the object has given up. */
  get isSettling(): boolean {
    return !this.#givenUp.isEmpty;
  }

  /** Ends what others have begun: no processor reaches a page any more that the object has given up. */
  settle(): void {
    this.#givenUp.settle();
  }

  /** Bytes `[offset, offset + into.length)` as a program sees them; returns how many there are before the end. −1: a page could not be had. */
  read(offset: number, into: Uint8Array): number {
    this.demandAlive();
    demandSize(offset);
    const count = Math.min(into.length, Math.max(0, this.size - offset));
    for (let done = 0; done < count;) {
      const at = offset + done;
      const within = at % PAGE_SIZE;
      const bytes = Math.min(count - done, PAGE_SIZE - within);
      const page = this.obtain(Math.floor(at / PAGE_SIZE));
      if (page < 0) return done > 0 ? done : -1;
      this.core.window.read(this.core.pages.pfn[page]!, within, into.subarray(done, done + bytes));
      if (this.core.isSuspect(page)) return done > 0 ? done : -1;
      done += bytes;
    }
    return count;
  }

  /** Whether stores through new mappings, {@link write} and {@link punch} are allowed. */
  get isWritable(): boolean {
    return true;
  }

  /** Stores bytes at `offset`, within the size; returns how many. −1: a page could not be had; `sealed`: the object may not be written. */
  write(offset: number, from: Uint8Array): number | "sealed" {
    this.demandAlive();
    demandSize(offset);
    if (from.length > 0 && !this.isWritable) return "sealed";
    const count = Math.min(from.length, Math.max(0, this.size - offset));
    for (let done = 0; done < count;) {
      const at = offset + done;
      const within = at % PAGE_SIZE;
      const bytes = Math.min(count - done, PAGE_SIZE - within);
      const page = this.obtain(Math.floor(at / PAGE_SIZE));
      if (page < 0) return done > 0 ? done : -1;
      this.core.window.write(this.core.pages.pfn[page]!, within, from.subarray(done, done + bytes));
      this.core.dirty(page);
      done += bytes;
    }
    return count;
  }

  /**
   * Makes `[start, end)` read as zero through every mapping; private copies stay. The size stays. `failed`: the store did not take all zeroes, or a page that is only
   * partly in the range could not be had.
   */
  punch(start: number, end: number): "ok" | "sealed" | "failed" {
    this.demandAlive();
    for (const offset of [start, end]) demandSize(offset);
    if (!this.isWritable) return "sealed";
    const stop = Math.min(end, this.size);
    const firstWhole = Math.ceil(start / PAGE_SIZE);
    const endWhole = Math.max(firstWhole, Math.floor(stop / PAGE_SIZE));
    if (!this.#zero(start, Math.min(firstWhole * PAGE_SIZE, stop)) || !this.#zero(endWhole * PAGE_SIZE, stop))
      return "failed";
    if (firstWhole < endWhole) this.dropPages(firstWhole, endWhole);
    return "ok";
  }

  /** A page is no page of the object any more: what was stored to it is to be written nowhere. */
  protected givenUp(_page: number): void {
    return;
  }

  /** Takes the pages `[start, end)` out of the object: their content is zero, or whatever the store has. */
  protected dropPages(start: number, end: number): void {
    this.#givenUp.add(this.#takePages(start, end));
    this.settle();
  }

  /** What a change of size means for pages: those beyond the new end go, the tail of the last one becomes zero. Others run only after that is decided. */
  protected resized(before: number, after: number): void {
    const least = Math.min(before, after);
    this.zeroInFrame(least, pagesFor(least) * PAGE_SIZE);
    if (after >= before) return;
    const end = pagesFor(after);
    this.#givenUp.add(this.#takePages(end, Number.MAX_SAFE_INTEGER));
    for (const [region, space] of this.regions) {
      const [from, to] = partOf(region, end, Number.MAX_SAFE_INTEGER);
      if (from < to) this.#givenUp.add(takeAnons(space, from, to, false));
    }
    this.unmapPages(end, Number.MAX_SAFE_INTEGER); // By ranges, where the given up pages would be unmapped one by one.
    this.settle();
  }

  /** Zeroes bytes `[start, end)` of one page, if it is in a frame. */
  protected zeroInFrame(start: number, end: number): void {
    if (start >= end) return;
    const page = this.pages.get(Math.floor(start / PAGE_SIZE));
    if (page === NO_PAGE || !this.core.pages.isResident(page)) return;
    this.core.window.write(this.core.pages.pfn[page]!, start % PAGE_SIZE, new Uint8Array(end - start));
    this.core.dirty(page);
  }

  /** Makes the record of the object's page at `index`, in a frame; or puts the one that is remembered there. */
  adopt(index: number, pfn: number): number {
    const { core } = this;
    const known = this.pages.get(index);
    if (known !== NO_PAGE) {
      core.place(known, pfn);
      return known;
    }
    const page = core.pages.create();
    core.pages.mark(page, PAGE_OBJECT);
    core.pages.owner[page] = this.number;
    core.pages.index[page] = index;
    this.pages.add(index, page);
    core.place(page, pfn);
    return page;
  }

  /** Walks everything; throws with the sentence of the broken invariant. */
  check(): void {
    this.pages.check();
    this.#givenUp.check();
  }

  /** Throws unless the object can be used. */
  demandAlive(): void {
    if (this.#destroyed) throw new VmmError("destroyed", "The object was destroyed.", { object: this.number });
  }

  /** Throws unless the object can be used with a core. */
  demandOf(core: Core): void {
    this.demandAlive();
    if (core !== this.core)
      throw new VmmError("bad-argument", "An object belongs to the manager that made it.", { object: this.number });
  }

  /** Called when the last handle and mapping are gone, before the pages go. */
  protected closing(): void {
    return;
  }

  /** Zeroes bytes of one page; false if it could not be had. */
  #zero(start: number, end: number): boolean {
    if (start < end && this.obtain(Math.floor(start / PAGE_SIZE)) < 0) return false;
    this.zeroInFrame(start, end);
    return true;
  }

  /**
   * Takes the pages `[start, end)` out of the index and returns them, each with the reference that the object had: from here on they are nobody's, and what was or will be
   * stored to them is nobody's business.
   */
  #takePages(start: number, end: number): number[] {
    const { pages } = this.core;
    const taken: number[] = [];
    this.pages.forEach(start, end, (page, index) => {
      this.pages.remove(index);
      this.givenUp(page);
      pages.unmark(page, PAGE_OBJECT | PAGE_DIRTY);
      pages.owner[page] = -1;
      taken.push(page);
    });
    return taken;
  }

  #destroyIfUnused(): void {
    if (this.#handles > 0 || this.regions.size > 0 || this.#destroyed) return;
    this.closing();
    this.dropPages(0, Number.MAX_SAFE_INTEGER);
    this.#destroyed = true;
    this.core.objects.delete(this.number);
  }
}

/** The part of a region that shows the pages `[start, end)` of its object; empty where the first is not below the second. */
function partOf(region: Region, start: number, end: number): [from: Vpn, to: Vpn] {
  return [
    region.start + Math.max(start - region.offset, 0),
    Math.min(region.end, region.start + (end - region.offset)),
  ];
}

/** Throws unless `bytes` is a size that an object can have, or an offset within one. */
export function demandSize(bytes: number): void {
  if (!Number.isSafeInteger(bytes) || bytes < 0)
    throw new VmmError("out-of-range", "A size or offset is 0 or more bytes.", { bytes });
}
