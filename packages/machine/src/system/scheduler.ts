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
import type { Parts } from "./parts.ts";
import { SeededRandom } from "./random.ts";
import type { Snapshotted } from "./snapshotted.ts";

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

/** A scheduler as plain data. */
export interface SchedulerState {
  /** State of chance. */
  readonly random: number;
  /** See {@link Scheduler.interleaving}. */
  readonly interleaving: number;
  /** By CPU, the names of the tasks that it is to run. */
  readonly tasks: readonly (readonly string[])[];
  /** The figures. */
  readonly stats: SchedulerStats;
}

/** The least time that a step takes, in ns, so that time goes on where no cost is counted. */
const STEP_NS = 10;

/** How often a CPU waits in vain before it is called a deadlock. */
const MOST_WAITS = 1_000_000;

/** Interleaves the CPUs of a machine. */
export class Scheduler implements Snapshotted<SchedulerState> {
  /** Chance decides who runs. */
  readonly random: SeededRandom;
  /** How likely somebody else runs at a yield point, 0 … 1. */
  interleaving = 0.5;
  readonly #cpus: readonly Cpu[];
  readonly #clock: VirtualClock;
  readonly #interrupts: Interrupts;
  readonly #tasks: Task[][];
  readonly #parts: Parts | null;
  readonly #entered: number[] = [];
  #steps = 0;
  #taken = 0;
  #interleavings = 0;
  /** The CPU that did the last step, −1 before the first. */
  #last = -1;

  /** Creates a scheduler with nothing to run; tasks that are `parts` can be kept in snapshots. */
  constructor(
    cpus: readonly Cpu[],
    clock: VirtualClock,
    interrupts: Interrupts,
    seed: number,
    parts: Parts | null = null,
  ) {
    this.#parts = parts;
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
    this.#last = cpu;
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
    this.#last = chosen;
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
   * Lets others run until `condition` holds, as a CPU that spins does: it takes interrupts if they are enabled, and its time
   * moves on to that of the CPU that brought the condition about. So a shootdown is: change the entry, invalidate here, send
   * the interrupts, wait until every handler has acknowledged; it takes as long as the slowest CPU takes to get to it, idle
   * ones from the arrival of the interrupt. Throws `deadlock` when nobody can run any more and it still does not hold, as when
   * a CPU that has interrupts off is waited for and waits itself.
   */
  waitUntil(condition: () => boolean): void {
    const waiter = this.current;
    let waits = 0;
    for (; !condition(); waits++)
      if (waits >= MOST_WAITS || !this.step())
        throw new MachineError("deadlock", `CPU ${waiter} waits for something that nobody will bring about`, {
          cpu: waiter,
          waits,
        });
    if (waits > 0 && waiter >= 0) this.#clock.waitUntil(waiter, this.#clock.times[this.#last]!);
  }

  /**
   * Returns why no snapshot can be taken now, null when one can: a CPU's code is on the host's stack, or a task is to run
   * that is no part of the machine (a generator's position cannot be copied).
   */
  obstacle(): string | null {
    if (this.#entered.length > 0) return `CPU ${this.current} is in the middle of its code`;
    const cpu = this.#tasks.findIndex((tasks) => tasks.some((task) => this.#nameOf(task) === undefined));
    return cpu < 0 ? null : `CPU ${cpu} has a task to run whose position cannot be copied`;
  }

  #nameOf(task: Task): string | undefined {
    return this.#parts?.nameOf(task);
  }

  /** Forgets all tasks: power went. */
  clear(): void {
    for (const tasks of this.#tasks) tasks.length = 0;
  }

  /** Snapshotted: chance, figures, and the names of tasks; throws `snapshot-refused` when there is an {@link Scheduler.obstacle}. */
  saveState(): SchedulerState {
    const obstacle = this.obstacle();
    if (obstacle !== null) throw new MachineError("snapshot-refused", `No snapshot can be taken now: ${obstacle}`);
    return {
      random: this.random.saveState(),
      interleaving: this.interleaving,
      tasks: this.#tasks.map((tasks) => tasks.map((task) => this.#nameOf(task) ?? "")),
      stats: this.stats(),
    };
  }

  /** Snapshotted: chance, figures and tasks; tasks that were spawned since are forgotten where they stand. */
  restoreState({ random, interleaving, tasks, stats }: SchedulerState): void {
    if (this.#entered.length > 0)
      throw new MachineError(
        "snapshot-refused",
        `CPU ${this.current} is in the middle of its code: it cannot go back`,
        {
          cpu: this.current,
        },
      );
    const found = tasks.map((names) => names.map((name) => this.#taskOf(name)));
    this.#tasks.forEach((queue, cpu) => {
      queue.splice(0, queue.length, ...(found[cpu] ?? []));
    });
    this.random.restoreState(random);
    this.interleaving = interleaving;
    this.#steps = stats.steps;
    this.#taken = stats.interrupts;
    this.#interleavings = stats.interleavings;
  }

  #taskOf(name: string): Task {
    const task = this.#parts?.find(name);
    if (task === undefined || !("next" in task) || typeof task.next !== "function")
      throw new MachineError("snapshot-mismatch", `The snapshot's task ${name} is no task of this machine`, { name });
    return task as Snapshotted & Task;
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
