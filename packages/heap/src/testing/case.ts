/** One claim about an implementation. */
export interface ConformanceCase<T> {
  /** The claim, as a sentence. */
  readonly name: string;
  /** Throws where the claim does not hold. `make` builds a fresh subject each time. */
  readonly run: (make: () => T) => void | Promise<void>;
}

/** Throws `sentence` where it does not hold. */
export function claim(holds: boolean, sentence: string): void {
  if (!holds) throw new Error(sentence);
}

/** Whether `work` throws an error whose code is one of `codes`. */
export function throwsCode(work: () => void, codes: readonly string[]): boolean {
  try {
    work();
  } catch (error) {
    return error instanceof Error && "code" in error && codes.includes(String(error.code));
  }
  return false;
}

/** A seeded source of numbers in [0, 1): Mulberry32, by Tommy Ettinger, public domain. */
export function seeded(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
