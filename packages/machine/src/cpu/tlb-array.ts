/**
 * One set-associative array of translations, one typed array per field:
 *
 *   entry = set · ways + way        set = page number mod sets
 *   tags[entry]    page number in units of the array's page size, NaN when empty
 *   asids[entry]   PCID (0 … 4095)
 *   frames[entry]  first 4K frame that it maps
 *   flags[entry]   see the FLAG_ constants
 *
 * What is asked for most costs the same whatever the number of ways:
 *
 *   find      heads[hash(page)] → entry → chain[entry] → …      entries in use whose pages have one hash
 *   victim    newest[set] ⇄ … ⇄ oldest ⇄ newest: a ring per set, linked by `older` and `newer`; empty entries are its oldest
 *   dropAll   inUse[0 … live − 1]: the entries in use, in no order; place[entry] says where
 *
 * So filling a full set turns its ring by one: the oldest entry becomes the newest by one write.
 *
 * Invariant: within a set, no two entries have the same page and PCID.
 */
import { invariant, MachineError } from "../errors.ts";
import type { Pfn } from "../units.ts";

/** Accumulated rights, as `@pagewright/x86-paging` numbers them (bits 4:0). */
export const FLAG_RIGHTS = 31;
/** The leaf's D bit was 1 when the entry was filled or written through. */
export const FLAG_DIRTY = 32;
/** The leaf is global and CR4.PGE was 1. */
export const FLAG_GLOBAL = 64;
/** Bits 11:8: the protection key. */
export const FLAG_KEY_SHIFT = 8;
/** Bits 14:12: index into the PAT: PAT, PCD, PWT. */
export const FLAG_PAT_SHIFT = 12;
/** Bits 17:16: the level of the leaf: 1, 2 or 3. */
export const FLAG_LEVEL_SHIFT = 16;

/** 2^32 / golden ratio: spreads page numbers that differ in few bits. */
const SPREAD = 0x9e3779b1;
/** Buckets per entry, at least. */
const SPARE = 2;

/** Shape of an array of translations. */
export interface TlbShape {
  /** Sets, a power of two. */
  readonly sets: number;
  /** Entries of a set, ≥ 1. */
  readonly ways: number;
}

/** The contents of a {@link TlbArray}. */
export interface TlbArrayState {
  /** Copies of the fields, in the order tags, asids, frames, flags. */
  readonly fields: readonly [Float64Array, Int32Array, Float64Array, Int32Array];
  /** Copies of the rings: the next older entry of each entry, and the newest entry of each set. */
  readonly rings: readonly [Int32Array, Int32Array];
}

/** A set-associative array of translations. */
export class TlbArray {
  /** Sets, a power of two. */
  declare readonly sets: number;
  /** Entries of a set. */
  declare readonly ways: number;
  /** Page number, NaN when empty. */
  declare readonly tags: Float64Array;
  /** PCID. */
  declare readonly asids: Int32Array;
  /** First 4K frame. */
  declare readonly frames: Float64Array;
  /** Flags. */
  declare readonly flags: Int32Array;
  declare private readonly lru: boolean;
  declare private readonly older: Int32Array;
  declare private readonly newer: Int32Array;
  declare private readonly newest: Int32Array;
  declare private readonly shift: number;
  declare private readonly heads: Int32Array;
  declare private readonly chain: Int32Array;
  declare private readonly inUse: Int32Array;
  declare private readonly place: Int32Array;
  private live = 0;

  /** Creates an empty array; with `lru` the least recently used entry of a set goes first, otherwise the oldest. */
  constructor(shape: TlbShape, lru: boolean) {
    const { sets, ways } = shape;
    if (!Number.isInteger(Math.log2(sets)) || sets < 1 || !Number.isInteger(ways) || ways < 1)
      throw new MachineError("bad-argument", `A TLB array has 2^n sets and at least one way, not ${sets} × ${ways}`, {
        sets,
        ways,
      });
    this.sets = sets;
    this.ways = ways;
    const entries = sets * ways;
    this.tags = new Float64Array(entries).fill(NaN);
    this.asids = new Int32Array(entries);
    this.frames = new Float64Array(entries);
    this.flags = new Int32Array(entries);
    this.lru = lru;
    this.older = new Int32Array(entries);
    this.newer = new Int32Array(entries);
    this.newest = new Int32Array(sets);
    for (let first = 0; first < entries; first += ways) {
      this.newest[first / ways] = first;
      for (let way = 0; way < ways; way++) {
        this.older[first + way] = first + ((way + 1) % ways);
        this.newer[first + ((way + 1) % ways)] = first + way;
      }
    }
    const bits = Math.ceil(Math.log2(entries * SPARE));
    this.shift = 32 - bits;
    this.heads = new Int32Array(2 ** bits).fill(-1);
    this.chain = new Int32Array(entries).fill(-1);
    this.inUse = new Int32Array(entries);
    this.place = new Int32Array(entries);
  }

