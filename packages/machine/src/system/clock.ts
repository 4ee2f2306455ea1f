import { invariant, MachineError } from "../errors.ts";
import type { Snapshotted } from "./snapshotted.ts";

/** A clock as plain data, in ns. */
export interface ClockState {
  /** The time of each CPU. */
  readonly times: Float64Array;
  /** The time before which the machine is not. */
  readonly floor: number;
}

/**
 * Virtual time, in nanoseconds since the machine was switched on: one time per CPU, which costs of its work move forward.
 *
 * Invariant: no time ever goes back, but where a snapshot is restored.
 */
export class VirtualClock implements Snapshotted<ClockState> {
  /** The time of each CPU, in ns. */
  readonly times: Float64Array;
  #floor = 0;

  /** Creates a clock of `cpus` CPUs at 0. */
  constructor(cpus: number) {
    this.times = new Float64Array(cpus);
  }

  /** The machine's time: that of the CPU furthest on. What devices go by. */
  get now(): number {
    let now = this.#floor;
    for (const time of this.times) if (time > now) now = time;
    return now;
  }

  /** The machine's time in ns, as a method: what the `Clock` port of `@pagewright/vmm` asks for. */
  nanoseconds(): number {
    return this.now;
  }

  /** Moves the time of one CPU forward by `ns` ≥ 0. */
  spend(cpu: number, ns: number): void {
    this.times[cpu] = this.times[cpu]! + ns;
  }

  /** Moves one CPU's time forward to `ns`, unless it is later already. */
  waitUntil(cpu: number, ns: number): void {
    if (this.times[cpu]! < ns) this.times[cpu] = ns;
  }

  /** Moves every CPU's time forward by `ns`: nobody did anything. Throws `bad-argument` for less than 0: time never goes back. */
  advance(ns: number): void {
    if (!(ns >= 0)) throw new MachineError("bad-argument", `Time cannot go on by ${ns} ns`, { ns });
    this.#floor = this.now + ns;
    this.times.fill(this.#floor);
  }

  /** Snapshotted: all times. */
  saveState(): ClockState {
    return { times: this.times.slice(), floor: this.#floor };
  }

  /** Snapshotted: all times; the one case in which time goes back. */
  restoreState({ times, floor }: ClockState): void {
    this.times.set(times);
    this.#floor = floor;
  }

  /** Throws `broken-invariant` unless every time is a number ≥ 0. */
  check(): void {
    for (const time of this.times) invariant(time >= 0, "a CPU's time is a number of nanoseconds");
  }
}
