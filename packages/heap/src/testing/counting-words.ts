/** An array of words that counts how often it is read and written. */
export interface CountedWords {
  /** The array: behaves as the one it was made from. */
  readonly words: Int32Array;
  /** Reads and writes so far, in all arrays made with the same counter. */
  steps(): number;
}

/**
 * Wraps `array` so that every read and write of an element is counted in `counter.steps`: how a bound on the steps of an
 * operation is shown without asking the clock.
 */
export function countingWords(array: Int32Array, counter: { steps: number }): CountedWords {
  const words = new Proxy(array, {
    get(target, key) {
      if (typeof key === "string" && key >= "0" && key <= "9~") counter.steps++;
      const value: unknown = Reflect.get(target, key, target);
      return typeof value === "function" ? (value.bind(target) as unknown) : value;
    },
    set(target, key, value: number) {
      counter.steps++;
      return Reflect.set(target, key, value, target);
    },
  });
  return { words, steps: () => counter.steps };
}
