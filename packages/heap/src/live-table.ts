/** Slots of an empty table. */
const LEAST = 64;

/*
 * Open addressing, a power of two of slots, at most half of them taken. A slot has two words: the key's hash, and 1 + its value, 0 for an empty slot. The
 * hash is kept so that neither looking a key up nor closing the gap that one leaves has to look at what the values stand for.
 */

/** The hash of a whole number up to 2^53: all of its bits count, the highest bits of the hash are the best mixed. */
function hashOf(key: number): number {
  const low = key >>> 0;
  return Math.imul(low ^ ((key - low) / 2 ** 32), 0x9e3779b1);
}

/** A table from numbers to small numbers, which compares keys by asking for the key of a value. */
export class LiveTable {
  /** The key that a value was entered with. */
  readonly #keyOf: (value: number) => number;
  #words: Int32Array = new Int32Array(2 * LEAST);
  /** 32 − log2 of the slots. */
  #shift: number = Math.clz32(LEAST) + 1;
  /** Keys in the table. */
  count = 0;

  constructor(keyOf: (value: number) => number) {
    this.#keyOf = keyOf;
  }

  /** Own state, in bytes. */
  get bytes(): number {
    return this.#words.length * 4;
  }

  /** The word of the slot that has the key, or of the empty slot where it would be. */
  #wordOf(key: number): number {
    const words = this.#words;
    const hash = hashOf(key);
    const mask = words.length - 1;
    let word = (hash >>> this.#shift) * 2;
    for (; ; word = (word + 2) & mask) {
      const value = words[word + 1]!;
      if (value === 0 || (words[word]! === hash && this.#keyOf(value - 1) === key)) return word;
    }
  }

  /** The value of a key, or −1. */
  find(key: number): number {
    return this.#words[this.#wordOf(key) + 1]! - 1;
  }

  /** Enters a key that is not in the table. */
  add(key: number, value: number): void {
    if (++this.count * 4 > this.#words.length) this.#grow();
    this.#put(hashOf(key), value + 1);
  }

  #put(hash: number, value: number): void {
    const words = this.#words;
    let word = (hash >>> this.#shift) * 2;
    while (words[word + 1] !== 0) word = (word + 2) & (words.length - 1);
    words[word] = hash;
    words[word + 1] = value;
  }

  #grow(): void {
    const old = this.#words;
    this.#words = new Int32Array(old.length * 2);
    this.#shift--;
    for (let word = 0; word < old.length; word += 2) if (old[word + 1] !== 0) this.#put(old[word]!, old[word + 1]!);
  }

  /** Takes a key out and closes the gap, so that no tombstones are needed. @returns its value, or −1 where there was none. */
  take(key: number): number {
    const words = this.#words;
    const mask = words.length - 1;
    let gap = this.#wordOf(key);
    const found = words[gap + 1]! - 1;
    if (found < 0) return found;
    this.count--;
    words[gap + 1] = 0;
    for (let at = (gap + 2) & mask; words[at + 1] !== 0; at = (at + 2) & mask) {
      const home = (words[at]! >>> this.#shift) * 2;
      if (((at - home) & mask) < ((at - gap) & mask)) continue;
      words[gap] = words[at]!;
      words[gap + 1] = words[at + 1]!;
      words[at + 1] = 0;
      gap = at;
    }
    return found;
  }

  /** Takes everything out. */
  clear(): void {
    this.#words.fill(0);
    this.count = 0;
  }
}
