/**
 * Paging-structure caches: entries of upper levels that the CPU has seen, so that a walk may start below the root. A
 * cached entry holds the next table's frame and the rights accumulated down to it. Source: SDM 3A, Caching Paging
 * Structures.
 *
 *   entry       level 2 (PD): 0 … | level 3 (PDPT): … | level 4 (PML4): …      each level in sets of up to 4 entries
 *   keys[entry] number of the page that the entry covers · 4096 + PCID, NaN when empty
 *   turns[set's first entry]   which entry of a full set goes next
 *   journal[0 … noted − 1]     every entry in use (and some that are not), so that dropping all costs what is held
 *
 * A page fault voids the entries on the way to its address. They are not searched for and emptied at once: `voidPage` and `voidAsid`
 * name the way that is void. Walks that go there start at the root and are not remembered, so that fault after fault in one 2M page
 * costs nothing here; the first walk that goes elsewhere has them emptied (`settle`).
 */
import { invariant } from "../errors.ts";
import type { Pfn, Vpn } from "../units.ts";
import type { TlbGeometry } from "./tlb-geometry.ts";

/** Entries of a set, at most. */
const MOST_WAYS = 4;
/** PCIDs that there are. */
const PCIDS = 4096;

/** By level: turns a 4K page number into that of the pages that one entry covers (a PD entry's: 512). Exact: powers of two. */
const SCALE: Float64Array = Float64Array.from([0, 1, 2 ** -9, 2 ** -18, 2 ** -27]);

/** The contents of {@link StructureCaches}. */
export interface StructureCacheState {
  /** Copies of the keys. */
  readonly keys: Float64Array;
  /** Copies of the tables' frames. */
  readonly frames: Int32Array;
  /** Copies of the rights. */
  readonly flags: Int32Array;
  /** Copies of the turns. */
  readonly turns: Uint8Array;
}

/** The paging-structure caches of a CPU, by the level of the entry that they hold: 2 (PD), 3 (PDPT), 4 (PML4). */
export class StructureCaches {
  /** The entry that was found last. */
  private entry = 0;
  /** Whether the CPU has none of them. */
  declare readonly absent: boolean;
  /** By level: the first entry. */
  declare private readonly starts: Int32Array;
  /** By level: sets − 1. */
  declare private readonly masks: Int32Array;
  /** By level: entries of a set, 0 where the CPU has no such cache. */
  declare private readonly ways: Int32Array;
  /** Of level 2, whose first entry is 0: sets − 1, and entries of a set. */
  declare private readonly directoryMask: number;
  declare private readonly directoryWays: number;
  /** By level: the entry filled last, which most often is the one to fill next. */
  declare private readonly latest: Int32Array;
  declare private readonly keys: Float64Array;
  declare private readonly frames: Int32Array;
  declare private readonly flags: Int32Array;
  declare private readonly turns: Uint8Array;
  declare private readonly journal: Int32Array;
  declare private readonly isNoted: Uint8Array;
  private noted = 0;
  /** First page of the 2M page on whose way all entries are void (of PCID `voidAsid`), NaN: of none. */
  private voidPage: Vpn = NaN;
  private voidAsid = 0;

  /** Creates empty caches of the sizes that `geometry` names; a level's size is rounded down to whole sets, a power of two of them. */
  constructor(geometry: TlbGeometry) {
    const { pd, pdpt, pml4 } = geometry.structures;
    this.starts = new Int32Array(5);
    this.masks = new Int32Array(5);
    this.ways = new Int32Array(5);
    this.latest = new Int32Array(5);
    let entries = 0;
    for (const [level, size] of [
      [2, pd],
      [3, pdpt],
      [4, pml4],
    ] as const) {
      const ways = Math.min(MOST_WAYS, Math.max(size, 0));
      const sets = ways === 0 ? 1 : 2 ** Math.floor(Math.log2(size / ways));
      this.starts[level] = entries;
      this.latest[level] = entries;
      this.masks[level] = sets - 1;
      this.ways[level] = ways;
      entries += sets * ways;
    }
    this.absent = entries === 0;
    this.directoryMask = this.masks[2]!;
    this.directoryWays = this.ways[2]!;
    this.keys = new Float64Array(entries).fill(NaN);
    this.frames = new Int32Array(entries);
    this.flags = new Int32Array(entries);
    this.turns = new Uint8Array(entries);
    this.journal = new Int32Array(entries);
    this.isNoted = new Uint8Array(entries);
  }

  /** The frame of the table that the entry found last refers to. */
  get table(): Pfn {
    return this.frames[this.entry]!;
  }

  /** Rights accumulated down to it. */
  get rights(): number {
    return this.flags[this.entry]!;
  }

  /**
   * Looks for the lowest cached entry on the way to `vpn`; returns the level of the table to read next (1–3), which `table` and
   * `rights` tell of, or 0.
   */
  find(vpn: Vpn, asid: number): number {
    if (this.noted === 0) return 0;
    if (!Number.isNaN(this.voidPage)) {
      if (this.isVoid(vpn, asid)) return 0;
      this.settle();
    }
    // The cache of PD entries answers most often: its look-up is written out, with literals (half the time).
    const { keys } = this;
    const page = Math.floor(vpn * 2 ** -9);
    const key = page * 4096 + asid;
    const first = (page & this.directoryMask) * this.directoryWays;
    for (let entry = first; entry < first + this.directoryWays; entry++)
      if (keys[entry]! === key) {
        this.entry = entry;
        return 1;
      }
    return this.findUpper(vpn, asid);
  }

