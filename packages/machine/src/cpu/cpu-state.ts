/**
 * The state of a CPU that a snapshot holds, as plain data: registers, privilege, the contents of its TLB, paging-structure
 * caches and write-combining buffers, its figures.
 */
import type { WriteCombinerState } from "../devices/write-combining.ts";
import type { MemoryType } from "../mtrr/memory-type.ts";
import type { MtrrState } from "../mtrr/registers.ts";
import type { FaultKind } from "./access-fault.ts";
import type { MmuCounts } from "./mmu-ports.ts";
import type { Registers } from "./registers.ts";
import type { StructureCacheState } from "./structure-caches.ts";
import type { TlbArrayState } from "./tlb-array.ts";
import type { CpuOutcome, DeliveryPath } from "./wired-control.ts";

/** See the top of this file. Treat it as opaque. */
export interface CpuState {
  /** Registers that decide translations. */
  readonly registers: Registers;
  /** Current privilege level. */
  readonly cpl: number;
  /** EFLAGS.AC. */
  readonly ac: boolean;
  /** CR2 as page number and offset. */
  readonly cr2: readonly [vpn: number, offset: number];
  /** RFLAGS.IF. */
  readonly interruptsEnabled: boolean;
  /** The page attribute table. */
  readonly pat: readonly MemoryType[];
  /** Memory type range registers. */
  readonly mtrrs: MtrrState;
  /** TLB arrays. */
  readonly tlb: readonly TlbArrayState[];
  /** Paging-structure caches. */
  readonly structures: StructureCacheState;
  /** Whether it runs. */
  readonly outcome: CpuOutcome;
  /** What it needs to deliver an exception. */
  readonly delivery: DeliveryPath | null;
  /** Result registers: the high and low words of 64-bit accesses, bytes done of bulk operations. */
  readonly results: readonly [high: number, low: number, progress: number];
  /** The last fault. */
  readonly fault: { readonly kind: FaultKind; readonly va: number; readonly error: number };
  /** Write-combining buffers, and whether they may hold something. */
  readonly combiner: WriteCombinerState;
  /** See {@link CpuState.combiner}. */
  readonly gathering: boolean;
  /** Figures of the MMU. */
  readonly counts: MmuCounts;
  /** Hits that took the short way, for data and for code; page faults, protection faults. */
  readonly totals: readonly [data: number, code: number, pageFaults: number, protectionFaults: number];
}
