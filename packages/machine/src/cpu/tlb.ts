/**
 * A CPU's translation lookaside buffer: first-level arrays by page size for data and for instructions, a second level
 * shared by both. Page numbers (`vpn`) are in 4K units, signed, up to 57-bit addresses.
 *
 * It also keeps the {@link FastView}s honest: whatever leaves a first-level array leaves them too, and under LRU only the
 * most recently used page of a set may be in them, so that a shortcut changes no replacement decision.
 */
import { invariant } from "../errors.ts";
import type { Pfn, Vpn } from "../units.ts";
import { FAST_MASK } from "./fast-view.ts";
import type { FastView } from "./fast-view.ts";
import { FLAG_LEVEL_SHIFT, TlbArray } from "./tlb-array.ts";
import type { TlbArrayState } from "./tlb-array.ts";
import type { TlbGeometry } from "./tlb-geometry.ts";

/** Added to a 2M page number in the shared second level, so that sizes do not meet; a multiple of every set count. */
const SIZE_2M = 2 ** 46;

/** Pages of 4K in a 2M page. */
export const PAGES_2M = 512;

/** Pages of 4K in a 1G page. */
export const PAGES_1G: number = 512 * 512;

/** Where a translation was found. */
export const FOUND_NOWHERE = 0;
/** In the first level. */
export const FOUND_FIRST = 1;
/** In the second level; it is in the first one now. */
export const FOUND_SECOND = 2;

/** A translation lookaside buffer. */
export class Tlb {
  /** Its shape. */
  declare readonly geometry: TlbGeometry;
  /** After a find: the 4K frame that holds the page asked for. */
  pfn: Pfn = 0;
  /** After a find: the entry's flags. */
  flags = 0;
  declare private readonly data4: TlbArray;
  declare private readonly data2: TlbArray;
  declare private readonly data1: TlbArray;
  declare private readonly code4: TlbArray;
  declare private readonly code2: TlbArray;
  declare private readonly shared: TlbArray | null;
  declare private readonly codeSecond: TlbArray | null;
  declare private readonly second1: TlbArray | null;
  declare private readonly kernel: FastView;
  declare private readonly user: FastView;
  declare private readonly lru: boolean;
  declare private readonly recentData: Int32Array;
  declare private readonly recentCode: Int32Array;
  /** The page that the last find found in no array, until the next fill: none need be searched again. */
  private missed: Vpn = NaN;
  private has2 = false;
  private has1 = false;

  /** Creates an empty TLB whose first level is mirrored by `views`. */
  constructor(geometry: TlbGeometry, views: readonly [FastView, FastView]) {
    this.geometry = geometry;
    const lru = geometry.replacement === "lru";
    this.data4 = new TlbArray(geometry.data["4K"], lru);
    this.data2 = new TlbArray(geometry.data["2M"], lru);
    this.data1 = new TlbArray(geometry.data["1G"], lru);
    this.code4 = new TlbArray(geometry.code["4K"], lru);
    this.code2 = new TlbArray(geometry.code["2M"], lru);
    this.shared = geometry.second.shared === null ? null : new TlbArray(geometry.second.shared, lru);
    this.codeSecond = geometry.second.code === undefined ? null : new TlbArray(geometry.second.code, lru);
    this.second1 = geometry.second["1G"] === null ? null : new TlbArray(geometry.second["1G"], lru);
    [this.kernel, this.user] = views;
    this.lru = lru;
    this.recentData = new Int32Array(this.data4.sets).fill(-1);
    this.recentCode = new Int32Array(this.code4.sets).fill(-1);
  }

