/**
 * The state of a CPU that a snapshot holds: registers, privilege, and the contents of its TLB and paging-structure caches.
 */
import type { MemoryType } from "../mtrr/memory-type.ts";
import type { MtrrRegisters } from "../mtrr/registers.ts";
import type { Registers } from "./registers.ts";
import type { TlbArrayState } from "./tlb-array.ts";

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
  readonly mtrrs: MtrrRegisters;
  /** TLB arrays. */
  readonly tlb: readonly TlbArrayState[];
  /** Paging-structure caches. */
  readonly structures: readonly TlbArrayState[];
}
