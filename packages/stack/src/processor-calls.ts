/**
 * Interrupts from one processor to others, as the memory manager needs them: each target does some work, and the sender waits for all.
 *
 * ```
 *  sender   send ─────────── waits ──────────────────────────────► goes on        + latency + the slowest target's time
 *  target         ── latency ──► entry, work, return                              + entry and return + the work
 * ```
 * The targets run on meanwhile, so the latency is the sender's alone. Other processors may run before each target has done its work.
 */
import type { Machine } from "@pagewright/machine";

/** Interrupts processors of a machine. */
export class ProcessorCalls {
  readonly #machine: Machine;
  readonly #waiting: () => void;

  /** Between the processors of a machine; `waiting` is called at each place where others may run. */
  constructor(machine: Machine, waiting: () => void) {
    this.#machine = machine;
    this.#waiting = waiting;
  }

  /** Has every target do `work`, and charges everybody what it takes. See vmm's RemoteCall. */
  call(from: number, targets: readonly number[], work: (cpu: number) => void): void {
    const { clock, meters, interrupts } = this.#machine;
    let slowest = 0;
    for (const target of targets) {
      this.#waiting();
      const before = clock.times[target]!;
      meters[target]?.pageFault();
      work(target);
      slowest = Math.max(slowest, clock.times[target]! - before);
    }
    meters[from]?.spend(interrupts.latency + slowest);
  }
}
