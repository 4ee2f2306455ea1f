import { invariant, MachineError } from "../errors.ts";
import type { Snapshotted } from "../system/snapshotted.ts";
import { FRAME_BYTES, pfnOf } from "../units.ts";
import type { PhysAddr } from "../units.ts";
import type { FaultyRam } from "./faulty-ram.ts";

/** Where a scrubber is. */
export interface ScrubberState {
  /** The next address to be read. */
  readonly next: PhysAddr;
  /** Complete rounds. */
  readonly rounds: number;
}

/** A patrol scrubber: reads memory word by word in the background and puts single errors right before they become two. */
export class Scrubber implements Snapshotted<ScrubberState> {
  readonly #ram: FaultyRam;
  readonly #start: PhysAddr;
  readonly #end: PhysAddr;
  #next: PhysAddr;
  #rounds = 0;

  /** Creates a scrubber of `[start, end)`, which must be multiples of 8. */
  constructor(ram: FaultyRam, start: PhysAddr, end: PhysAddr) {
    if ((start & 7) !== 0 || (end & 7) !== 0 || end <= start)
      throw new MachineError("bad-argument", `A scrubber covers whole words, not [${start}, ${end})`, { start, end });
    this.#ram = ram;
    this.#start = start;
    this.#end = end;
    this.#next = start;
  }

  /** The next address to be read. */
  get position(): PhysAddr {
    return this.#next;
  }

  /** Complete rounds so far. */
  get rounds(): number {
    return this.#rounds;
  }

  /** Snapshotted: where it is. */
  saveState(): ScrubberState {
    return { next: this.#next, rounds: this.#rounds };
  }

  /** Snapshotted: where it was. */
  restoreState({ next, rounds }: ScrubberState): void {
    this.#next = next;
    this.#rounds = rounds;
  }

  /** Throws `broken-invariant` unless the next address lies in the range that is scrubbed. */
  check(): void {
    invariant(this.#next >= this.#start && this.#next < this.#end, "the scrubber stays in its range");
  }

  /** Reads the next `words` words, starting over at the end. Frames without faults are passed over at once. */
  step(words: number): void {
    const faulty = new Set(this.#ram.faultyFrames());
    for (let left = words; left > 0;) {
      const inFrame = Math.min(this.#end, (pfnOf(this.#next) + 1) * FRAME_BYTES);
      const count = Math.min(left, (inFrame - this.#next) / 8);
      if (faulty.has(pfnOf(this.#next))) for (let at = 0; at < count; at++) this.#ram.scrubWord(this.#next + at * 8);
      this.#next += count * 8;
      left -= count;
      if (this.#next < this.#end) continue;
      this.#next = this.#start;
      this.#rounds++;
    }
  }
}
