/**
 * The cached entries of one level of paging structures, in sets of four places:
 *
 *   keys[2 · entry]       (float64) number of the piece of address space that the entry covers · 4096 + PCID; NaN: empty
 *   words[4 · entry + 2]  the same bytes: frame of the table that the entry refers to
 *   words[4 · entry + 3]  rights accumulated down to it; in a set's first entry, turn · 256 more: which of the set goes next
 *   journal[0 … noted − 1]  every entry in use (and some that are not), so that dropping all costs what is held
 */
import { invariant } from "../errors.ts";
import type { Pfn, Vpn } from "../units.ts";

/** Entries of a set, at most. */
const MOST_WAYS = 4;
/** PCIDs that there are. */
const PCIDS = 4096;

/** The paging-structure cache of one level. */
export class StructureCache {
  /** Whether the CPU has none of this level. */
  declare readonly absent: boolean;
  /** After a {@link look} that succeeded: the frame of the table that the entry refers to. */
  table: Pfn = 0;
  /** Rights accumulated down to it. */
  rights = 0;
  /** Bits of a page number that do not count: 512 pages to a PD entry, 2^18 to a PDPT entry, 2^27 to a PML4 entry. */
  declare private readonly inside: number;
  /** What makes the rest of a page number, those bits zero, the number of the entry's piece · 4096. Exact: a power of two. */
  declare private readonly scale: number;
  /** Bits of `inside`. */
  declare private readonly shift: number;
  /** Sets − 1. */
  declare private readonly mask: number;
  /** Entries of a set that are used, 0 … 4. */
  declare private readonly ways: number;
  declare private readonly keys: Float64Array;
  declare private readonly words: Int32Array;
  declare private readonly journal: Int32Array;
  declare private readonly isNoted: Uint8Array;
  private noted = 0;

  /** Creates an empty cache of `size` entries of `level` (2–4), rounded down to whole sets, a power of two of them. */
  constructor(level: number, size: number) {
    this.shift = 9 * level - 9;
    this.inside = 2 ** this.shift - 1;
    this.scale = PCIDS / 2 ** this.shift;
    const ways = Math.min(MOST_WAYS, Math.max(size, 0));
    const sets = ways === 0 ? 1 : 2 ** Math.floor(Math.log2(size / ways));
    const entries = sets * MOST_WAYS;
    this.absent = ways === 0;
    this.mask = sets - 1;
    this.ways = ways;
    this.keys = new Float64Array(2 * entries);
    this.words = new Int32Array(this.keys.buffer);
    for (let entry = 0; entry < entries; entry++) this.keys[entry * 2] = NaN;
    this.journal = new Int32Array(entries);
    this.isNoted = new Uint8Array(entries);
  }

  /** Whether it is sure to hold nothing. */
  get isEmpty(): boolean {
    return this.noted === 0;
  }

  /** The first word of the set for `vpn`. */
  private setOf(vpn: Vpn): number {
    return ((vpn >>> this.shift) & this.mask) * 16;
  }

  private keyOf(vpn: Vpn, asid: number): number {
    return (vpn - (vpn & this.inside)) * this.scale + asid;
  }

  /** Looks for the entry on the way to `vpn`; whether there is one: `table` and `rights` tell of it. */
  look(vpn: Vpn, asid: number): boolean {
    const { keys } = this;
    const key = this.keyOf(vpn, asid);
    let at = this.setOf(vpn) >>> 1;
    if (keys[at]! !== key) {
      if (keys[at + 2]! === key) at += 2;
      else if (keys[at + 4]! === key) at += 4;
      else if (keys[at + 6]! === key) at += 6;
      else return false;
    }
    this.table = this.words[at * 2 + 2]!;
    this.rights = this.words[at * 2 + 3]! & 255;
    return true;
  }

  /**
   * Takes in the entry on the way to `vpn`, which {@link look} did not find, in place of the one whose turn it is. Frames of tables are kept as
   * 32-bit integers: an entry that refers to one from 2^31 (8 TiB) on is not taken in.
   */
  fill(vpn: Vpn, asid: number, table: Pfn, rights: number): void {
    const { keys, words, ways } = this;
    if (ways === 0 || table > 0x7fffffff) return;
    const first = this.setOf(vpn);
    const turn = words[first + 3]! >> 8;
    words[first + 3] = (words[first + 3]! & 255) | ((turn + 1 === ways ? 0 : turn + 1) << 8);
    const at = first + turn * 4;
    if (Number.isNaN(keys[at >>> 1]!)) this.note(at >>> 2);
    keys[at >>> 1] = this.keyOf(vpn, asid);
    words[at + 2] = table;
    words[at + 3] = (words[at + 3]! & -256) | rights;
  }

  private note(entry: number): void {
    if (this.isNoted[entry]! !== 0) return;
    this.isNoted[entry] = 1;
    this.journal[this.noted++] = entry;
  }

  /** Empties the entry on the way to `vpn`, if there is one. */
  drop(vpn: Vpn, asid: number): void {
    const key = this.keyOf(vpn, asid);
    const first = this.setOf(vpn) >>> 1;
    for (let at = first; at < first + 2 * MOST_WAYS; at += 2) if (this.keys[at]! === key) this.keys[at] = NaN;
  }

  /** Empties all entries of `asid` (−1: of every PCID). */
  dropAll(asid: number): void {
    let kept = 0;
    for (let at = 0; at < this.noted; at++) {
      const entry = this.journal[at]!;
      const key = this.keys[entry * 2]!;
      if (asid < 0 || Number.isNaN(key) || key - Math.floor(key / PCIDS) * PCIDS === asid) {
        this.keys[entry * 2] = NaN;
        this.isNoted[entry] = 0;
      } else this.journal[kept++] = entry;
    }
    this.noted = kept;
  }

  /** Calls `visit` for each entry: first page of the piece that it covers, PCID, table. */
  forEach(visit: (vpn: Vpn, asid: number, table: Pfn) => void): void {
    for (let entry = 0; entry < this.isNoted.length; entry++) {
      const key = this.keys[entry * 2]!;
      if (Number.isNaN(key)) continue;
      const piece = Math.floor(key / PCIDS);
      visit((piece * PCIDS) / this.scale, key - piece * PCIDS, this.words[entry * 4 + 2]!);
    }
  }

  /** Returns a copy of the entries. */
  save(): Int32Array {
    return this.words.slice();
  }

  /** Puts saved entries back. */
  restore(words: Int32Array): void {
    this.words.set(words);
    this.isNoted.fill(1);
    this.noted = this.isNoted.length;
    for (let entry = 0; entry < this.noted; entry++) this.journal[entry] = entry;
  }

  /** Throws `broken-invariant` unless every entry in use is noted once, and its key once. */
  check(): void {
    const noted = new Set(this.journal.subarray(0, this.noted));
    invariant(noted.size === this.noted, "a cached upper-level entry is noted once");
    const seen = new Set<number>();
    for (let entry = 0; entry < this.isNoted.length; entry++) {
      const key = this.keys[entry * 2]!;
      if (Number.isNaN(key)) continue;
      invariant(noted.has(entry) && this.isNoted[entry] === 1, "a cached upper-level entry in use is noted");
      invariant(!seen.has(key), "an upper-level entry is cached once per PCID");
      seen.add(key);
    }
  }
}
