/**
 * A CPU's translation lookaside buffer: first-level arrays by page size for data and for instructions, a second level
 * shared by both. Page numbers (`vpn`) are in 4K units, signed, up to 57-bit addresses.
 *
 * It also keeps the {@link FastView}s honest: whatever leaves a first-level array leaves them too, and under LRU only the
 * most recently used page of a set may be in them, so that a shortcut changes no replacement decision.
 */
import { invariant } from "../errors.ts";
import type { Pfn, Vpn } from "../units.ts";
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
  private has2 = false;
  private has1 = false;
  /** Whether anything but the first level's 4K arrays may hold a translation. */
  private more = false;

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
    this.more = this.hasSecond();
    [this.kernel, this.user] = views;
    this.lru = lru;
  }

  /** Looks `vpn` up for `asid`; returns one of the FOUND_ constants (0: nowhere) and sets `pfn` and `flags`. */
  find(vpn: Vpn, asid: number, fetch: boolean): number {
    const array = fetch ? this.code4 : this.data4;
    const entry = array.find(vpn, asid);
    if (entry < 0) return this.more ? this.findMore(vpn, asid, fetch) : 0;
    this.dropShortcut(array.touch(entry), fetch);
    this.pfn = array.frameOf(entry);
    this.flags = array.flagsOf(entry);
    return FOUND_FIRST;
  }

  private findMore(vpn: Vpn, asid: number, fetch: boolean): number {
    if (this.has2 && this.findLarge(fetch ? this.code2 : this.data2, vpn, PAGES_2M, asid)) return FOUND_FIRST;
    if (this.has1 && !fetch && this.findLarge(this.data1, vpn, PAGES_1G, asid)) return FOUND_FIRST;
    const second = this.secondOf(fetch);
    return second === null ? FOUND_NOWHERE : this.findSecond(second, vpn, asid, fetch);
  }

  private findLarge(array: TlbArray, vpn: Vpn, pages: number, asid: number): boolean {
    const page = Math.floor(vpn / pages);
    const entry = array.find(page, asid);
    if (entry < 0) return false;
    array.touch(entry);
    this.pfn = array.frameOf(entry) + (vpn - page * pages);
    this.flags = array.flagsOf(entry);
    return true;
  }

  private hasSecond(): boolean {
    return this.shared !== null || this.codeSecond !== null || this.second1 !== null;
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
    if (entry < 0) return FOUND_NOWHERE;
    from.touch(entry);
    const flags = from.flagsOf(entry);
    const isPiece = from === second && ((flags >>> FLAG_LEVEL_SHIFT) & 3) === 3;
    const frame = from.frameOf(entry) - (isPiece ? framesBefore(vpn) : 0);
    this.fillFirst(vpn, asid, frame, flags, fetch);
    return FOUND_SECOND;
  }

  /**
   * Takes in a translation of `vpn` for `asid` after a {@link find} that found none: `frame` is the first 4K frame of the page that the
   * leaf maps, the level is in `flags`.
   */
  fill(vpn: Vpn, asid: number, frame: Pfn, flags: number, fetch: boolean): void {
    const level = (flags >>> FLAG_LEVEL_SHIFT) & 3;
    if (level === 1) {
      this.fillPage(vpn, asid, frame, flags, fetch);
      this.pfn = frame;
      return;
    }
    this.more = true;
    if (level === 2 || fetch) this.has2 = true;
    if (level === 3) this.has1 = true;
    this.fillFirst(vpn, asid, frame, flags, fetch);
    const second = this.secondOf(fetch);
    if (level === 2) second?.add(Math.floor(vpn / PAGES_2M) + SIZE_2M, asid, frame, flags);
    else if (this.second1 !== null) this.second1.add(Math.floor(vpn / PAGES_1G), asid, frame, flags);
    else if (second !== null) {
      this.has2 = true;
      second.add(Math.floor(vpn / PAGES_2M) + SIZE_2M, asid, frame + framesBefore(vpn), flags);
    }
  }

  /** What {@link fill} does for a 4K page, but for `pfn`, which the caller has. */
  fillPage(vpn: Vpn, asid: number, frame: Pfn, flags: number, fetch: boolean): void {
    this.fillSmall(fetch ? this.code4 : this.data4, vpn, asid, frame, flags, fetch);
    const second = this.secondOf(fetch);
    if (second !== null) second.add(vpn, asid, frame, flags);
  }

  private fillFirst(vpn: Vpn, asid: number, frame: Pfn, flags: number, fetch: boolean): void {
    const level = (flags >>> FLAG_LEVEL_SHIFT) & 3;
    if (level === 1) {
      this.fillSmall(fetch ? this.code4 : this.data4, vpn, asid, frame, flags, fetch);
      this.pfn = frame;
      return;
    }
    const pages = level === 2 || fetch ? PAGES_2M : PAGES_1G;
    const array = fetch ? this.code2 : level === 2 ? this.data2 : this.data1;
    const page = Math.floor(vpn / pages);
    const piece = level === 3 && fetch ? frame + framesBefore(vpn) : frame;
    if (!Number.isNaN(array.victim(page))) this.dropViews();
    array.add(page, asid, piece, flags);
    this.pfn = piece + (vpn - page * pages);
    this.flags = flags;
  }

  private fillSmall(array: TlbArray, vpn: Vpn, asid: number, frame: Pfn, flags: number, fetch: boolean): void {
    this.dropShortcut(array.add(vpn, asid, frame, flags), fetch);
    this.flags = flags;
  }

  /** Whether pages of this size may have shortcuts: under LRU only 4K pages, since use within a large page is not seen. */
  mayShortcut(flags: number): boolean {
    return !this.lru || ((flags >>> FLAG_LEVEL_SHIFT) & 3) === 1;
  }

  /** Forgets the shortcuts of a page, NaN: of none. */
  private dropShortcut(page: Vpn, fetch: boolean): void {
    if (Number.isNaN(page)) return;
    if (fetch) {
      this.kernel.dropFetch(page & 4095);
      this.user.dropFetch(page & 4095);
    } else {
      this.kernel.dropData(page & 4095);
      this.user.dropData(page & 4095);
    }
  }

  private dropViews(): void {
    this.kernel.dropAll();
    this.user.dropAll();
  }

  /** Invalidates the translations of one page of `asid` in every array; with `globals` global ones of any PCID too. */
  dropPage(vpn: Vpn, asid: number, globals: boolean): void {
    this.dropDataPage(vpn, asid, globals);
    if (this.code4.dropPage(vpn, asid, globals) > 0) this.dropShortcut(vpn, true);
    if (this.codeSecond !== null) this.codeSecond.dropPage(vpn, asid, globals);
    if (this.has2) {
      const page = Math.floor(vpn / PAGES_2M);
      if (this.code2.dropPage(page, asid, globals) > 0) this.dropViews();
      this.codeSecond?.dropPage(page + SIZE_2M, asid, globals);
    }
    if (this.has1) {
      // All pieces of the page go, not only the one addressed.
      const page = Math.floor(vpn / PAGES_1G);
      if (this.code2.dropPieces(page, 0, asid, globals) > 0) this.dropViews();
      this.codeSecond?.dropPieces(page, SIZE_2M, asid, globals);
    }
  }

  /** {@link dropPage} in the arrays that data accesses look in: the first level of data, and the second. */
  dropDataPage(vpn: Vpn, asid: number, globals: boolean): void {
    // A page that was not in the first level has no shortcut.
    if (this.data4.dropPage(vpn, asid, globals) > 0) this.dropShortcut(vpn, false);
    if (this.shared !== null) this.shared.dropPage(vpn, asid, globals);
    if (this.has2) {
      const page = Math.floor(vpn / PAGES_2M);
      if (this.data2.dropPage(page, asid, globals) > 0) this.dropViews();
      this.shared?.dropPage(page + SIZE_2M, asid, globals);
    }
    if (this.has1) {
      const page = Math.floor(vpn / PAGES_1G);
      if (this.data1.dropPage(page, asid, globals) > 0) this.dropViews();
      if (this.second1 === null) this.shared?.dropPieces(page, SIZE_2M, asid, globals);
      else this.second1.dropPage(page, asid, globals);
    }
  }

  /** Invalidates everything of `asid` (−1: of every PCID); global translations only with `globals`. */
  dropAll(asid: number, globals: boolean): void {
    for (const array of this.arrays()) array.dropAll(asid, globals);
    if (asid < 0 && globals) {
      this.has1 = false;
      this.has2 = false;
      this.more = this.hasSecond();
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
    this.more = true;
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
        visit(array.pageOf(entry) * pages, pages, array.frameOf(entry), array.asidOf(entry), array.flagsOf(entry));
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
        const tag = second.pageOf(entry);
        const large = tag >= SIZE_2M / 2;
        const pages = large ? PAGES_2M : 1;
        const page = large ? tag - SIZE_2M : tag;
        visit(page * pages, pages, second.frameOf(entry), second.asidOf(entry), second.flagsOf(entry));
      });
  }

  /** Throws `broken-invariant` unless every array holds, and every shortcut belongs to a translation in the first level. */
  check(): void {
    for (const array of this.arrays()) array.check();
    const data = [pagesIn(this.data4), pagesIn(this.data2), pagesIn(this.data1)];
    const code = [pagesIn(this.code4), pagesIn(this.code2)];
    for (const view of [this.kernel, this.user]) {
      for (let at = 0; at < view.tags.length; at += 4) {
        checkTag(view.tags[at]!, data);
        checkTag(view.tags[at + 1]!, data);
        checkTag(view.tags[at + 2]!, code);
      }
    }
  }
}

/** Frames of a 1G page before the 2M piece of it that holds `vpn`. */
function framesBefore(vpn: Vpn): number {
  return (Math.floor(vpn / PAGES_2M) - Math.floor(vpn / PAGES_1G) * 512) * PAGES_2M;
}

function pagesIn(array: TlbArray): Set<number> {
  const pages = new Set<number>();
  array.forEach((entry) => pages.add(array.pageOf(entry)));
  return pages;
}

/** Throws unless a shortcut's page is in one of the sets of page numbers, by size. */
function checkTag(tag: number, sets: readonly Set<number>[]): void {
  if (Number.isNaN(tag)) return;
  const vpn = tag / 4096;
  const held = sets.some((set, size) => set.has(Math.floor(vpn / 512 ** size)));
  invariant(held, `the shortcut for page ${vpn} has a translation in the first-level TLB`);
}