  /** Entries in use. */
  get count(): number {
    return this.live;
  }

  /** Returns the entry that translates `page` (a number in units of this array's page size) for `asid`, or −1. */
  find(page: number, asid: number): number {
    let entry = this.heads[Math.imul(page, SPREAD) >>> this.shift]!;
    while (entry >= 0 && !(this.tags[entry]! === page && this.isFor(entry, asid))) entry = this.chain[entry]!;
    return entry;
  }

  private isFor(entry: number, asid: number): boolean {
    return this.asids[entry]! === asid || (this.flags[entry]! & FLAG_GLOBAL) !== 0;
  }

  /** Notes a use of an entry. */
  touch(entry: number): void {
    if (this.lru) this.promote(entry, this.tags[entry]! & (this.sets - 1));
  }

  /** Returns the entry that the next fill for `page` would overwrite: an empty one, else the one that has waited longest. */
  victim(page: number): number {
    return this.newer[this.newest[page & (this.sets - 1)]!]!;
  }

  /** Overwrites `entry`, which is of the set of `page`. */
  put(entry: number, page: number, asid: number, frame: Pfn, flags: number): void {
    const before = this.tags[entry]!;
    if (before !== page) {
      if (Number.isNaN(before)) this.occupy(entry);
      else this.unlink(entry, before);
      this.tags[entry] = page;
      this.link(entry, page);
    }
    this.asids[entry] = asid;
    this.frames[entry] = frame;
    this.flags[entry] = flags;
    this.promote(entry, page & (this.sets - 1));
  }

  private link(entry: number, page: number): void {
    const bucket = Math.imul(page, SPREAD) >>> this.shift;
    this.chain[entry] = this.heads[bucket]!;
    this.heads[bucket] = entry;
  }

  private unlink(entry: number, page: number): void {
    const { chain, heads } = this;
    const bucket = Math.imul(page, SPREAD) >>> this.shift;
    let at = heads[bucket]!;
    if (at === entry) heads[bucket] = chain[entry]!;
    else {
      while (chain[at]! !== entry) at = chain[at]!;
      chain[at] = chain[entry]!;
    }
  }

  private occupy(entry: number): void {
    this.place[entry] = this.live;
    this.inUse[this.live++] = entry;
  }

  /** Makes an entry the newest of its set. */
  private promote(entry: number, set: number): void {
    const newest = this.newest[set]!;
    if (entry === newest) return;
    if (this.newer[newest]! !== entry) this.makeOldest(entry, newest);
    this.newest[set] = entry;
  }

  /** Moves an entry that is not the newest to the old end of its ring. */
  private makeOldest(entry: number, newest: number): void {
    const { older, newer } = this;
    const below = older[entry]!;
    const above = newer[entry]!;
    older[above] = below;
    newer[below] = above;
    const oldest = newer[newest]!;
    older[oldest] = entry;
    newer[entry] = oldest;
    older[entry] = newest;
    newer[newest] = entry;
  }

  /** Empties an entry in use. */
  drop(entry: number): void {
    const page = this.tags[entry]!;
    const set = page & (this.sets - 1);
    this.unlink(entry, page);
    this.tags[entry] = NaN;
    const last = this.inUse[--this.live]!;
    this.inUse[this.place[entry]!] = last;
    this.place[last] = this.place[entry]!;
    const newest = this.newest[set]!;
    if (entry === newest) this.newest[set] = this.older[entry]!;
    else this.makeOldest(entry, newest);
  }

  /** Empties entries of `asid` for `page`; with `globals` the global ones of any PCID too. Returns how many. */
  dropPage(page: number, asid: number, globals: boolean): number {
    const first = this.heads[Math.imul(page, SPREAD) >>> this.shift]!;
    return first < 0 ? 0 : this.dropChained(first, page, asid, globals);
  }

