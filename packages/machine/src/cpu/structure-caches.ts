/**
 * Paging-structure caches: entries of upper levels that the CPU has seen, so that a walk may start below the root. A
 * cached entry holds the next table's frame and the rights accumulated down to it. Source: SDM 3A, Caching Paging
 * Structures.
 *
 * A page fault voids the entries on the way to its address. They are not searched for and emptied at once: `voidPage` and `voidAsid`
 * name the way that is void. Walks that go there start at the root and are not remembered, so that fault after fault in one 2M page
 * costs nothing here; the first walk that goes elsewhere has them emptied (`settle`).
 */
import type { Pfn, Vpn } from "../units.ts";
import { StructureCache } from "./structure-cache.ts";
import type { TlbGeometry } from "./tlb-geometry.ts";

/** The contents of {@link StructureCaches}: copies of the entries of each level. */
export type StructureCacheState = readonly [pd: Int32Array, pdpt: Int32Array, pml4: Int32Array];

/** The paging-structure caches of a CPU, by the level of the entry that they hold: 2 (PD), 3 (PDPT), 4 (PML4). */
export class StructureCaches {
  /** Whether the CPU has none of them. */
  declare readonly absent: boolean;
  /** Cached PD entries. */
  declare readonly pd: StructureCache;
  /** Cached PDPT entries. */
  declare readonly pdpt: StructureCache;
  /** Cached PML4 entries. */
  declare readonly pml4: StructureCache;
  /** After {@link find}: the frame of the table that the entry found refers to, */
  table: Pfn = 0;
  /** and the rights accumulated down to it. */
  rights = 0;
  /** First page of the 2M page on whose way all entries are void (of PCID `voidAsid`), NaN: of none. */
  private voidPage: Vpn = NaN;
  private voidAsid = 0;

  /** Creates empty caches of the sizes that `geometry` names. */
  constructor(geometry: TlbGeometry) {
    const { pd, pdpt, pml4 } = geometry.structures;
    this.pd = new StructureCache(2, pd);
    this.pdpt = new StructureCache(3, pdpt);
    this.pml4 = new StructureCache(4, pml4);
    this.absent = this.pd.absent && this.pdpt.absent && this.pml4.absent;
  }

  /**
   * Looks for the lowest cached entry on the way to `vpn`; returns the level of the table to read next (1–3), which `table` and
   * `rights` tell of, or 0.
   */
  find(vpn: Vpn, asid: number): number {
    if (this.findDirectory(vpn, asid)) return this.took(this.pd, 1);
    if (this.isVoid(vpn, asid)) return 0;
    if (this.pdpt.look(vpn, asid)) return this.took(this.pdpt, 2);
    return this.pml4.look(vpn, asid) ? this.took(this.pml4, 3) : 0;
  }

  private took(cache: StructureCache, level: number): number {
    this.table = cache.table;
    this.rights = cache.rights;
    return level;
  }

  /** Looks for the PD entry on the way to `vpn`, which answers most often; whether `pd` tells of it now. Empties what is void elsewhere. */
  findDirectory(vpn: Vpn, asid: number): boolean {
    if (!Number.isNaN(this.voidPage)) {
      if (this.isVoid(vpn, asid)) return false;
      this.settle();
    }
    return this.pd.look(vpn, asid);
  }

  /** Takes in the entry of `level` (a PML5 entry is not kept) on the way to `vpn`, which {@link find} did not find. */
  fill(level: number, vpn: Vpn, asid: number, table: Pfn, rights: number): void {
    if (level === 2) this.pd.fill(vpn, asid, table, rights);
    else if (level === 3) this.pdpt.fill(vpn, asid, table, rights);
    else if (level === 4) this.pml4.fill(vpn, asid, table, rights);
  }

  /** Invalidates what a page fault does: entries of `asid` on the way to the address, whatever their level. */
  dropPage(vpn: Vpn, asid: number): void {
    const { pd, pdpt, pml4 } = this;
    if ((pd.isEmpty && pdpt.isEmpty && pml4.isEmpty) || this.isVoid(vpn, asid)) return;
    this.settle();
    this.voidPage = vpn - (vpn & 511);
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
    this.pd.drop(vpn, this.voidAsid);
    this.pdpt.drop(vpn, this.voidAsid);
    this.pml4.drop(vpn, this.voidAsid);
  }

  /** Invalidates all entries of `asid` (−1: of every PCID). */
  dropAll(asid: number): void {
    this.settle();
    this.pd.dropAll(asid);
    this.pdpt.dropAll(asid);
    this.pml4.dropAll(asid);
  }

  /** Calls `visit` for each entry held: level, first page of the piece that it covers, PCID, the table that it refers to. */
  forEach(visit: (level: number, vpn: Vpn, asid: number, table: Pfn) => void): void {
    this.settle();
    [this.pd, this.pdpt, this.pml4].forEach((cache, at) => {
      cache.forEach((vpn, asid, table) => {
        visit(at + 2, vpn, asid, table);
      });
    });
  }

  /** Returns a copy of everything they hold. */
  save(): StructureCacheState {
    this.settle();
    return [this.pd.save(), this.pdpt.save(), this.pml4.save()];
  }

  /** Puts saved contents back. */
  restore(state: StructureCacheState): void {
    this.voidPage = NaN;
    this.pd.restore(state[0]);
    this.pdpt.restore(state[1]);
    this.pml4.restore(state[2]);
  }

  /** Throws `broken-invariant` unless every entry in use is noted once, and its key once. */
  check(): void {
    this.pd.check();
    this.pdpt.check();
    this.pml4.check();
  }
}
