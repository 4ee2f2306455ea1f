/**
 * One set-associative array of translations. An entry is 32 bytes, half a cache line of the host, and goes by the index of its first
 * 32-bit word:
 *
 *        0           2           4                 5          6          7
 *   ┌───────────┬───────────┬─────────────────┬──────────┬──────────┬──────────┐
 *   │ page      │ frame     │ asid · flags    │ chain    │ older    │ newer    │   set = page mod sets
 *   └───────────┴───────────┴─────────────────┴──────────┴──────────┴──────────┘
 *     float64     float64     bits 29:18, 17:0  of one     ring of the set
 *     (NaN: empty)                              bucket
 *
 * What is asked for most costs the same whatever the number of ways:
 *
 *   find      heads[bucket(page)] → entry → chain → …      entries in use whose pages have one bucket; 16 pages in a row: one line
 *   add       oldest[set] → newer → … → newest → oldest    a ring per set; empty entries are its oldest
 *   dropAll   inUse[0 … live − 1]: the entries in use, in no order; place[entry / 8] says where
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

/** Where the PCID is in the word that it shares with the flags. */
const ASID_SHIFT = 18;
const ALL_FLAGS: number = 2 ** ASID_SHIFT - 1;
/** Words of an entry, and the numbers of those that are 32 bits wide. */
const WORDS = 8;
const FLAGS = 4;
const CHAIN = 5;
const OLDER = 6;
const NEWER = 7;

/** 2^32 / golden ratio: spreads page numbers that differ in few bits. */
const SPREAD = 0x9e3779b1;
/** Buckets per entry, at least. */
const SPARE = 8;

/** Shape of an array of translations. */
export interface TlbShape {
  /** Sets, a power of two. */
  readonly sets: number;
  /** Entries of a set, ≥ 1. */
  readonly ways: number;
}

/** The contents of a {@link TlbArray}: copies of its arrays. */
export interface TlbArrayState {
  /** The entries. */
  readonly words: Int32Array;
  /** The oldest entry of each set. */
  readonly oldest: Int32Array;
}

