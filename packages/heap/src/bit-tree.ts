/*
 * A set of numbers as bits, with a tree of words over them, 32 to one, in which a bit says that the word below is not 0. The words of all levels
 * follow each other in one array, from the lowest level up. The array is made whole, so that no operation ever copies it; an operating
 * system commits the parts of it that are written to.
 */

/** A set of whole numbers whose smallest is found in a number of steps that depends on its size alone. */
export class BitTree {
  readonly #words: Int32Array;
  /** By level: its first word. */
  readonly #levels: Int32Array;
  /** One more than the largest number that was ever in the set. */
  #reach = 0;

  /** @param size the numbers are below it. */
  constructor(size: number, wordsFor: (words: number) => Int32Array) {
    const levels = [0];
    let end = Math.ceil(size / 32);
    for (let count = end; count > 1; end += count) {
      levels.push(end);
      count = Math.ceil(count / 32);
    }
    this.#levels = Int32Array.from(levels);
    this.#words = wordsFor(end);
  }

  /** Bytes of the words that can ever have been written to. */
  get bytes(): number {
    let words = 0;
    this.#forEachLevel((_start, count) => (words += count));
    return words * 4;
  }

  /** Whether the number is in the set. */
  has(number: number): boolean {
    return number < this.#reach && (this.#words[number >>> 5]! & (1 << number)) !== 0;
  }

  /** Puts a number in: ends at the first word that was not 0. */
  add(number: number): void {
    if (number >= this.#reach) this.#reach = number + 1;
    const words = this.#words;
    const levels = this.#levels;
    for (let level = 0, at = number; level < levels.length; level++, at >>>= 5) {
      const word = levels[level]! + (at >>> 5);
      const before = words[word]!;
      words[word] = before | (1 << at);
      if (before !== 0) return;
    }
  }

  /** Takes a number out: ends at the first word that stays other than 0. @returns whether the set is empty now. */
  delete(number: number): boolean {
    const words = this.#words;
    const levels = this.#levels;
    for (let level = 0, at = number; level < levels.length; level++, at >>>= 5) {
      const word = levels[level]! + (at >>> 5);
      const after = words[word]! & ~(1 << at);
      words[word] = after;
      if (after !== 0) return false;
    }
    return true;
  }

  /** The smallest number, or −1. */
  first(): number {
    const words = this.#words;
    const levels = this.#levels;
    let at = 0;
    for (let level = levels.length - 1; level >= 0; level--) {
      const bits = words[levels[level]! + at]!;
      if (bits === 0) return -1;
      at = at * 32 + 31 - Math.clz32(bits & -bits);
    }
    return at;
  }

  /** Visits the numbers in ascending order. */
  forEach(visit: (number: number) => void): void {
    const end = Math.ceil(this.#reach / 32);
    for (let word = 0; word < end; word++)
      for (let bits = this.#words[word]!; bits !== 0; bits &= bits - 1)
        visit(word * 32 + 31 - Math.clz32(bits & -bits));
  }

  /** Takes everything out. */
  clear(): void {
    this.#forEachLevel((start, count) => this.#words.fill(0, start, start + count));
  }

  /** Visits the levels from below: the first word, and how many words there can ever have been written to. */
  #forEachLevel(visit: (start: number, count: number) => void): void {
    let count = this.#reach;
    for (const start of this.#levels) {
      count = Math.ceil(count / 32);
      visit(start, count);
    }
  }
}
