/**
 * Snapshots of a machine, and stepping backwards by them. A snapshot holds the bytes of every touched frame, the registers and
 * the TLB contents of every CPU, the virtual time and the state of chance. Frames that are equal in two snapshots are kept
 * once. Not in it: the map, devices, and tasks that run on the host's stack.
 */
import { MachineError } from "../errors.ts";
import type { CpuState } from "../cpu/cpu-state.ts";
import type { Machine } from "../machine.ts";
import type { Pfn } from "../units.ts";

/** The state of a machine at one moment. Treat it as opaque. */
export interface MachineSnapshot {
  /** Bytes by frame. */
  readonly frames: ReadonlyMap<Pfn, Uint8Array>;
  /** Processor state, by CPU. */
  readonly cpus: readonly CpuState[];
  /** Virtual time, by CPU. */
  readonly times: Float64Array;
  /** State of chance. */
  readonly random: number;
  /** The map's version. */
  readonly mapVersion: number;
}

function equalBytes(a: Uint8Array, b: Uint8Array): boolean {
  for (let at = 0; at < a.length; at++) if (a[at]! !== b[at]!) return false;
  return true;
}

/** Takes a snapshot; frames that are as they were in `before` are shared with it. Cost: a copy of every other frame. */
export function takeSnapshot(machine: Machine, before: MachineSnapshot | null = null): MachineSnapshot {
  const frames = new Map<Pfn, Uint8Array>();
  const { bytes } = machine.memory.host;
  machine.memory.forEachTouched((pfn, slot) => {
    const now = bytes.subarray(slot * 4096, slot * 4096 + 4096);
    const old = before?.frames.get(pfn);
    frames.set(pfn, old !== undefined && equalBytes(old, now) ? old : now.slice());
  });
  return {
    frames,
    cpus: machine.cpus.map((cpu) => cpu.saveState()),
    times: machine.clock.times.slice(),
    random: machine.scheduler.random.state,
    mapVersion: machine.map.version,
  };
}

/** Brings a machine back to a snapshot. Throws `bad-argument` when its map has changed since, or it has other CPUs. */
export function restoreSnapshot(machine: Machine, snapshot: MachineSnapshot): void {
  if (machine.map.version !== snapshot.mapVersion || machine.cpus.length !== snapshot.cpus.length)
    throw new MachineError("bad-argument", "The machine's map or CPUs are not those of the snapshot", {
      mapVersion: machine.map.version,
      snapshotVersion: snapshot.mapVersion,
    });
  const gone: Pfn[] = [];
  machine.memory.forEachTouched((pfn) => {
    if (!snapshot.frames.has(pfn)) gone.push(pfn);
  });
  machine.memory.discardMany(gone);
  for (const [pfn, bytes] of snapshot.frames) machine.memory.restoreFrame(pfn, bytes);
  machine.cpus.forEach((cpu, at) => {
    const state = snapshot.cpus[at];
    if (state !== undefined) cpu.restoreState(state);
  });
  machine.clock.restore(snapshot.times);
  machine.scheduler.random.state = snapshot.random;
}

/**
 * Runs a deterministic program step by step, forwards and backwards: every so many steps it keeps a snapshot, and a step back
 * is the nearest snapshot before it, run again.
 */
export class Stepper {
  readonly #machine: Machine;
  readonly #step: (index: number) => void;
  readonly #every: number;
  readonly #snapshots = new Map<number, MachineSnapshot>();
  #position = 0;
  #last: MachineSnapshot;

  /** Creates a stepper: `step(n)` does step n, by the machine alone; a snapshot is kept every `every` steps (default 1000). */
  constructor(machine: Machine, step: (index: number) => void, every = 1000) {
    this.#machine = machine;
    this.#step = step;
    this.#every = every;
    this.#last = takeSnapshot(machine);
    this.#snapshots.set(0, this.#last);
  }

  /** Steps done. */
  get position(): number {
    return this.#position;
  }

  /** Does steps until `position` are done, or goes back to where they were. Cost of going back: at most `every` steps. */
  goTo(position: number): void {
    if (!Number.isInteger(position) || position < 0)
      throw new MachineError("bad-argument", `There is no step ${position}`, { position });
    if (position < this.#position) {
      const nearest = Math.floor(position / this.#every) * this.#every;
      const snapshot = this.#snapshots.get(nearest);
      if (snapshot === undefined) throw new MachineError("broken-invariant", `There is no snapshot at step ${nearest}`);
      restoreSnapshot(this.#machine, snapshot);
      this.#position = nearest;
    }
    while (this.#position < position) {
      this.#step(this.#position);
      this.#position++;
      if (this.#position % this.#every !== 0 || this.#snapshots.has(this.#position)) continue;
      this.#last = takeSnapshot(this.#machine, this.#last);
      this.#snapshots.set(this.#position, this.#last);
    }
  }

  /** Goes back `steps` steps, to the start at most. */
  back(steps = 1): void {
    this.goTo(Math.max(0, this.#position - steps));
  }
}
