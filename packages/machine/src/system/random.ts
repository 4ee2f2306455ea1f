import { MachineError } from "../errors.ts";
import type { Snapshotted } from "./snapshotted.ts";

/**
 * A small seeded generator (xorshift32), so that everything that chance decides can be run again. Source: Marsaglia,
 * "Xorshift RNGs", Journal of Statistical Software 8(14), 2003.
 */
export class SeededRandom implements Snapshotted<number> {
  #state: number;

  /** Creates a generator; `seed` is a whole number, taken modulo 2^32 (0 becomes 1). */
  constructor(seed: number) {
    if (!Number.isSafeInteger(seed))
      throw new MachineError("bad-argument", `A seed is a whole number, not ${seed}`, { seed });
    this.#state = seed >>> 0 === 0 ? 1 : seed >>> 0;
  }

  /** Snapshotted: a number from which a generator may also be created. */
  saveState(): number {
    return this.#state;
  }

  /** Snapshotted: goes back to a state. */
  restoreState(state: number): void {
    this.#state = state >>> 0 === 0 ? 1 : state >>> 0;
  }

  /** Returns the next 32 bits, 1 … 2^32 − 1. */
  uint32(): number {
    let word = this.#state;
    word ^= word << 13;
    word ^= word >>> 17;
    word ^= word << 5;
    this.#state = word >>> 0;
    return this.#state;
  }

  /** Returns a whole number in `[0, below)`. */
  below(below: number): number {
    return Math.floor((this.uint32() / 2 ** 32) * below);
  }

  /** Returns whether something of probability `chance` (0 … 1) happens. */
  chance(chance: number): boolean {
    return this.below(2 ** 30) < chance * 2 ** 30;
  }
}