  /** Looks `vpn` up for `asid`; returns one of the FOUND_ constants and sets `pfn` and `flags`. */
  find(vpn: Vpn, asid: number, fetch: boolean): number {
    const array = fetch ? this.code4 : this.data4;
    const entry = array.find(vpn, asid);
    if (entry >= 0) {
      array.touch(entry);
      if (this.lru) this.noteRecent(vpn, fetch);
      this.pfn = array.frames[entry]!;
      this.flags = array.flags[entry]!;
      return FOUND_FIRST;
    }
    if (this.has2 && this.findLarge(fetch ? this.code2 : this.data2, vpn, PAGES_2M, asid)) return FOUND_FIRST;
    if (this.has1 && !fetch && this.findLarge(this.data1, vpn, PAGES_1G, asid)) return FOUND_FIRST;
    const second = this.secondOf(fetch);
    if (second !== null) return this.findSecond(second, vpn, asid, fetch);
    this.missed = vpn;
    return FOUND_NOWHERE;
  }

  private findLarge(array: TlbArray, vpn: Vpn, pages: number, asid: number): boolean {
    const page = Math.floor(vpn / pages);
    const entry = array.find(page, asid);
    if (entry < 0) return false;
    array.touch(entry);
    this.pfn = array.frames[entry]! + (vpn - page * pages);
    this.flags = array.flags[entry]!;
    return true;
  }

  /** The second level of data, or of instructions. */
  private secondOf(fetch: boolean): TlbArray | null {
    return fetch && this.codeSecond !== null ? this.codeSecond : this.shared;
  }

  private findSecond(second: TlbArray, vpn: Vpn, asid: number, fetch: boolean): number {
    let from = second;
    let entry = second.find(vpn, asid);
    if (entry < 0 && this.has2) entry = second.find(Math.floor(vpn / PAGES_2M) + SIZE_2M, asid);
    if (entry < 0 && this.has1 && this.second1 !== null) {
      from = this.second1;
      entry = from.find(Math.floor(vpn / PAGES_1G), asid);
    }
    if (entry < 0) {
      this.missed = vpn;
      return FOUND_NOWHERE;
    }
    from.touch(entry);
    const flags = from.flags[entry]!;
    const isPiece = from === second && ((flags >>> FLAG_LEVEL_SHIFT) & 3) === 3;
    const frame = from.frames[entry]! - (isPiece ? framesBefore(vpn) : 0);
    this.fillFirst(vpn, from.asids[entry]!, frame, flags, fetch);
    return FOUND_SECOND;
  }

  /**
   * Takes in a translation of `vpn`: `frame` is the first 4K frame of the page that the leaf maps, the level is in
   * `flags`. Replaces what was there.
   */
  fill(vpn: Vpn, asid: number, frame: Pfn, flags: number, fetch: boolean): void {
    const level = (flags >>> FLAG_LEVEL_SHIFT) & 3;
    if (level === 2) this.has2 = true;
    if (level === 3) {
      this.has1 = true;
      if (fetch) this.has2 = true;
    }
    this.fillFirst(vpn, asid, frame, flags, fetch);
    const second = this.secondOf(fetch);
    if (level === 1) this.put(second, vpn, asid, frame, flags);
    else if (level === 2) this.put(second, Math.floor(vpn / PAGES_2M) + SIZE_2M, asid, frame, flags);
    else if (this.second1 !== null) this.put(this.second1, Math.floor(vpn / PAGES_1G), asid, frame, flags);
    else if (second !== null) {
      this.has2 = true;
      this.put(second, Math.floor(vpn / PAGES_2M) + SIZE_2M, asid, frame + framesBefore(vpn), flags);
    }
  }

  /** Takes in a translation of a 4K page: what `fill` does for it. */
  fillPage(vpn: Vpn, asid: number, frame: Pfn, flags: number, fetch: boolean): void {
    const isNew = this.missed === vpn;
    this.fillSmall(fetch ? this.code4 : this.data4, vpn, asid, frame, flags, fetch);
    const second = this.secondOf(fetch);
    if (second === null) return;
    if (isNew) second.put(second.victim(vpn), vpn, asid, frame, flags);
    else this.put(second, vpn, asid, frame, flags);
  }

  private put(array: TlbArray | null, page: number, asid: number, frame: Pfn, flags: number): void {
    if (array === null) return;
    const known = array.find(page, asid);
    array.put(known >= 0 ? known : array.victim(page), page, asid, frame, flags);
  }