  private findUpper(vpn: Vpn, asid: number): number {
    if (this.look(3, vpn, asid) >= 0) return 2;
    return this.look(4, vpn, asid) >= 0 ? 3 : 0;
  }

  private look(level: number, vpn: Vpn, asid: number): number {
    const { keys } = this;
    const page = Math.floor(vpn * SCALE[level]!);
    const key = page * PCIDS + asid;
    const first = this.firstOf(level, page);
    for (let entry = first; entry < first + this.ways[level]!; entry++) {
      if (keys[entry]! !== key) continue;
      this.entry = entry;
      return entry;
    }
    return -1;
  }

  private firstOf(level: number, page: number): number {
    return this.starts[level]! + (page & this.masks[level]!) * this.ways[level]!;
  }

  /**
   * Takes in the entry of `level` (2–4) on the way to `vpn`: over itself, else an empty one, else the one whose turn it is. Frames of tables
   * are kept as 32-bit integers: an entry that refers to one from 2^31 (8 TiB) on is not taken in, nor is none (−1).
   */
  fill(level: number, vpn: Vpn, asid: number, table: Pfn, rights: number): void {
    const { keys } = this;
    const ways = this.ways[level]!;
    if (ways === 0 || table < 0 || table > 0x7fffffff) return;
    const page = Math.floor(vpn * SCALE[level]!);
    const key = page * PCIDS + asid;
    let entry = this.latest[level]!;
    if (keys[entry]! !== key) {
      entry = this.entryFor(this.firstOf(level, page), ways, key);
      this.latest[level] = entry;
      keys[entry] = key;
    }
    this.frames[entry] = table;
    this.flags[entry] = rights;
  }

  /** The entry of a set that has the key, else an empty one, else the one whose turn it is; noted. */
  private entryFor(first: number, ways: number, key: number): number {
    let entry = -1;
    for (let at = first; at < first + ways; at++) {
      const known = this.keys[at]!;
      if (known === key) return at;
      if (entry < 0 && Number.isNaN(known)) entry = at;
    }
    if (entry < 0) {
      const turn = this.turns[first]!;
      this.turns[first] = turn + 1 === ways ? 0 : turn + 1;
      return first + turn;
    }
    if (this.isNoted[entry]! === 0) {
      this.isNoted[entry] = 1;
      this.journal[this.noted++] = entry;
    }
    return entry;
  }

  /** Invalidates what a page fault does: entries of `asid` on the way to the address, whatever their level. */
  dropPage(vpn: Vpn, asid: number): void {
    if (this.noted === 0 || this.isVoid(vpn, asid)) return;
    this.settle();
    this.voidPage = Math.floor(vpn * 2 ** -9) * 512;
    this.voidAsid = asid;
  }

  /** Whether entries on the way to `vpn` are void, so that none is to be taken in. */
  isVoid(vpn: Vpn, asid: number): boolean {
    return vpn >= this.voidPage && vpn < this.voidPage + 512 && asid === this.voidAsid;
  }

  /** Empties what is void. */
  settle(): void {
    const vpn = this.voidPage;
    if (Number.isNaN(vpn)) return;
    this.voidPage = NaN;
    for (let level = 2; level <= 4; level++) {
      const entry = this.look(level, vpn, this.voidAsid);
      if (entry >= 0) this.keys[entry] = NaN;
    }
  }

  /** Invalidates all entries of `asid` (−1: of every PCID). */
  dropAll(asid: number): void {
    this.settle();
    let kept = 0;
    for (let at = 0; at < this.noted; at++) {
      const entry = this.journal[at]!;
      const key = this.keys[entry]!;
      if (asid < 0 || Number.isNaN(key) || key - Math.floor(key / PCIDS) * PCIDS === asid) {
        this.keys[entry] = NaN;
        this.isNoted[entry] = 0;
      } else this.journal[kept++] = entry;
    }
    this.noted = kept;
  }

  /** Returns a copy of everything they hold. */
  save(): StructureCacheState {
    this.settle();
    const { keys, frames, flags, turns } = this;
    return { keys: keys.slice(), frames: frames.slice(), flags: flags.slice(), turns: turns.slice() };
  }

  /** Puts saved contents back. */
  restore(state: StructureCacheState): void {
    this.voidPage = NaN;
    this.keys.set(state.keys);
    this.frames.set(state.frames);
    this.flags.set(state.flags);
    this.turns.set(state.turns);
    this.isNoted.fill(1);
    this.noted = this.keys.length;
    for (let entry = 0; entry < this.noted; entry++) this.journal[entry] = entry;
  }

  /** Throws `broken-invariant` unless every entry in use is noted once, and its key once. */
  check(): void {
    const noted = new Set(this.journal.subarray(0, this.noted));
    invariant(noted.size === this.noted, "a cached upper-level entry is noted once");
    for (let level = 2; level <= 4; level++) {
      const seen = new Set<number>();
      const start = this.starts[level]!;
      for (let entry = start; entry < start + (this.masks[level]! + 1) * this.ways[level]!; entry++) {
        const key = this.keys[entry]!;
        if (Number.isNaN(key)) continue;
        invariant(noted.has(entry) && this.isNoted[entry] === 1, "a cached upper-level entry in use is noted");
        invariant(!seen.has(key), "an upper-level entry is cached once per PCID");
        seen.add(key);
      }
    }
  }
}
