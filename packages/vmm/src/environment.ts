/** Defaults of the environment's ports: a clock that counts, and random numbers from a seed. Nothing here reads the real world. */
import type { Clock, Random } from "./ports.ts";

/** A clock that its owner moves, in nanoseconds from 0: time stands still in tests and simulations until they say otherwise. */
export class ManualClock implements Clock {
  #now = 0;

  /** See {@link Clock.nanoseconds}. */
  nanoseconds(): number {
    return this.#now;
  }

  /** Lets so many nanoseconds pass. */
  advance(nanoseconds: number): void {
    this.#now += nanoseconds;
  }
}

/** Random numbers by xorshift32 (Marsaglia, "Xorshift RNGs", 2003): the same seed, the same numbers. */
export class SeededRandom implements Random {
  #state: number;

  /** Numbers from a seed; 0 counts as 1. */
  constructor(seed: number) {
    this.#state = seed >>> 0 === 0 ? 1 : seed >>> 0;
  }

  /** See {@link Random.uint32}. */
  uint32(): number {
    let state = this.#state;
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    this.#state = state >>> 0;
    return this.#state;
  }
}
