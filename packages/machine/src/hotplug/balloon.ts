/**
 * A balloon: the operating system puts frames of its choice into it, and the hypervisor has them until they are taken out.
 *
 * Host memory is really released, but in one piece only: given-up frames give their host places to others at once, and
 * `PhysicalMemory.compact` hands everything that is not in use back to the host by moving the rest together. A shared host
 * buffer cannot be replaced, so there only the first half holds.
 */
import { invariant, MachineError } from "../errors.ts";
import type { PhysicalMemory } from "../memory/physical-memory.ts";
import type { Snapshotted } from "../system/snapshotted.ts";
import { addressOf } from "../units.ts";
import type { Pfn } from "../units.ts";

/** A balloon as plain data. */
export interface BalloonState {
  /** See {@link Balloon.target}. */
  readonly target: number;
  /** Frames that are in. */
  readonly held: readonly Pfn[];
}

/** A balloon: frames in it belong to the hypervisor. */
export class Balloon implements Snapshotted<BalloonState> {
  /** Frames that the hypervisor would like to have. */
  target = 0;
  readonly #memory: PhysicalMemory;
  readonly #held = new Set<Pfn>();

  /** Creates an empty balloon. */
  constructor(memory: PhysicalMemory) {
    this.#memory = memory;
  }

  /** Frames in the balloon. */
  get frames(): number {
    return this.#held.size;
  }

  /**
   * Puts frames in: their contents are gone. Throws `double-claim` for a frame that is in already, `beyond-map` for one that is
   * no RAM, naming who is there; then none is put in.
   */
  inflate(frames: readonly Pfn[]): void {
    for (const pfn of frames) this.#requireRam(pfn);
    const named = new Set<Pfn>();
    const twice = frames.find((pfn) => this.#held.has(pfn) || named.size === named.add(pfn).size);
    if (twice !== undefined)
      throw new MachineError("double-claim", `Frame 0x${twice.toString(16)} is in the balloon already`, { pfn: twice });
    for (const pfn of frames) this.#held.add(pfn);
    this.#memory.discardMany(frames);
  }

  #requireRam(pfn: Pfn): void {
    const region = this.#memory.map.find(addressOf(pfn));
    if (region?.kind === "ram") return;
    const there = region === undefined ? "a hole" : `${region.kind} of ${region.owner}`;
    throw new MachineError("beyond-map", `Frame 0x${pfn.toString(16)} cannot go into the balloon: it is in ${there}`, {
      pfn,
      other: region?.owner ?? "nobody",
    });
  }

  /** Takes frames out again: they read as zero. Throws `device-misuse` for a frame that is not in. */
  deflate(frames: readonly Pfn[]): void {
    const missing = frames.find((pfn) => !this.#held.has(pfn));
    if (missing !== undefined)
      throw new MachineError("device-misuse", `Frame 0x${missing.toString(16)} is not in the balloon`, {
        pfn: missing,
      });
    for (const pfn of frames) this.#held.delete(pfn);
  }

  /** Whether a frame is in the balloon. */
  holds(pfn: Pfn): boolean {
    return this.#held.has(pfn);
  }

  /** Snapshotted: the wish and the frames that are in. */
  saveState(): BalloonState {
    return { target: this.target, held: [...this.#held] };
  }

  /** Snapshotted: the wish and the frames that were in. */
  restoreState({ target, held }: BalloonState): void {
    this.target = target;
    this.#held.clear();
    for (const pfn of held) this.#held.add(pfn);
  }

  /** Throws `broken-invariant` when a frame in the balloon has bytes: somebody used it after giving it up. */
  check(): void {
    this.#memory.forEachTouched((pfn) => {
      invariant(!this.#held.has(pfn), `nobody uses frame 0x${pfn.toString(16)}, which is in the balloon`);
    });
  }
}
