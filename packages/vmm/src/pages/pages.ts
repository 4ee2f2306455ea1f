/**
 * Pages as contents: a page is one 4 KiB content that somebody owns, wherever it lies now: in a frame, in swap, in both, or (all zero) nowhere.
 *
 * ```
 *  owner ── anonymous: the sheets of spaces refer to it `refs` times (copy-on-write sharers)
 *        └─ object:    an object's index refers to it once, and says which page of the object it is
 *  place ── pfn ≥ 0  resident: the frame map leads back here; the policy knows it unless it is held
 *        ├─ swap ≥ 0 a copy lies in swap; with a frame and not DIRTY both are equal
 *        └─ neither  reads as zero
 *  maps  ── every present translation of the frame is one reverse mapping (mappings.ts)
 * ```
 * Invariants: refs > 0 for every live page; holds ≥ pins; a page with holds > 0 is resident and unknown to the policy; a page with a
 * mapping is resident.
 */
import { VmmError } from "../errors.ts";
import { NO_FRAME, type Pfn } from "../units.ts";

/** The frame is newer than the copy in swap or in the file. */
export const PAGE_DIRTY = 1;
/** The page belongs to an object; without it, to sheets. */
export const PAGE_OBJECT = 2;
/** The content is lost: an access is a bus error. */
export const PAGE_POISONED = 4;
/** Used since the policy was last told, as noticed by software. */
export const PAGE_REFERENCED = 8;
/** Its pin is reclaim's or migration's own, not a transfer's: it may be shared meanwhile. */
export const PAGE_FROZEN = 32;

/** Brought in ahead and not used yet. */
export const PAGE_PREFETCHED = 128;

/** No page. */
export const NO_PAGE = -1;

/** The records of all pages, one typed array per field, indexed by page. */
export class Pages {
  /** Frame that holds the content, −1 if none does. */
  pfn: Float64Array;
  /** References of owners; 0 for a free record. */
  refs: Int32Array;
  /** PAGE_… bits. */
  flags: Uint8Array;
  /** Reference into swap space, −1 if no copy is there. */
  swap: Int32Array;
  /** Number of the owning object, −1 for anonymous pages. */
  owner: Int32Array;
  /** Page of the object that this is. */
  index: Float64Array;
  /** First reverse mapping, −1 if unmapped. */
  map: Int32Array;
  /** Where a translation of the page was removed last: sheet number × 512 + entry, perhaps of a sheet that is gone; −1 for none. */
  place: Int32Array;
  /** Reasons why the page must stay in its frame: pins, and mappings in locked or wired regions. */
  holds: Int32Array;
  /** Of the holds, those by pins: transfers, DMA, `run`. */
  pins: Int32Array;
  /** When the page of a file became dirty, in nanoseconds of the clock; for write-back by age. */
  dirtied: Float64Array;
  /** Free records, linked through `map`. */
  #free = NO_PAGE;
  #live = 0;
  #capacity: number;

  /** Records for `capacity` pages to begin with. */
  constructor(capacity = 1024) {
    this.#capacity = capacity;
    this.pfn = new Float64Array(capacity).fill(NO_FRAME);
    this.refs = new Int32Array(capacity);
    this.flags = new Uint8Array(capacity);
    this.swap = new Int32Array(capacity).fill(-1);
    this.owner = new Int32Array(capacity).fill(-1);
    this.index = new Float64Array(capacity);
    this.map = new Int32Array(capacity);
    this.place = new Int32Array(capacity).fill(-1);
    this.holds = new Int32Array(capacity);
    this.pins = new Int32Array(capacity);
    this.dirtied = new Float64Array(capacity);
    this.#linkFree(0, capacity);
  }

  /** Pages that exist. */
  get live(): number {
    return this.#live;
  }

  /** Records there are, used or free: page numbers are below this. */
  get capacity(): number {
    return this.#capacity;
  }

  /** Makes an anonymous page with one reference, no frame and no copy: it reads as zero. */
  create(): number {
    if (this.#free === NO_PAGE) this.#grow();
    const page = this.#free;
    this.#free = this.map[page]!;
    this.map[page] = -1;
    this.refs[page] = 1;
    this.#live++;
    return page;
  }

  /** Frees the record of a page without references, frame, copy or mappings. */
  destroy(page: number): void {
    if (this.refs[page] !== 0 || this.pfn[page] !== NO_FRAME || this.swap[page] !== -1 || this.map[page] !== -1)
      throw new VmmError("invariant", "A page in use was destroyed.", { page });
    this.flags[page] = 0;
    this.owner[page] = -1;
    this.index[page] = 0;
    this.place[page] = -1;
    this.map[page] = this.#free;
    this.#free = page;
    this.#live--;
  }

  /** Whether the page is in a frame. */
  isResident(page: number): boolean {
    return this.pfn[page]! >= 0;
  }

  /** Whether a transfer goes on with the page, or `run` has touched it. To be frozen is not that: it counts as one pin. */
  isPinned(page: number): boolean {
    return this.pins[page]! > (this.has(page, PAGE_FROZEN) ? 1 : 0);
  }

  /** Whether any of the flags is set. */
  has(page: number, flags: number): boolean {
    return (this.flags[page]! & flags) !== 0;
  }

  /** Sets flags. */
  mark(page: number, flags: number): void {
    this.flags[page] = this.flags[page]! | flags;
  }

  /** Clears flags. */
  unmark(page: number, flags: number): void {
    this.flags[page] = this.flags[page]! & ~flags;
  }

  /** The frame of a resident page. */
  frameOf(page: number): Pfn {
    return this.pfn[page]!;
  }

  #grow(): void {
    const before = this.#capacity;
    const capacity = before * 2;
    const wider = <T extends Float64Array | Int32Array | Uint8Array>(into: T, from: T): T => {
      into.set(from);
      return into;
    };
    this.pfn = wider(new Float64Array(capacity).fill(NO_FRAME), this.pfn);
    this.refs = wider(new Int32Array(capacity), this.refs);
    this.flags = wider(new Uint8Array(capacity), this.flags);
    this.swap = wider(new Int32Array(capacity).fill(-1), this.swap);
    this.owner = wider(new Int32Array(capacity).fill(-1), this.owner);
    this.index = wider(new Float64Array(capacity), this.index);
    this.map = wider(new Int32Array(capacity), this.map);
    this.place = wider(new Int32Array(capacity).fill(-1), this.place);
    this.holds = wider(new Int32Array(capacity), this.holds);
    this.pins = wider(new Int32Array(capacity), this.pins);
    this.dirtied = wider(new Float64Array(capacity), this.dirtied);
    this.#capacity = capacity;
    this.#linkFree(before, capacity);
  }

  #linkFree(start: number, end: number): void {
    for (let page = end - 1; page >= start; page--) {
      this.map[page] = this.#free;
      this.#free = page;
    }
  }
}
