/**
 * Interrupts between processors: a vector sent to a CPU is pending there from its arrival until the CPU takes it. As in a
 * local APIC there is one pending bit per vector: a vector sent again while it is pending is taken once.
 */
import { invariant, MachineError } from "../errors.ts";
import type { VirtualClock } from "./clock.ts";
import type { Snapshotted } from "./snapshotted.ts";

/** An interrupt on its way or arrived. */
export interface PendingInterrupt {
  /** 32 … 255. */
  readonly vector: number;
  /** The CPU that sent it, −1 for a device. */
  readonly from: number;
  /** When it arrives, ns. */
  readonly arrival: number;
}

/** Interrupts as plain data. */
export interface InterruptsState {
  /** By CPU, what is pending there. */
  readonly pending: readonly (readonly PendingInterrupt[])[];
  /** The figures. */
  readonly stats: InterruptStats;
}

/** Figures of {@link Interrupts}. */
export interface InterruptStats {
  /** Interrupts sent. */
  readonly sent: number;
  /** Interrupts that met the same vector pending. */
  readonly merged: number;
  /** Interrupts taken. */
  readonly taken: number;
}

/** Interrupts on their way to the CPUs of a machine. */
export class Interrupts implements Snapshotted<InterruptsState> {
  /** Nanoseconds from sending to arrival. */
  readonly latency: number;
  readonly #clock: VirtualClock;
  readonly #pending: PendingInterrupt[][];
  #sent = 0;
  #merged = 0;
  #taken = 0;

  /** Creates an interconnect of `cpus` CPUs; `latency` in ns. */
  constructor(cpus: number, clock: VirtualClock, latency: number) {
    this.latency = latency;
    this.#clock = clock;
    this.#pending = Array.from({ length: cpus }, () => []);
  }

  #queue(cpu: number): PendingInterrupt[] {
    const queue = this.#pending[cpu];
    if (queue === undefined)
      throw new MachineError("bad-argument", `There is no CPU ${cpu}, only ${this.#pending.length}`, { cpu });
    return queue;
  }

  /** Sends `vector` (32 … 255) from one CPU to another (or itself). */
  send(from: number, to: number, vector: number): void {
    if (!Number.isInteger(vector) || vector < 32 || vector > 255)
      throw new MachineError("bad-argument", `Interrupt vectors are 32 … 255, not ${vector}`, { vector });
    const queue = this.#queue(to);
    this.#sent++;
    if (queue.some((one) => one.vector === vector)) {
      this.#merged++;
      return;
    }
    const start = from >= 0 ? (this.#clock.times[from] ?? this.#clock.now) : this.#clock.now;
    queue.push({ vector, from, arrival: start + this.latency });
  }

  /** Sends `vector` to every CPU but `from`. */
  broadcast(from: number, vector: number): void {
    this.#pending.forEach((_, to) => {
      if (to !== from) this.send(from, to, vector);
    });
  }

  /** Whether anything is pending for `cpu`, arrived or not. */
  hasPending(cpu: number): boolean {
    return this.#queue(cpu).length > 0;
  }

  /** When the next interrupt for `cpu` arrives, Infinity without any. */
  nextArrival(cpu: number): number {
    return this.#queue(cpu).reduce((least, one) => Math.min(least, one.arrival), Infinity);
  }

  /** Takes the highest vector that has arrived at `cpu` by `time` (ns; by its own time), or −1. */
  take(cpu: number, time: number = this.#clock.times[cpu] ?? 0): number {
    const queue = this.#queue(cpu);
    let best: PendingInterrupt | undefined;
    for (const one of queue) if (one.arrival <= time && one.vector > (best?.vector ?? 0)) best = one;
    if (best === undefined) return -1;
    queue.splice(queue.indexOf(best), 1);
    this.#taken++;
    return best.vector;
  }

  /** Forgets what is pending: power went. */
  clear(): void {
    for (const queue of this.#pending) queue.length = 0;
  }

  /** Snapshotted: what is pending, and the figures. */
  saveState(): InterruptsState {
    return { pending: this.#pending.map((queue) => [...queue]), stats: this.stats() };
  }

  /** Snapshotted: what was pending, and the figures. */
  restoreState({ pending, stats }: InterruptsState): void {
    this.#pending.forEach((queue, cpu) => {
      queue.splice(0, queue.length, ...(pending[cpu] ?? []));
    });
    this.#sent = stats.sent;
    this.#merged = stats.merged;
    this.#taken = stats.taken;
  }

  /** Returns the figures. */
  stats(): InterruptStats {
    return { sent: this.#sent, merged: this.#merged, taken: this.#taken };
  }

  /** Throws `broken-invariant` unless every CPU has a vector pending at most once. */
  check(): void {
    for (const queue of this.#pending)
      invariant(new Set(queue.map((one) => one.vector)).size === queue.length, "a vector is pending once per CPU");
  }
}
