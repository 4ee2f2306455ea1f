/*
 * Three sets of blocks as bits, one bit of each for each granule that a block may start at. The bits of 4096 granules lie together, and such chunks are made
 * where blocks are, so that addresses may lie anywhere:
 *
 *      word 0            128               256               384
 *      ┌─────────────────┬─────────────────┬─────────────────┐
 *      │ is a block      │ is marked       │ is a root       │   bit n: the granule n after the chunk's first
 *      └─────────────────┴─────────────────┴─────────────────┘
 */

/** The set of all blocks: words from a chunk's first to its own. */
export const BLOCK = 0;
/** The set of those that are marked. */
export const MARK = 128;
/** The set of roots. */
export const ROOT = 256;

const CHUNK_WORDS = 384;
const CHUNK_GRANULES = 4096;

/** Sets of blocks by their addresses. A place stands for an address: 32 × its chunk's first word + its bit there. */
export class BlockBits {
  readonly #granule: number;
  #words: Int32Array = new Int32Array(CHUNK_WORDS * 4);
  /** By the number of 4096 granules: the chunk's first word. */
  readonly #chunks = new Map<number, number>();
  /** By chunk: its first address. */
  readonly #starts: number[] = [];
  /** The chunk that was looked up last. */
  #lastNumber = NaN;
  #lastWord = 0;

  /** @param granule all addresses are multiples of it. */
  constructor(granule: number) {
    this.#granule = granule;
  }

  /** Own state, in bytes. */
  get bytes(): number {
    return this.#words.length * 4;
  }

  /** How many words each set has. */
  get length(): number {
    return this.#starts.length * MARK;
  }

  /** The place of an address, or −1 where no block was ever near. */
  find(address: number): number {
    const granule = address / this.#granule;
    const number = Math.floor(granule / CHUNK_GRANULES);
    const within = granule - number * CHUNK_GRANULES;
    if (within >>> 0 !== within) return -1;
    if (number !== this.#lastNumber) {
      const word = this.#chunks.get(number);
      if (word === undefined) return -1;
      this.#lastNumber = number;
      this.#lastWord = word;
    }
    return this.#lastWord * 32 + within;
  }

  /** The place of an address, made where there was none; −1 where the address is no multiple of the granule. */
  enter(address: number): number {
    const place = this.find(address);
    if (place >= 0 || address % this.#granule !== 0) return place;
    const number = Math.floor(address / this.#granule / CHUNK_GRANULES);
    const word = this.#starts.push(number * CHUNK_GRANULES * this.#granule) * CHUNK_WORDS - CHUNK_WORDS;
    if (word === this.#words.length) {
      const words = new Int32Array(word * 2);
      words.set(this.#words);
      this.#words = words;
    }
    this.#chunks.set(number, word);
    return this.find(address);
  }

  /** Whether the block at a place is in a set. */
  has(place: number, set: number): boolean {
    return (this.#words[(place >>> 5) + set]! & (1 << place)) !== 0;
  }

  /** Puts the block at a place into a set. */
  add(place: number, set: number): void {
    const word = (place >>> 5) + set;
    this.#words[word] = this.#words[word]! | (1 << place);
  }

  /** Takes the block at a place out of a set. */
  delete(place: number, set: number): void {
    const word = (place >>> 5) + set;
    this.#words[word] = this.#words[word]! & ~(1 << place);
  }

  /** Visits the addresses of the n-th word of a set, but for those that another set has. The visitor may change both. */
  visitWord(nth: number, set: number, without: number, visit: (address: number) => void): void {
    const chunk = Math.floor(nth / MARK);
    const word = chunk * CHUNK_WORDS + (nth % MARK);
    let bits = this.#words[word + set]!;
    if (without !== set) bits &= ~this.#words[word + without]!;
    for (; bits !== 0; bits &= bits - 1) {
      const within = (nth % MARK) * 32 + 31 - Math.clz32(bits & -bits);
      visit((this.#starts[chunk] ?? 0) + within * this.#granule);
    }
  }

  /** Visits all addresses of a set. */
  forEach(set: number, visit: (address: number) => void): void {
    for (let nth = 0; nth < this.length; nth++) this.visitWord(nth, set, set, visit);
  }

  /** Empties a set. */
  clear(set: number): void {
    for (let word = set; word < this.#starts.length * CHUNK_WORDS; word += CHUNK_WORDS)
      this.#words.fill(0, word, word + MARK);
  }
}