/** A set-associative array of translations. */
export class TlbArray {
  /** Sets, a power of two. */
  declare readonly sets: number;
  /** Entries of a set. */
  declare readonly ways: number;
  /** See the top of this file; `numbers` is the same bytes. */
  declare private readonly words: Int32Array;
  declare private readonly numbers: Float64Array;
  declare private readonly lru: boolean;
  declare private readonly oldest: Int32Array;
  declare private readonly shift: number;
  declare private readonly heads: Int32Array;
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
    this.words = new Int32Array(entries * WORDS);
    this.numbers = new Float64Array(this.words.buffer);
    this.lru = lru;
    this.oldest = Int32Array.from({ length: sets }, (_, set) => set * ways * WORDS);
    for (let entry = 0; entry < entries; entry++) {
      const set = Math.floor(entry / ways) * ways;
      const newer = set + ((entry - set + 1) % ways);
      this.numbers[entry * (WORDS / 2)] = NaN;
      this.words[entry * WORDS + NEWER] = newer * WORDS;
      this.words[newer * WORDS + OLDER] = entry * WORDS;
    }
    const bits = Math.max(4, Math.ceil(Math.log2(entries * SPARE)));
    this.shift = 32 - bits;
    this.heads = new Int32Array(2 ** bits).fill(-1);
    this.inUse = new Int32Array(entries);
    this.place = new Int32Array(entries);
  }

  /** Entries in use. */
  get count(): number {
    return this.live;
  }

  /** The page of an entry, in units of this array's page size; NaN: it is empty. */
  pageOf(entry: number): number {
    return this.numbers[entry >>> 1]!;
  }

  /** The first 4K frame that an entry maps. */
  frameOf(entry: number): Pfn {
    return this.numbers[(entry >>> 1) + 1]!;
  }

  /** The FLAG_ bits of an entry. */
  flagsOf(entry: number): number {
    return this.words[entry + FLAGS]! & ALL_FLAGS;
  }

  /** The PCID of an entry, 0 … 4095. */
  asidOf(entry: number): number {
    return this.words[entry + FLAGS]! >>> ASID_SHIFT;
  }

  private bucketOf(page: number): number {
    return ((Math.imul(page >>> 4, SPREAD) >>> this.shift) & -16) | (page & 15);
  }

  /** Returns the entry that translates `page` (a number in units of this array's page size) for `asid`, or −1. */
  find(page: number, asid: number): number {
    let entry = this.heads[this.bucketOf(page)]!;
    while (entry >= 0 && !(this.numbers[entry >>> 1]! === page && this.isFor(entry, asid)))
      entry = this.words[entry + CHAIN]!;
    return entry;
  }

  private isFor(entry: number, asid: number): boolean {
    const flags = this.words[entry + FLAGS]!;
    return flags >>> ASID_SHIFT === asid || (flags & FLAG_GLOBAL) !== 0;
  }

  /** Notes a use of an entry. Returns the page that was the most recently used one of its set until now; NaN: nothing has changed. */
  touch(entry: number): number {
    return this.lru ? this.makeNewest(entry, this.numbers[entry >>> 1]! & (this.sets - 1)) : NaN;
  }

  /** The page of the entry that {@link add} would overwrite: NaN where one is empty, else the page that has waited longest. */
  victim(page: number): number {
    return this.numbers[this.oldest[page & (this.sets - 1)]! >>> 1]!;
  }

  /**
   * Takes in a page that no entry translates for `asid`. Returns the page that may have no shortcut any more: the one that was the most
   * recently used of its set, or, where use is not noted, the one that is overwritten; NaN: there was none.
   */
  add(page: number, asid: number, frame: Pfn, flags: number): number {
    const { words, numbers } = this;
    const set = page & (this.sets - 1);
    const entry = this.oldest[set]!;
    const newest = words[entry + OLDER]!;
    const before = numbers[entry >>> 1]!;
    const gone = this.lru ? numbers[newest >>> 1]! : before;
    this.oldest[set] = words[entry + NEWER]!;
    if (Number.isNaN(before)) this.occupy(entry);
    else this.unlink(entry, before);
    numbers[entry >>> 1] = page;
    numbers[(entry >>> 1) + 1] = frame;
    words[entry + FLAGS] = (asid << ASID_SHIFT) | flags;
    this.link(entry, page);
    return gone;
  }

  private link(entry: number, page: number): void {
    const bucket = this.bucketOf(page);
    this.words[entry + CHAIN] = this.heads[bucket]!;
    this.heads[bucket] = entry;
  }

  private unlink(entry: number, page: number): void {
    const { words, heads } = this;
    const bucket = this.bucketOf(page);
    let at = heads[bucket]!;
    if (at === entry) heads[bucket] = words[entry + CHAIN]!;
    else {
      while (words[at + CHAIN]! !== entry) at = words[at + CHAIN]!;
      words[at + CHAIN] = words[entry + CHAIN]!;
    }
  }

  private occupy(entry: number): void {
    this.place[entry / WORDS] = this.live;
    this.inUse[this.live++] = entry;
  }

  /** Makes an entry the newest of its set. Returns the page of the one that was the newest, NaN: it was itself. */
  private makeNewest(entry: number, set: number): number {
    const oldest = this.oldest[set]!;
    const newest = this.words[oldest + OLDER]!;
    if (newest === entry) return NaN;
    if (entry === oldest) this.oldest[set] = this.words[entry + NEWER]!;
    else this.moveBefore(entry, oldest);
    return this.numbers[newest >>> 1]!;
  }

  /** Moves an entry between the newest of its ring and the oldest, which is another. */
  private moveBefore(entry: number, oldest: number): void {
    const { words } = this;
    const newest = words[oldest + OLDER]!;
    if (newest === entry) return;
    const below = words[entry + OLDER]!;
    const above = words[entry + NEWER]!;
    words[above + OLDER] = below;
    words[below + NEWER] = above;
    words[newest + NEWER] = entry;
    words[entry + OLDER] = newest;
    words[entry + NEWER] = oldest;
    words[oldest + OLDER] = entry;
  }

  /** Empties an entry in use. */
  drop(entry: number): void {
    const page = this.pageOf(entry);
    const set = page & (this.sets - 1);
    this.unlink(entry, page);
    this.numbers[entry >>> 1] = NaN;
    const last = this.inUse[--this.live]!;
    this.inUse[this.place[entry / WORDS]!] = last;
    this.place[last / WORDS] = this.place[entry / WORDS]!;
    if (entry !== this.oldest[set]!) this.moveBefore(entry, this.oldest[set]!);
    this.oldest[set] = entry;
  }

  /** Empties entries of `asid` for `page`; with `globals` the global ones of any PCID too. Returns how many. */
  dropPage(page: number, asid: number, globals: boolean): number {
    const first = this.heads[this.bucketOf(page)]!;
    return first < 0 ? 0 : this.dropChained(first, page, asid, globals);
  }

  private dropChained(first: number, page: number, asid: number, globals: boolean): number {
    let count = 0;
    for (let entry = first, next: number; entry >= 0; entry = next) {
      next = this.words[entry + CHAIN]!;
      if (this.pageOf(entry) !== page || !this.isMeant(entry, asid, globals)) continue;
      this.drop(entry);
      count++;
    }
    return count;
  }

  /** Whether an invalidation of `asid` (−1: of every PCID) means an entry; global ones only with `globals`, then of any PCID. */
  private isMeant(entry: number, asid: number, globals: boolean): boolean {
    const flags = this.words[entry + FLAGS]!;
    return (flags & FLAG_GLOBAL) !== 0 ? globals : asid < 0 || flags >>> ASID_SHIFT === asid;
  }

  /**
   * Empties entries of `asid` for 2M pieces of the 1G page `parent`; piece n has the page number `offset` + n. With `globals`
   * global ones of any PCID too. Returns how many. Cost: proportional to the entries in use.
   */
  dropPieces(parent: number, offset: number, asid: number, globals: boolean): number {
    let count = 0;
    for (let at = this.live - 1; at >= 0; at--) {
      const entry = this.inUse[at]!;
      const isPiece = ((this.flagsOf(entry) >>> FLAG_LEVEL_SHIFT) & 3) === 3;
      if (!isPiece || Math.floor((this.pageOf(entry) - offset) / 512) !== parent) continue;
      if (!this.isMeant(entry, asid, globals)) continue;
      this.drop(entry);
      count++;
    }
    return count;
  }

  /** Empties the array: entries of `asid` (−1: of all); global ones only with `globals`. Cost: proportional to the entries in use. */
  dropAll(asid: number, globals: boolean): void {
    for (let at = this.live - 1; at >= 0; at--) {
      const entry = this.inUse[at]!;
      if (this.isMeant(entry, asid, globals)) this.drop(entry);
    }
  }

  /** Returns a copy of the contents. */
  save(): TlbArrayState {
    return { words: this.words.slice(), oldest: this.oldest.slice() };
  }

  /** Puts saved contents back. */
  restore(state: TlbArrayState): void {
    this.words.set(state.words);
    this.oldest.set(state.oldest);
    this.heads.fill(-1);
    this.live = 0;
    this.forEach((entry) => {
      this.occupy(entry);
      this.link(entry, this.pageOf(entry));
    });
  }

  /** Calls `visit` for each entry in use. */
  forEach(visit: (entry: number) => void): void {
    for (let entry = 0; entry < this.words.length; entry += WORDS) if (!Number.isNaN(this.pageOf(entry))) visit(entry);
  }

  /** Throws `broken-invariant` unless every entry is in its set, found where it is looked for, and in its set's ring once. */
  check(): void {
    const seen = new Set<string>();
    this.forEach((entry) => {
      const page = this.pageOf(entry);
      invariant(this.setOf(entry) === (page & (this.sets - 1)), "a translation is in the set of its page");
      const key = `${page}:${this.asidOf(entry)}`;
      invariant(!seen.has(key), "a page is once in a TLB array per PCID");
      seen.add(key);
      let at = this.heads[this.bucketOf(page)]!;
      while (at >= 0 && at !== entry) at = this.words[at + CHAIN]!;
      invariant(at === entry, "a translation is in the chain of its page");
      invariant(this.inUse[this.place[entry / WORDS]!] === entry, "an entry in use knows its place among them");
    });
    invariant(seen.size === this.live, "entries in use are counted");
    for (let set = 0; set < this.sets; set++) this.checkRing(set);
  }

  private setOf(entry: number): number {
    return Math.floor(entry / WORDS / this.ways);
  }

  private checkRing(set: number): void {
    const oldest = this.oldest[set]!;
    let used = false;
    let entry = oldest;
    for (let way = 0; way < this.ways; way++, entry = this.words[entry + NEWER]!) {
      invariant(this.setOf(entry) === set, "a ring holds entries of its set");
      invariant(this.words[this.words[entry + NEWER]! + OLDER] === entry, "a ring is linked both ways");
      const isUsed = !Number.isNaN(this.pageOf(entry));
      invariant(isUsed || !used, "empty entries are the oldest of their set");
      used = isUsed;
    }
    invariant(entry === oldest, "a ring holds every entry of its set once");
  }
}