  private fillFirst(vpn: Vpn, asid: number, frame: Pfn, flags: number, fetch: boolean): void {
    const level = (flags >>> FLAG_LEVEL_SHIFT) & 3;
    if (level === 1) {
      this.fillSmall(fetch ? this.code4 : this.data4, vpn, asid, frame, flags, fetch);
      return;
    }
    const pages = level === 2 || fetch ? PAGES_2M : PAGES_1G;
    const array = fetch ? this.code2 : level === 2 ? this.data2 : this.data1;
    const page = Math.floor(vpn / pages);
    const piece = level === 3 && fetch ? frame + framesBefore(vpn) : frame;
    const known = array.find(page, asid);
    const entry = known >= 0 ? known : array.victim(page);
    if (!Number.isNaN(array.tags[entry]!)) this.dropViews();
    array.put(entry, page, asid, piece, flags);
    this.pfn = piece + (vpn - page * pages);
    this.flags = flags;
  }

  private fillSmall(array: TlbArray, vpn: Vpn, asid: number, frame: Pfn, flags: number, fetch: boolean): void {
    const known = this.missed === vpn ? -1 : array.find(vpn, asid);
    this.missed = NaN;
    const entry = known >= 0 ? known : array.victim(vpn);
    if (this.lru) this.noteRecent(vpn, fetch);
    else if (known < 0) {
      const gone = array.tags[entry]!;
      if (!Number.isNaN(gone)) this.dropSlot(gone & FAST_MASK, fetch);
    }
    array.put(entry, vpn, asid, frame, flags);
    this.pfn = frame;
    this.flags = flags;
  }

  /** Whether pages of this size may have shortcuts: under LRU only 4K pages, since use within a large page is not seen. */
  mayShortcut(flags: number): boolean {
    return !this.lru || ((flags >>> FLAG_LEVEL_SHIFT) & 3) === 1;
  }

  private noteRecent(vpn: Vpn, fetch: boolean): void {
    const recent = fetch ? this.recentCode : this.recentData;
    const set = vpn & (recent.length - 1);
    const slot = vpn & FAST_MASK;
    const before = recent[set]!;
    if (before === slot) return;
    if (before >= 0) this.dropSlot(before, fetch);
    recent[set] = slot;
  }

  private dropSlot(slot: number, fetch: boolean): void {
    if (fetch) {
      this.kernel.dropFetch(slot);
      this.user.dropFetch(slot);
    } else {
      this.kernel.dropData(slot);
      this.user.dropData(slot);
    }
  }

  private dropViews(): void {
    this.kernel.dropAll();
    this.user.dropAll();
  }

  /** Invalidates the translations of one page of `asid` in every array; with `globals` global ones of any PCID too. */
  dropPage(vpn: Vpn, asid: number, globals: boolean): void {
    // A page that was not in the first level has no shortcut.
    if (this.data4.dropPage(vpn, asid, globals) > 0) this.dropSlot(vpn & FAST_MASK, false);
    if (this.code4.dropPage(vpn, asid, globals) > 0) this.dropSlot(vpn & FAST_MASK, true);
    if (this.shared !== null) this.shared.dropPage(vpn, asid, globals);
    if (this.codeSecond !== null) this.codeSecond.dropPage(vpn, asid, globals);
    if (this.has2) {
      const page = Math.floor(vpn / PAGES_2M);
      const gone = this.data2.dropPage(page, asid, globals) + this.code2.dropPage(page, asid, globals);
      this.shared?.dropPage(page + SIZE_2M, asid, globals);
      this.codeSecond?.dropPage(page + SIZE_2M, asid, globals);
      if (gone > 0) this.dropViews();
    }
    if (this.has1) {
      const page = Math.floor(vpn / PAGES_1G);
      // All pieces of the page go, not only the one addressed.
      const gone = this.data1.dropPage(page, asid, globals) + this.code2.dropPieces(page, 0, asid, globals);
      if (gone > 0) this.dropViews();
      this.second1?.dropPage(page, asid, globals);
      if (this.second1 === null) {
        this.shared?.dropPieces(page, SIZE_2M, asid, globals);
        this.codeSecond?.dropPieces(page, SIZE_2M, asid, globals);
      }
    }
  }

