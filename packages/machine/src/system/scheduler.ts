/**
 * Who runs when: a seeded choice among the CPUs that can. A CPU runs a task, an iterator that gives way at each `yield`;
 * code that is no iterator gives way by calling {@link Scheduler.yieldPoint}, which lets other CPUs run inside the call, and
 * waits by {@link Scheduler.waitUntil}. The same seed and the same tasks give the same interleaving.
 *
 *   tasks[cpu]    what the CPU is to run, first one first; none: it is idle, and takes interrupts
 *   entered       CPUs whose code is on the host's stack now: they take interrupts, but their tasks cannot go on
 *
 * Invariant: `current` is the last entered CPU, or −1.
 */
import type { Cpu } from "../cpu/cpu.ts";
import { invariant, MachineError } from "../errors.ts";
import type { VirtualClock } from "./clock.ts";
import type { Interrupts } from "./interrupts.ts";
import { SeededRandom } from "./random.ts";

/** What a CPU runs: each `next()` is one step. */
export type Task = Iterator<unknown, unknown>;

/** Figures of a {@link Scheduler}. */
export interface SchedulerStats {
  /** Steps of tasks. */
  readonly steps: number;
  /** Interrupts that CPUs took. */
  readonly interrupts: number;
  /** Yield points at which somebody else ran. */
  readonly interleavings: number;
}

/** The least time that a step takes, in ns, so that time goes on where no cost is counted. */
const STEP_NS = 10;

/** How often a CPU waits in vain before it is called a deadlock. */
const MOST_WAITS = 1_000_000;

/** Interleaves the CPUs of a machine. */
export class Scheduler {
  /** Chance decides who runs. */
  readonly random: SeededRandom;
  /** How likely somebody else runs at a yield point, 0 … 1. */
  interleaving = 0.5;
  readonly #cpus: readonly Cpu[];
  readonly #clock: VirtualClock;
  readonly #interrupts: Interrupts;
  readonly #tasks: Task[][];
  readonly #entered: number[] = [];
  #steps = 0;
  #taken = 0;
  #interleavings = 0;

  /** Creates a scheduler with nothing to run. */
  constructor(cpus: readonly Cpu[], clock: VirtualClock, interrupts: Interrupts, seed: number) {
    this.#cpus = cpus;
    this.#clock = clock;
    this.#interrupts = interrupts;
    this.random = new SeededRandom(seed);
    this.#tasks = cpus.map(() => []);
  }

  /** The CPU that runs now, −1 when none does. */
  get current(): number {
    return this.#entered[this.#entered.length - 1] ?? -1;
  }

  /** Gives a CPU something to run, after what it has. */
  spawn(cpu: number, task: Task): void {
    const tasks = this.#tasks[cpu];
    if (tasks === undefined) throw new MachineError("bad-argument", `There is no CPU ${cpu}`, { cpu });
    tasks.push(task);
  }

  /** Whether a CPU has nothing to run. */
  isIdle(cpu: number): boolean {
    return this.#tasks[cpu]?.length === 0;
  }

  #mayTask(cpu: number): boolean {
    return !this.isIdle(cpu) && !this.#entered.includes(cpu) && this.#cpus[cpu]?.outcome === "running";
  }

  #mayInterrupt(cpu: number): boolean {
    const target = this.#cpus[cpu];
    if (target?.interruptsEnabled !== true || target.outcome !== "running" || !this.#interrupts.hasPending(cpu))
      return false;
    const busy = !this.isIdle(cpu);
    return !busy || this.#interrupts.nextArrival(cpu) <= this.#clock.times[cpu]!;
  }

  /** Lets one CPU do one step: a step of its task, or an interrupt. Returns whether any could. */
  step(): boolean {
    const ready: number[] = [];
    for (let cpu = 0; cpu < this.#cpus.length; cpu++)
      if (this.#mayInterrupt(cpu) || this.#mayTask(cpu)) ready.push(cpu);
    const cpu = ready[this.random.below(ready.length)];
    if (cpu === undefined) return this.#wake();
    this.#clock.spend(cpu, STEP_NS);
    if (this.#mayInterrupt(cpu)) this.#interrupt(cpu);
    else this.#stepTask(cpu);
    return true;
  }

  /** Nobody can run: a CPU that waits for an interrupt on its way lets the time pass until it arrives. */
  #wake(): boolean {
    let least = Infinity;
    let chosen = -1;
    for (let cpu = 0; cpu < this.#cpus.length; cpu++) {
      const target = this.#cpus[cpu];
      if (target?.interruptsEnabled !== true || target.outcome !== "running") continue;
      const arrival = this.#interrupts.nextArrival(cpu);
      if (arrival < least) {
        least = arrival;
        chosen = cpu;
      }
    }
    if (chosen < 0) return false;
    this.#clock.waitUntil(chosen, least);
    this.#interrupt(chosen);
    return true;
  }

  #interrupt(cpu: number): void {
    const target = this.#cpus[cpu];
    if (target === undefined) return;
    this.#clock.waitUntil(cpu, this.#interrupts.nextArrival(cpu));
    const vector = this.#interrupts.take(cpu);
    if (vector < 0) return;
    this.#taken++;
    this.#enter(cpu, () => {
      target.takeInterrupt(vector);
    });
  }

  #stepTask(cpu: number): void {
    const tasks = this.#tasks[cpu];
    const task = tasks?.[0];
    if (tasks === undefined || task === undefined) return;
    this.#steps++;
    this.#enter(cpu, () => {
      if (task.next().done === true) tasks.splice(tasks.indexOf(task), 1);
    });
  }

  #enter(cpu: number, run: () => void): void {
    this.#entered.push(cpu);
    try {
      run();
    } finally {
      this.#entered.pop();
    }
  }

  /** Runs `operation` as CPU `cpu`: yield points inside it let others run. Returns what it returns. */
  as<T>(cpu: number, operation: () => T): T {
    this.#entered.push(cpu);
    try {
      return operation();
    } finally {
      this.#entered.pop();
    }
  }

  /** Steps until nobody can run, or `limit` steps were made. Returns how many. */
  run(limit: number = Infinity): number {
    let steps = 0;
    while (steps < limit && this.step()) steps++;
    return steps;
  }

  /** A place where the CPU that runs now may be overtaken: chance decides whether, by whom and for how long. */
  yieldPoint(): void {
    let others = 0;
    while (this.random.chance(this.interleaving) && this.step()) others++;
    if (others > 0) this.#interleavings++;
  }

  /**
   * Lets others run until `condition` holds, as a CPU that spins does (it takes interrupts if they are enabled). Throws
   * `deadlock` when nobody can run any more and it still does not hold.
   */
  waitUntil(condition: () => boolean): void {
    for (let waits = 0; !condition(); waits++)
      if (waits >= MOST_WAITS || !this.step())
        throw new MachineError("deadlock", `CPU ${this.current} waits for something that nobody will bring about`, {
          cpu: this.current,
          waits,
        });
  }

  /** Returns the figures. */
  stats(): SchedulerStats {
    return { steps: this.#steps, interrupts: this.#taken, interleavings: this.#interleavings };
  }

  /** Throws `broken-invariant` unless no CPU is entered twice without an interrupt between. */
  check(): void {
    invariant(this.#tasks.length === this.#cpus.length, "every CPU has a task list");
    invariant(
      this.#entered.every((cpu) => cpu >= 0 && cpu < this.#cpus.length),
      "entered CPUs exist",
    );
  }
}
