/**
 * Interrupts from one processor to others, as the memory manager needs them: each target does some work, and the sender waits for all.
 *
 * ```
 *  sender   send ─────────── waits ──────────────────────────────► goes on        + latency + the slowest target's time
 *  target         ── latency ──► entry, work, return                              + entry and return + the work
 * ```
 * They go through the machine's interrupt controller: one vector, which is pending once per processor, so that a processor that two others call does
 * the work of both when it takes it. The targets run on meanwhile, so the latency is the sender's alone. Other processors may run
 * before each target has done its work.
 */
import type { Cpu, InterruptHandler, Machine } from "@pagewright/machine";

/** The vector of calls: the one that Linux uses for functions called on other processors. */
export const CALL_VECTOR = 0xfc;

/** Work that a target has to do. */
interface Job {
  readonly work: (cpu: number) => void;
  /** What it cost the target, entry and return included, ns; −1: it is not done. */
  took: number;
}

/** Interrupts processors of a machine. */
export class ProcessorCalls implements InterruptHandler {
  readonly #machine: Machine;
  readonly #waiting: () => void;
  /** By processor: what it has been interrupted for and has not done. */
  readonly #jobs: Job[][];

  /** Between the processors of a machine; `waiting` is called at each place where others may run. */
  constructor(machine: Machine, waiting: () => void) {
    this.#machine = machine;
    this.#waiting = waiting;
    this.#jobs = machine.cpus.map(() => []);
  }

  /** Has every target do `work`, and charges everybody what it takes. See vmm's RemoteCall. */
  call(from: number, targets: readonly number[], work: (cpu: number) => void): void {
    const { meters, interrupts } = this.#machine;
    const jobs = targets.map((target): Job => {
      const job: Job = { work, took: -1 };
      this.#jobs[target]?.push(job);
      interrupts.send(from, target, CALL_VECTOR);
      return job;
    });
    let slowest = 0;
    targets.forEach((target, at) => {
      this.#waiting();
      const job = jobs[at];
      if (job === undefined) return;
      if (job.took < 0) this.#deliver(target);
      slowest = Math.max(slowest, job.took);
    });
    meters[from]?.spend(interrupts.latency + slowest);
  }

  /** Has a processor take the interrupt that is pending for it. */
  #deliver(target: number): void {
    const { cpus, interrupts } = this.#machine;
    const cpu = cpus[target];
    if (cpu === undefined) return;
    const vector = interrupts.take(target, interrupts.nextArrival(target));
    const handler = cpu.interruptHandler;
    cpu.interruptHandler = this;
    try {
      cpu.takeInterrupt(vector);
    } finally {
      cpu.interruptHandler = handler;
    }
  }

  /** Does what the processor was interrupted for; the machine calls this. */
  interrupt(cpu: Cpu): void {
    const { clock, meters } = this.#machine;
    for (const job of this.#jobs[cpu.id]?.splice(0) ?? []) {
      const before = clock.times[cpu.id]!;
      meters[cpu.id]?.pageFault();
      job.work(cpu.id);
      job.took = clock.times[cpu.id]! - before;
    }
  }
}
