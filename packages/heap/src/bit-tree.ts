/**
 * A set of small numbers whose smallest element is found in as many steps as it has levels: bits, in a tree of words in
 * which a bit says that the word below is not 0. 2^20 numbers have four levels, 2^25 have five.
 */
export class BitTree {
  /** All levels, the elements first. */
  readonly #words: Int32Array;
  /** Where each level starts. */
  readonly #levels: readonly number[];
  readonly #size: number;

  /** @param words the words to live in: {@link BitTree.wordsFor} of them, zero. */
  constructor(size: number, words: Int32Array) {
    const levels = [0];
    let start = 0;
    for (let count = Math.ceil(size / 32); count > 1; count = Math.ceil(count / 32)) levels.push((start += count));
    this.#size = size;
    this.#levels = levels;
    this.#words = words;
  }

  /** Words that the set of the numbers below `size` needs. */
  static wordsFor(size: number): number {
    let words = 0;
    for (let count = Math.ceil(size / 32); ; count = Math.ceil(count / 32)) {
      words += count;
      if (count <= 1) return words;
    }
  }

  /** Whether the number is in the set. */
  has(number: number): boolean {
    return number < this.#size && (this.#words[number >>> 5]! & (1 << number)) !== 0;
  }

  /** Puts a number in: ends at the first word that was not 0. */
  add(number: number): void {
    const words = this.#words;
    let at = number;
    for (const level of this.#levels) {
      const word = level + (at >>> 5);
      const before = words[word]!;
      words[word] = before | (1 << at);
      if (before !== 0) return;
      at >>>= 5;
    }
  }

  /** Takes a number out: ends at the first word that stays other than 0. */
  delete(number: number): void {
    const words = this.#words;
    let at = number;
    for (const level of this.#levels) {
      const word = level + (at >>> 5);
      const after = words[word]! & ~(1 << at);
      words[word] = after;
      if (after !== 0) return;
      at >>>= 5;
    }
  }

  /** The smallest number, or −1. */
  first(): number {
    let at = 0;
    for (let level = this.#levels.length - 1; level >= 0; level--) {
      const bits = this.#words[(this.#levels[level] ?? 0) + at]!;
      if (bits === 0) return -1;
      at = at * 32 + 31 - Math.clz32(bits & -bits);
    }
    return at;
  }

  /** Takes everything out. */
  clear(): void {
    this.#words.fill(0);
  }
}
