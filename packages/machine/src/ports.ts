import type { Cpu } from "./cpu/cpu.ts";
import type { VirtAddr } from "./units.ts";

/**
 * What a CPU needs of an operating system: someone to call on a page fault.
 */
export interface FaultHandler {
  /**
   * Handles a page fault of `cpu` at `va` with the hardware's error code (P, W/R, U/S, RSVD, I/D, PK bits).
   *
   * Returns true when the cause is removed and the access is to be tried again, false when it ends as a fault. It runs
   * on that CPU in supervisor mode: accesses that it makes through the CPU may fault in turn (a double fault when the
   * handler is already running for the same address).
   */
  pageFault(cpu: Cpu, va: VirtAddr, error: number): boolean;
}

/** What a CPU needs of an operating system to be interrupted: someone to call. */
export interface InterruptHandler {
  /** Handles an interrupt (vector 32 … 255) on `cpu`, in supervisor mode with interrupts disabled. */
  interrupt(cpu: Cpu, vector: number): void;
}
