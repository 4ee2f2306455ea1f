/**
 * From a processor's page fault to the manager's: decodes the error code, finds the space, and says whether to try again.
 *
 * Source: Intel SDM 3A, Page-Fault Exceptions (error code).
 */
import { FAULT_FETCH, FAULT_KEY, FAULT_PRESENT, FAULT_RESERVED, FAULT_USER, FAULT_WRITE } from "@pagewright/x86-paging";

import { isResolved, type FaultOutcome } from "../outcome.ts";
import { EXECUTE, READ, USER, WRITE } from "../rights.ts";
import { addressOf, type VirtAddr } from "../units.ts";
import type { AddressSpace } from "../space/space.ts";
import type { Vmm } from "../vmm.ts";
import type { CpuTlbControl } from "./tlb-control.ts";

/** Who the fault comes from. */
export interface FaultingCpu {
  /** Number of the processor. */
  readonly id: number;
}

/** Resolves page faults of processors. */
export class X86FaultHandler {
  /** What the last fault came to. */
  outcome: FaultOutcome = "spurious";
  readonly #vmm: Vmm;
  readonly #control: CpuTlbControl;
  /** Of each processor, the last fault of the kernel's own that was called spurious: a second time it is not believed. */
  readonly #spuriousAt: Map<number, VirtAddr> = new Map();
  /** The space of the last fault and its number: most faults come from one space after another. */
  #space: AddressSpace | null = null;
  #asid = -1;

  /** A handler for the manager's spaces. */
  constructor(vmm: Vmm, control: CpuTlbControl) {
    this.#vmm = vmm;
    this.#control = control;
  }

  /** Resolves a fault at `va` with the processor's error code; true: try again. */
  pageFault(cpu: FaultingCpu, va: VirtAddr, error: number): boolean {
    if ((error & (FAULT_RESERVED | FAULT_KEY)) !== 0) return false;
    const vmm = this.#vmm;
    const kernel = vmm.kernel;
    const inKernel = va < 0 || (kernel !== null && kernel.low >= 0 && va >= addressOf(kernel.low));
    const space = inKernel ? kernel : this.#spaceOn(cpu.id);
    if (space === null) return false;
    const kind = (error & FAULT_WRITE) !== 0 ? WRITE : (error & FAULT_FETCH) !== 0 ? EXECUTE : READ;
    const user = (error & FAULT_USER) !== 0 ? USER : 0;
    if (inKernel && user !== 0) {
      this.outcome = "no-user";
      return false;
    }
    const { yields } = vmm.core;
    this.outcome = space.fault(va, kind + user);
    if (this.outcome !== "spurious" || vmm.core.yields !== yields || user !== 0) {
      if (this.#spuriousAt.size > 0) this.#spuriousAt.delete(cpu.id);
      return isResolved(this.outcome);
    }
    // Right by the tables, yet the kernel faulted twice: SMEP or SMAP, which no translation resolves.
    if (this.#spuriousAt.get(cpu.id) === va && (error & FAULT_PRESENT) !== 0) return false;
    this.#spuriousAt.set(cpu.id, va);
    return true;
  }

  #spaceOn(cpu: number): AddressSpace | null {
    const asid = this.#control.spaceOn(cpu);
    if (asid === this.#asid && this.#space !== null && !this.#space.isDestroyed) return this.#space;
    this.#space = this.#vmm.core.spaces.get(asid) ?? null;
    this.#asid = asid;
    return this.#space;
  }
}