  private dropChained(first: number, page: number, asid: number, globals: boolean): number {
    let count = 0;
    for (let entry = first, next: number; entry >= 0; entry = next) {
      next = this.chain[entry]!;
      if (this.tags[entry]! !== page) continue;
      const global = (this.flags[entry]! & FLAG_GLOBAL) !== 0;
      if (global ? !globals : this.asids[entry]! !== asid) continue;
      this.drop(entry);
      count++;
    }
    return count;
  }

  /**
   * Empties entries of `asid` for 2M pieces of the 1G page `parent`; piece n has the page number `offset` + n. With `globals`
   * global ones of any PCID too. Returns how many. Cost: proportional to the entries in use.
   */
  dropPieces(parent: number, offset: number, asid: number, globals: boolean): number {
    let count = 0;
    for (let at = this.live - 1; at >= 0; at--) {
      const entry = this.inUse[at]!;
      const flags = this.flags[entry]!;
      const isPiece =
        ((flags >>> FLAG_LEVEL_SHIFT) & 3) === 3 && Math.floor((this.tags[entry]! - offset) / 512) === parent;
      if (!isPiece || ((flags & FLAG_GLOBAL) !== 0 ? !globals : this.asids[entry]! !== asid)) continue;
      this.drop(entry);
      count++;
    }
    return count;
  }

  /** Empties the array: entries of `asid` (−1: of all); global ones only with `globals`. Cost: proportional to the entries in use. */
  dropAll(asid: number, globals: boolean): void {
    for (let at = this.live - 1; at >= 0; at--) {
      const entry = this.inUse[at]!;
      const global = (this.flags[entry]! & FLAG_GLOBAL) !== 0;
      if (global ? globals : asid < 0 || this.asids[entry]! === asid) this.drop(entry);
    }
  }

  /** Returns a copy of the contents. */
  save(): TlbArrayState {
    const { tags, asids, frames, flags, older, newest } = this;
    return {
      fields: [tags.slice(), asids.slice(), frames.slice(), flags.slice()],
      rings: [older.slice(), newest.slice()],
    };
  }

  /** Puts saved contents back. */
  restore(state: TlbArrayState): void {
    const [tags, asids, frames, flags] = state.fields;
    const [older, newest] = state.rings;
    this.tags.set(tags);
    this.asids.set(asids);
    this.frames.set(frames);
    this.flags.set(flags);
    this.older.set(older);
    older.forEach((below, entry) => (this.newer[below] = entry));
    this.newest.set(newest);
    this.heads.fill(-1);
    this.live = 0;
    tags.forEach((page, entry) => {
      if (Number.isNaN(page)) return;
      this.occupy(entry);
      this.link(entry, page);
    });
  }

  /** Calls `visit` for each entry in use. */
  forEach(visit: (entry: number) => void): void {
    for (let entry = 0; entry < this.tags.length; entry++) if (!Number.isNaN(this.tags[entry]!)) visit(entry);
  }

  /** Throws `broken-invariant` unless every entry is in its set, found where it is looked for, and in its set's ring once. */
  check(): void {
    const seen = new Set<string>();
    this.forEach((entry) => {
      const page = this.tags[entry]!;
      invariant(Math.floor(entry / this.ways) === (page & (this.sets - 1)), "a translation is in the set of its page");
      const key = `${page}:${this.asids[entry]!}`;
      invariant(!seen.has(key), "a page is once in a TLB array per PCID");
      seen.add(key);
      let at = this.heads[Math.imul(page, SPREAD) >>> this.shift]!;
      while (at >= 0 && at !== entry) at = this.chain[at]!;
      invariant(at === entry, "a translation is in the chain of its page");
      invariant(this.inUse[this.place[entry]!] === entry, "an entry in use knows its place among them");
    });
    invariant(seen.size === this.live, "entries in use are counted");
    for (let set = 0; set < this.sets; set++) this.checkRing(set);
  }

  private checkRing(set: number): void {
    const newest = this.newest[set]!;
    let empty = false;
    let entry = newest;
    for (let way = 0; way < this.ways; way++, entry = this.older[entry]!) {
      invariant(Math.floor(entry / this.ways) === set, "a ring holds entries of its set");
      invariant(this.newer[this.older[entry]!] === entry, "a ring is linked both ways");
      const isEmpty = Number.isNaN(this.tags[entry]!);
      invariant(isEmpty || !empty, "empty entries are the oldest of their set");
      empty = isEmpty;
    }
    invariant(entry === newest, "a ring holds every entry of its set once");
  }
}
