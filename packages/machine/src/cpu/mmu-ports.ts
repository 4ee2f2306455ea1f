/** What an MMU is made of, what it counts, and who may watch it. */
import type { Walk } from "@pagewright/x86-paging";
import type { Pfn, Vpn } from "../units.ts";
import type { Mmu } from "./mmu.ts";
import type { Registers } from "./registers.ts";
import type { TlbGeometry } from "./tlb-geometry.ts";

/** Counts of what the TLB did beyond the CPU's shortcuts. */
export interface MmuCounts {
  /** Data translations found in the first level, shortcuts not included. */
  dataHits: number;
  /** Data translations found in the second level. */
  dataSecondHits: number;
  /** Data translations that needed a walk. */
  dataMisses: number;
  /** The same for instruction fetches. */
  codeHits: number;
  /** Instruction translations found in the second level. */
  codeSecondHits: number;
  /** Instruction translations that needed a walk. */
  codeMisses: number;
  /** Entries read by walks. */
  walkReads: number;
  /** Walks made only to set the dirty bit. */
  dirtyAssists: number;
}

/** Called by the MMU where someone watches it (the adversary, the cost model). */
export interface MmuObserver {
  /** A translation was answered by the TLB for an access that it allows; `found`: by its first level (1) or its second (2). */
  hit(mmu: Mmu, vpn: Vpn, access: number, found: number): void;
  /** A walk for `vpn` reads the paging-structure entry of `level` at byte `offset` of `table`; exact walks do not tell. */
  entryRead(mmu: Mmu, table: Pfn, offset: number, vpn: Vpn, level: number): void;
  /** A walk ended in a translation that is in the TLB now; `exact`: the walk, if it was an exact one from the root, else null. */
  filled(mmu: Mmu, vpn: Vpn, access: number, exact: Walk | null): void;
  /**
   * Translations were invalidated: of page `vpn`, or of all pages when it is NaN, for PCID `asid`, or for every one when it is −1; global
   * ones only with `globals`.
   */
  invalidated(mmu: Mmu, vpn: Vpn, asid: number, globals: boolean): void;
}

/** How a CPU's MMU is made. */
export interface MmuOptions {
  /** TLB shape. */
  readonly tlb: TlbGeometry;
  /** Width of physical addresses, 32 … 52; bits above are reserved in entries. */
  readonly physicalBits: number;
  /** Registers to start with. */
  readonly registers: Registers;
}
