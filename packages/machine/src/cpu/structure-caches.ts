/**
 * Paging-structure caches: entries of upper levels that the CPU has seen, so that a walk may start below the root. A
 * cached entry holds the next table's frame and the rights accumulated down to it. Source: SDM 3A, Caching Paging
 * Structures.
 */
import type { Pfn, Vpn } from "../units.ts";
import { TlbArray } from "./tlb-array.ts";
import type { TlbArrayState } from "./tlb-array.ts";
import type { TlbGeometry } from "./tlb-geometry.ts";

function arrayOf(entries: number): TlbArray | null {
  if (entries <= 0) return null;
  const ways = Math.min(4, entries);
  return new TlbArray({ sets: 2 ** Math.floor(Math.log2(entries / ways)), ways }, true);
}

/** By level: turns a 4K page number into that of the pages that one entry covers (a PD entry's: 512). Exact: powers of two. */
const SCALE: Float64Array = Float64Array.from([0, 1, 2 ** -9, 2 ** -18, 2 ** -27]);

/** The paging-structure caches of a CPU, by the level of the entry that they hold: 2 (PD), 3 (PDPT), 4 (PML4). */
export class StructureCaches {
  /** After a find: the frame of the table that the cached entry refers to. */
  table: Pfn = 0;
  /** After a find: rights accumulated down to it. */
  rights = 0;
  /** Whether the CPU has none of them. */
  readonly absent: boolean;
  private readonly levels: readonly (TlbArray | null)[];
  private readonly directories: TlbArray | null;
  /** Whether nothing was taken in since everything was dropped. */
  private empty = true;

  /** Creates empty caches of the sizes that `geometry` names. */
  constructor(geometry: TlbGeometry) {
    const { pd, pdpt, pml4 } = geometry.structures;
    this.directories = arrayOf(pd);
    this.levels = [null, null, this.directories, arrayOf(pdpt), arrayOf(pml4)];
    this.absent = this.levels.every((array) => array === null);
  }

  /**
   * Looks for the lowest cached entry on the way to `vpn`; returns the level of the table to read next (1–3) and sets
   * `table` and `rights`, or 0.
   */
  find(vpn: Vpn, asid: number): number {
    if (this.empty) return 0;
    const { directories } = this;
    if (directories !== null) {
      const entry = directories.find(Math.floor(vpn * 2 ** -9), asid);
      if (entry >= 0) return this.found(directories, entry, 1);
    }
    return this.findUpper(vpn, asid);
  }

  private found(array: TlbArray, entry: number, next: number): number {
    array.touch(entry);
    this.table = array.frames[entry]!;
    this.rights = array.flags[entry]!;
    return next;
  }

  private findUpper(vpn: Vpn, asid: number): number {
    for (let level = 3; level <= 4; level++) {
      const array = this.levels[level];
      if (array === null || array === undefined) continue;
      const entry = array.find(Math.floor(vpn * SCALE[level]!), asid);
      if (entry >= 0) return this.found(array, entry, level - 1);
    }
    return 0;
  }

  /** Takes in the entry of `level` (2–4) on the way to `vpn`. */
  fill(level: number, vpn: Vpn, asid: number, table: Pfn, rights: number): void {
    const array = this.levels[level];
    if (array === null || array === undefined) return;
    this.empty = false;
    const page = Math.floor(vpn * SCALE[level]!);
    const known = array.find(page, asid);
    array.put(known >= 0 ? known : array.victim(page), page, asid, table, rights);
  }

  /** Invalidates what INVLPG does: entries of `asid` for the address, whatever their level (−1: of every PCID). */
  dropPage(vpn: Vpn, asid: number): void {
    if (this.empty) return;
    for (let level = 2; level <= 4; level++) this.levels[level]?.dropPage(Math.floor(vpn * SCALE[level]!), asid, true);
  }

  /** Invalidates all entries of `asid` (−1: of every PCID). */
  dropAll(asid: number): void {
    if (this.empty) return;
    for (const array of this.levels) array?.dropAll(asid, true);
    if (asid < 0) this.empty = true;
  }

  /** Returns a copy of everything they hold. */
  save(): TlbArrayState[] {
    return this.levels.filter((array) => array !== null).map((array) => array.save());
  }

  /** Puts saved contents back. */
  restore(states: readonly TlbArrayState[]): void {
    this.empty = false;
    this.levels
      .filter((array) => array !== null)
      .forEach((array, at) => {
        const state = states[at];
        if (state !== undefined) array.restore(state);
      });
  }

  /** Throws `broken-invariant` unless every array holds. */
  check(): void {
    for (const array of this.levels) array?.check();
  }
}
