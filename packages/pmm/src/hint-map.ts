/*
 * A set of small integers that many threads change without locks, and in which the next member is found in O(1).
 *
 *   level 2   word of bits   bit = word of level 1 is not 0
 *   level 1   words of bits  bit = word of level 0 is not 0
 *   level 0   words of bits  bit = member
 *
 * Its members are hints: what they point at decides. Invariant at rest: a word that is not 0 has its bit above it set.
 * (The reverse may fail for a while; a search then goes on behind the empty word.) `remove` clears a bit above only after
 * its word became 0, and looks at the word again afterwards: if an `add` came in between, it sets the bit again.
 *
 * Searches read without Atomics (a tenth of the cost): a hint that they miss is missed for a moment only.
 */

/** The first value of fields that hold words: V8 then knows their type, which halves the cost of every use. */
const NO_WORDS: Int32Array = new Int32Array(0);

/** Words that a map of `size` members needs, all levels. */
export function hintWords(size: number): number {
  let words = 0;
  for (let length = Math.ceil(size / 32); ; length = Math.ceil(length / 32)) {
    words += length;
    if (length <= 1) return words;
  }
}

/** A lock-free set of the integers from 0 to `size` − 1. Holds no memory of its own. */
export class HintMap {
  readonly #words: Int32Array = NO_WORDS;
  /** Where each level starts, and after the last where the map ends. */
  readonly #starts: Int32Array = NO_WORDS;
  readonly #levels: number = 0;

  /** Over `hintWords(size)` words of `words` from `start` on. */
  constructor(words: Int32Array, start: number, size: number) {
    const starts = [start];
    let end = start;
    for (let length = Math.ceil(size / 32); ; length = Math.ceil(length / 32)) {
      end += length;
      starts.push(end);
      if (length <= 1) break;
    }
    this.#words = words;
    this.#starts = Int32Array.from(starts);
    this.#levels = starts.length - 1;
  }

  /** True when `member` is in the set. */
  has(member: number): boolean {
    return (Atomics.load(this.#words, this.#starts[0]! + (member >>> 5)) & (1 << (member & 31))) !== 0;
  }

  /** Adds a member; returns its word of 32 members as it is then. Lock-free: at most one atomic step per level. */
  add(member: number): number {
    return this.#addAt(0, member);
  }

  /** True when the `size` integers from `from` on are all in the set: a multiple of 32 from a multiple on, or a part of one word. */
  hasAll(from: number, size: number): boolean {
    const all = size < 32 ? ((1 << size) - 1) << (from & 31) : -1;
    for (let member = from; member < from + size; member += 32) {
      if ((Atomics.load(this.#words, this.#starts[0]! + (member >>> 5)) & all) !== all) return false;
    }
    return true;
  }

  /** Removes a member. Lock-free. */
  remove(member: number): void {
    this.#removeAt(0, member);
  }

  /** Adds the `size` integers from `from` on, word by word: a multiple of 32 from a multiple on, or a part of one word. */
  addAll(from: number, size: number): void {
    const all = size < 32 ? ((1 << size) - 1) << (from & 31) : -1;
    for (let member = from; member < from + size; member += 32) {
      Atomics.or(this.#words, this.#starts[0]! + (member >>> 5), all);
      if (this.#levels > 1) this.#addAt(1, member >>> 5);
    }
  }

  /** The smallest member in `[from, end)`, or −1. Reads at most a few words per level. */
  next(from: number, end: number): number {
    let level = 0;
    let at = from;
    while (level < this.#levels) {
      const word = this.#starts[level]! + (at >>> 5);
      if (word >= this.#starts[level + 1]! || (level === 0 && at >= end)) return -1;
      const bits = this.#words[word]! & (-1 << (at & 31));
      if (bits === 0) {
        at = (at >>> 5) + 1;
        level += 1;
        continue;
      }
      at = (at & ~31) + 31 - Math.clz32(bits & -bits);
      if (level === 0) return at < end ? at : -1;
      level -= 1;
      at *= 32;
    }
    return -1;
  }

  /** Sets every upper bit that its word below asks for; needed only after a thread died half-way. */
  repair(): void {
    for (let level = 1; level < this.#levels; level += 1) {
      const below = this.#starts[level - 1]!;
      for (let word = 0; word < this.#starts[level]! - below; word += 1) {
        if (Atomics.load(this.#words, below + word) !== 0) {
          Atomics.or(this.#words, this.#starts[level]! + (word >>> 5), 1 << (word & 31));
        }
      }
    }
  }

  /** Sets the bit of `at` on level `from`, and those above where its word was empty; the word of level `from` then. */
  #addAt(from: number, at: number): number {
    const bit = 1 << (at & 31);
    const old = Atomics.or(this.#words, this.#starts[from]! + (at >>> 5), bit);
    if (old === 0 && from + 1 < this.#levels) this.#addAt(from + 1, at >>> 5);
    return old | bit;
  }

  #removeAt(from: number, at: number): void {
    const bit = 1 << (at & 31);
    const word = this.#starts[from]! + (at >>> 5);
    const old = Atomics.and(this.#words, word, ~bit);
    if ((old & ~bit) !== 0 || old === 0 || from + 1 >= this.#levels) return;
    this.#removeAt(from + 1, at >>> 5);
    if (Atomics.load(this.#words, word) !== 0) this.#addAt(from + 1, at >>> 5);
  }
}
