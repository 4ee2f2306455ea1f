/**
 * Stepping backwards: the nearest snapshot before, and run again.
 */
import { MachineError } from "../errors.ts";
import type { Machine } from "../machine.ts";
import { restoreSnapshot, snapshotObstacle, takeSnapshot } from "./snapshot.ts";
import type { MachineSnapshot } from "./snapshot.ts";

/**
 * Runs a deterministic program step by step, forwards and backwards. A step may do anything by the machine and its parts alone:
 * run CPUs, devices, `scheduler.step()`, and spawn tasks. What it keeps outside of the machine is not brought back.
 *
 * A snapshot is kept about every `every` steps, where one can be taken: while generator tasks run, none can, and stepping back
 * runs the steps again from before they were spawned, which spawns them again. So every state comes back, only later.
 */
export class Stepper {
  readonly #machine: Machine;
  readonly #step: (index: number) => void;
  readonly #every: number;
  /** Snapshots by the number of steps done, ascending. */
  readonly #snapshots: { readonly position: number; readonly snapshot: MachineSnapshot }[];
  #position = 0;

  /**
   * Creates a stepper: `step(n)` does step n; a snapshot is kept every `every` steps (default 1000). Throws
   * `snapshot-refused` when the machine cannot be saved at the start.
   */
  constructor(machine: Machine, step: (index: number) => void, every = 1000) {
    if (!Number.isInteger(every) || every < 1)
      throw new MachineError("bad-argument", `A snapshot is kept every so many steps, not every ${every}`, { every });
    this.#machine = machine;
    this.#step = step;
    this.#every = every;
    this.#snapshots = [{ position: 0, snapshot: takeSnapshot(machine) }];
  }

  /** Steps done. */
  get position(): number {
    return this.#position;
  }

  /** Snapshots kept. */
  get snapshots(): number {
    return this.#snapshots.length;
  }

  /** Does steps until `position` are done, or goes back to where they were. Cost of going back: the steps since a snapshot. */
  goTo(position: number): void {
    if (!Number.isInteger(position) || position < 0)
      throw new MachineError("bad-argument", `There is no step ${position}`, { position });
    if (position < this.#position) {
      const nearest = this.#snapshots.findLast((one) => one.position <= position);
      if (nearest === undefined) throw new MachineError("broken-invariant", "There is a snapshot of the start");
      restoreSnapshot(this.#machine, nearest.snapshot);
      this.#position = nearest.position;
    }
    while (this.#position < position) {
      this.#step(this.#position);
      this.#position++;
      this.#keep();
    }
  }

  /** Keeps a snapshot when the last one is old enough and one can be taken. */
  #keep(): void {
    const last = this.#snapshots[this.#snapshots.length - 1];
    if (last === undefined || this.#position < last.position + this.#every) return;
    if (snapshotObstacle(this.#machine) !== null) return;
    this.#snapshots.push({ position: this.#position, snapshot: takeSnapshot(this.#machine, last.snapshot) });
  }

  /** Goes back `steps` steps, to the start at most. */
  back(steps = 1): void {
    this.goTo(Math.max(0, this.#position - steps));
  }
}
