/** Words that are taken together, when the first of their bits is set: a power of two. */
const PAGE_SHIFT = 6;
const PAGE_WORDS: number = 2 ** PAGE_SHIFT;
const WITHIN: number = PAGE_WORDS - 1;

/*
 * A set of numbers below `size` as bits, with a tree of words over them, 32 to one, in which a bit says that the word below is not 0. The words of
 * all levels follow each other, from the lowest level up, in pages that are made when they are first written to: a set takes memory for the
 * parts that were ever in use.
 */

/** A set of whole numbers whose smallest is found in a number of steps that depends on its size alone. */
export class BitTree {
  readonly #size: number;
  /** By level: its first word. */
  readonly #levels: readonly number[];
  readonly #wordsFor: (words: number) => Int32Array;
  #pages: (Int32Array | undefined)[] = [];
  /** Bytes of the pages. */
  bytes = 0;

  /** @param size the numbers are below it. */
  constructor(size: number, wordsFor: (words: number) => Int32Array) {
    const levels = [0];
    let start = 0;
    for (let count = Math.ceil(size / 32); count > 1; count = Math.ceil(count / 32)) levels.push((start += count));
    this.#size = size;
    this.#levels = levels;
    this.#wordsFor = wordsFor;
  }

  #read(word: number): number {
    const page = this.#pages[word >>> PAGE_SHIFT];
    return page === undefined ? 0 : page[word & WITHIN]!;
  }

  #write(word: number, bits: number): void {
    const at = word >>> PAGE_SHIFT;
    let page = this.#pages[at];
    if (page === undefined) {
      page = this.#pages[at] = this.#wordsFor(PAGE_WORDS);
      this.bytes += PAGE_WORDS * 4;
    }
    page[word & WITHIN] = bits;
  }

  /** Whether the number is in the set. */
  has(number: number): boolean {
    return number < this.#size && (this.#read(number >>> 5) & (1 << number)) !== 0;
  }

  /** Puts a number in: ends at the first word that was not 0. */
  add(number: number): void {
    let at = number;
    for (const level of this.#levels) {
      const word = level + (at >>> 5);
      const before = this.#read(word);
      this.#write(word, before | (1 << at));
      if (before !== 0) return;
      at >>>= 5;
    }
  }

  /** Takes a number out: ends at the first word that stays other than 0. */
  delete(number: number): void {
    let at = number;
    for (const level of this.#levels) {
      const word = level + (at >>> 5);
      const after = this.#read(word) & ~(1 << at);
      this.#write(word, after);
      if (after !== 0) return;
      at >>>= 5;
    }
  }

  /** The smallest number, or −1. */
  first(): number {
    let at = 0;
    for (let level = this.#levels.length - 1; level >= 0; level--) {
      const bits = this.#read((this.#levels[level] ?? 0) + at);
      if (bits === 0) return -1;
      at = at * 32 + 31 - Math.clz32(bits & -bits);
    }
    return at;
  }

  /** Visits the numbers in ascending order. */
  forEach(visit: (number: number) => void): void {
    const end = Math.ceil(this.#size / 32);
    for (let word = 0; word < end; word++) {
      if (this.#pages[word >>> PAGE_SHIFT] === undefined) word += WITHIN - (word & WITHIN);
      else
        for (let bits = this.#read(word); bits !== 0; bits &= bits - 1)
          visit(word * 32 + 31 - Math.clz32(bits & -bits));
    }
  }

  /** Takes everything out. */
  clear(): void {
    this.#pages = [];
    this.bytes = 0;
  }
}
