/**
 * One set-associative array of translations, one typed array per field:
 *
 *   entry = set · ways + way        set = page number mod sets
 *   tags[entry]    page number in units of the array's page size, NaN when empty
 *   asids[entry]   PCID (0 … 4095)
 *   frames[entry]  first 4K frame that it maps
 *   flags[entry]   see the FLAG_ constants
 *   stamps[entry]  when it was last used (LRU) or filled (round robin)
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

/** Shape of an array of translations. */
export interface TlbShape {
  /** Sets, a power of two. */
  readonly sets: number;
  /** Entries of a set, ≥ 1. */
  readonly ways: number;
}

/** The contents of a {@link TlbArray}. */
export interface TlbArrayState {
  /** Copies of the fields, in the order tags, asids, frames, flags, stamps. */
  readonly fields: readonly [Float64Array, Int32Array, Float64Array, Int32Array, Float64Array];
  /** The array's clock. */
  readonly clock: number;
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
  declare private readonly stamps: Float64Array;
  declare private readonly lru: boolean;
  private clock = 0;

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
    this.stamps = new Float64Array(entries);
    this.lru = lru;
  }

  /** Returns the entry that translates `page` (a number in units of this array's page size) for `asid`, or −1. */
  find(page: number, asid: number): number {
    const { tags, ways } = this;
    const first = (page & (this.sets - 1)) * ways;
    const end = first + ways;
    for (let entry = first; entry < end; entry++)
      if (tags[entry]! === page && (this.asids[entry]! === asid || (this.flags[entry]! & FLAG_GLOBAL) !== 0))
        return entry;
    return -1;
  }

  /** Notes a use of an entry. */
  touch(entry: number): void {
    if (this.lru) this.stamps[entry] = ++this.clock;
  }

  /** Returns the entry that the next fill for `page` would overwrite: an empty one, else the one that has waited longest. */
  victim(page: number): number {
    const { tags, stamps, ways } = this;
    const first = (page & (this.sets - 1)) * ways;
    const end = first + ways;
    let best = first;
    let least = Infinity;
    for (let entry = first; entry < end; entry++) {
      if (Number.isNaN(tags[entry]!)) return entry;
      const stamp = stamps[entry]!;
      if (stamp < least) {
        least = stamp;
        best = entry;
      }
    }
    return best;
  }

  /** Overwrites `entry`. */
  put(entry: number, page: number, asid: number, frame: Pfn, flags: number): void {
    this.tags[entry] = page;
    this.asids[entry] = asid;
    this.frames[entry] = frame;
    this.flags[entry] = flags;
    this.stamps[entry] = ++this.clock;
  }

  /** Empties an entry. */
  drop(entry: number): void {
    this.tags[entry] = NaN;
  }

  /** Empties entries of `asid` for `page`; with `globals` the global ones of any PCID too. Returns how many. */
  dropPage(page: number, asid: number, globals: boolean): number {
    const first = (page & (this.sets - 1)) * this.ways;
    let count = 0;
    for (let entry = first; entry < first + this.ways; entry++) {
      if (this.tags[entry]! !== page) continue;
      const global = (this.flags[entry]! & FLAG_GLOBAL) !== 0;
      if (global ? !globals : this.asids[entry]! !== asid) continue;
      this.tags[entry] = NaN;
      count++;
    }
    return count;
  }

  /** Empties the array: entries of `asid` (−1: of all); global ones only with `globals`. */
  dropAll(asid: number, globals: boolean): void {
    if (asid < 0 && globals) {
      this.tags.fill(NaN);
      return;
    }
    for (let entry = 0; entry < this.tags.length; entry++) {
      const global = (this.flags[entry]! & FLAG_GLOBAL) !== 0;
      if (global ? globals : asid < 0 || this.asids[entry]! === asid) this.tags[entry] = NaN;
    }
  }

  /** Returns a copy of the contents. */
  save(): TlbArrayState {
    const { tags, asids, frames, flags } = this;
    return {
      fields: [tags.slice(), asids.slice(), frames.slice(), flags.slice(), this.stamps.slice()],
      clock: this.clock,
    };
  }

  /** Puts saved contents back. */
  restore(state: TlbArrayState): void {
    const [tags, asids, frames, flags, stamps] = state.fields;
    this.tags.set(tags);
    this.asids.set(asids);
    this.frames.set(frames);
    this.flags.set(flags);
    this.stamps.set(stamps);
    this.clock = state.clock;
  }

  /** Calls `visit` for each entry in use. */
  forEach(visit: (entry: number) => void): void {
    for (let entry = 0; entry < this.tags.length; entry++) if (!Number.isNaN(this.tags[entry]!)) visit(entry);
  }

  /** Throws `broken-invariant` unless every entry is in its set and pages are distinct within a set and PCID. */
  check(): void {
    const seen = new Set<string>();
    this.forEach((entry) => {
      const page = this.tags[entry]!;
      invariant(Math.floor(entry / this.ways) === (page & (this.sets - 1)), "a translation is in the set of its page");
      const key = `${page}:${this.asids[entry]!}`;
      invariant(!seen.has(key), "a page is once in a TLB array per PCID");
      seen.add(key);
    });
  }
}
