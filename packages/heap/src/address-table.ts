/*
 * A word for each granule, in chunks of 32 that are made where blocks are, so that what lies together in memory lies together here, and is at hand when the block is:
 *
 *      address − base      30 … shift + 5 │ shift + 4 … shift │ 0
 *                          chunk's number │ word in the chunk │
 *
 * A word is 1 + the number that its address has, or 0. Invariant: the first chunk stays empty, and is that of all addresses that have none.
 */

const CHUNK_LOG = 5;
const CHUNK_WORDS: number = 1 << CHUNK_LOG;
const NONE = -1;
/** What the addresses of one table lie in, as a rule. */
const WINDOW = 2 ** 31;
/** The first number that a word has no room for. */
const TOO_LARGE = 2 ** 31 - 1;

/**
 * A number for each of many addresses: most of them multiples of a granule and within 2 GiB. Other addresses, and numbers from 2^31 − 1 on, are kept in a `Map`.
 */
export class AddressTable {
  /** Log2 of the granule. */
  readonly #shift: number;
  /** The bits that an address − base may have. */
  readonly #mask: number;
  /** A multiple of {@link WINDOW}: the first address says which. */
  #base = 0;
  /** By number: the first word of a chunk, 0 where there is none. */
  #chunks: Int32Array = new Int32Array(64);
  #words: Int32Array = new Int32Array(16 * CHUNK_WORDS);
  /** One past the last chunk. */
  #end = CHUNK_WORDS;
  readonly #others = new Map<number, number>();
  #count = 0;

  /** @param granule a power of two up to 2^20. */
  constructor(granule = 8) {
    this.#shift = 31 - Math.clz32(granule);
    this.#mask = (WINDOW - 1) & -granule;
  }

  /** Addresses that have a number. */
  get count(): number {
    return this.#count;
  }

  /** Own state, in bytes. */
  get bytes(): number {
    return (this.#chunks.length + this.#words.length) * 4 + this.#others.size * 40;
  }

  /** Whether an address may have a word. */
  #isNear(address: number): boolean {
    const offset = address - this.#base;
    return (offset & this.#mask) === offset;
  }

  /** The word of an address. */
  #wordOf(address: number): number {
    const offset = address - this.#base;
    if ((offset & this.#mask) !== offset) return 0;
    const granule = offset >>> this.#shift;
    const number = granule >>> CHUNK_LOG;
    return number < this.#chunks.length ? this.#chunks[number]! + (granule & (CHUNK_WORDS - 1)) : 0;
  }

  /** The number of an address, or −1. */
  find(address: number): number {
    const value = this.#words[this.#wordOf(address)]!;
    return value === 0 ? this.#findOther(address) : value - 1;
  }

  #findOther(address: number): number {
    return this.#others.size === 0 ? NONE : (this.#others.get(address) ?? NONE);
  }

  /** Gives a number, 0 or more, to an address that has none. */
  add(address: number, value: number): void {
    const word = this.#wordOf(address);
    if (word < CHUNK_WORDS || value >= TOO_LARGE) this.#addSlowly(address, value);
    else this.#words[word] = value + 1;
    this.#count++;
  }

  #addSlowly(address: number, value: number): void {
    if (this.#count === 0) this.#base = Math.floor(address / WINDOW) * WINDOW;
    if (!this.#isNear(address) || value >= TOO_LARGE) {
      this.#others.set(address, value);
      return;
    }
    this.#makeChunk((address - this.#base) >>> (this.#shift + CHUNK_LOG));
    this.#words[this.#wordOf(address)] = value + 1;
  }

  #makeChunk(number: number): void {
    if (number >= this.#chunks.length) this.#chunks = longer(this.#chunks, number + 1);
    if (this.#chunks[number] !== 0) return;
    if (this.#end === this.#words.length) this.#words = longer(this.#words, this.#end + CHUNK_WORDS);
    this.#chunks[number] = this.#end;
    this.#end += CHUNK_WORDS;
  }

  /** Takes an address's number away. @returns it, or −1 where there was none. */
  take(address: number): number {
    const word = this.#wordOf(address);
    const value = this.#words[word]!;
    if (value === 0) return this.#takeOther(address);
    this.#words[word] = 0;
    this.#count--;
    return value - 1;
  }

  #takeOther(address: number): number {
    const value = this.#findOther(address);
    if (this.#others.delete(address)) this.#count--;
    return value;
  }

  /** Visits each address with its number. */
  forEach(visit: (address: number, value: number) => void): void {
    for (let number = 0; number < this.#chunks.length; number++) {
      const chunk = this.#chunks[number]!;
      for (let at = 0; chunk !== 0 && at < CHUNK_WORDS; at++) {
        const value = this.#words[chunk + at]!;
        if (value !== 0) visit(this.#base + (number * CHUNK_WORDS + at) * 2 ** this.#shift, value - 1);
      }
    }
    this.#others.forEach((value, address) => visit(address, value));
  }

  /** Takes all numbers away. */
  clear(): void {
    this.#words.fill(0, 0, this.#end);
    this.#others.clear();
    this.#count = 0;
  }
}

/** A copy whose length is a power of two, `least` or more. */
function longer(words: Int32Array, least: number): Int32Array {
  const copy = new Int32Array(2 ** (32 - Math.clz32(least - 1)));
  copy.set(words);
  return copy;
}