  /** Invalidates everything of `asid` (−1: of every PCID); global translations only with `globals`. */
  dropAll(asid: number, globals: boolean): void {
    for (const array of this.arrays()) array.dropAll(asid, globals);
    if (asid < 0 && globals) {
      this.has1 = false;
      this.has2 = false;
    }
    this.dropViews();
  }

  /** Returns a copy of everything it holds. */
  save(): TlbArrayState[] {
    return this.arrays().map((array) => array.save());
  }

  /** Puts saved contents back; shortcuts are forgotten. */
  restore(states: readonly TlbArrayState[]): void {
    this.arrays().forEach((array, at) => {
      const state = states[at];
      if (state !== undefined) array.restore(state);
    });
    this.has1 = true;
    this.has2 = true;
    this.missed = NaN;
    this.recentData.fill(-1);
    this.recentCode.fill(-1);
    this.dropViews();
  }

  private arrays(): readonly TlbArray[] {
    const all = [
      this.data4,
      this.data2,
      this.data1,
      this.code4,
      this.code2,
      this.shared,
      this.codeSecond,
      this.second1,
    ];
    return all.filter((array) => array !== null);
  }

  /**
   * Calls `visit` for every translation held, once per array that holds it: first page (4K units), pages, first frame, PCID, flags.
   */
  forEach(visit: (vpn: Vpn, pages: number, frame: Pfn, asid: number, flags: number) => void): void {
    const of = (array: TlbArray | null, pages: number): void => {
      array?.forEach((entry) => {
        visit(array.tags[entry]! * pages, pages, array.frames[entry]!, array.asids[entry]!, array.flags[entry]!);
      });
    };
    of(this.data4, 1);
    of(this.code4, 1);
    of(this.data2, PAGES_2M);
    of(this.code2, PAGES_2M);
    of(this.data1, PAGES_1G);
    of(this.second1, PAGES_1G);
    for (const second of [this.shared, this.codeSecond])
      second?.forEach((entry) => {
        const tag = second.tags[entry]!;
        const large = tag >= SIZE_2M / 2;
        const pages = large ? PAGES_2M : 1;
        const page = large ? tag - SIZE_2M : tag;
        visit(page * pages, pages, second.frames[entry]!, second.asids[entry]!, second.flags[entry]!);
      });
  }

  /** Throws `broken-invariant` unless every array holds, and every shortcut belongs to a translation in the first level. */
  check(): void {
    for (const array of this.arrays()) array.check();
    const data = [new Set(this.data4.tags), new Set(this.data2.tags), new Set(this.data1.tags)];
    const code = [new Set(this.code4.tags), new Set(this.code2.tags)];
    for (const view of [this.kernel, this.user]) {
      for (const tag of view.load) checkTag(tag, data);
      for (const tag of view.store) checkTag(tag, data);
      for (const tag of view.fetch) checkTag(tag, code);
    }
  }
}

/** Frames of a 1G page before the 2M piece of it that holds `vpn`. */
function framesBefore(vpn: Vpn): number {
  return (Math.floor(vpn / PAGES_2M) - Math.floor(vpn / PAGES_1G) * 512) * PAGES_2M;
}

/** Throws unless a shortcut's page is in one of the sets of page numbers, by size. */
function checkTag(tag: number, sets: readonly Set<number>[]): void {
  if (Number.isNaN(tag)) return;
  const vpn = tag / 4096;
  const held = sets.some((set, size) => set.has(Math.floor(vpn / 512 ** size)));
  invariant(held, `the shortcut for page ${vpn} has a translation in the first-level TLB`);
}
