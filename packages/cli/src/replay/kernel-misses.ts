/** Tells the kernel's own TLB misses, in its windows while it serves faults, from those of programs. */
import type { Cpu, FaultHandler, VirtAddr } from "@pagewright/machine";

/** A fault handler around another one that counts what it missed. */
export class KernelMisses implements FaultHandler {
  /** Misses of handlers so far. */
  misses: number = 0;
  readonly #handler: FaultHandler;

  /** Counts around a handler. */
  constructor(handler: FaultHandler) {
    this.#handler = handler;
  }

  /** See the machine's FaultHandler. */
  pageFault(cpu: Cpu, va: VirtAddr, error: number): boolean {
    const { counts } = cpu.mmu;
    const before = counts.dataMisses + counts.codeMisses;
    const resolved = this.#handler.pageFault(cpu, va, error);
    this.misses += counts.dataMisses + counts.codeMisses - before;
    return resolved;
  }
}
