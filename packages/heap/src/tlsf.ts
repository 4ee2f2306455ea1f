import { NO_ADDRESS, requireRequest } from "./allocator.ts";
import type { HeapSource } from "./allocator.ts";
import { MAX_WORDS, MIN_WORDS } from "./boundary-tags.ts";
import { HeapError } from "./errors.ts";
import type { WordMemory } from "./ports.ts";
import { addressOf, blockAt } from "./regions.ts";
import { TaggedHeap } from "./tagged-heap.ts";
import type { TaggedOptions } from "./tagged-heap.ts";

/** How a TLSF heap is built. */
export interface TlsfOptions extends TaggedOptions {
  /**
   * All addresses and sizes are multiples of this power of two. In band 8 (default) or 16, the alignment of every block; in parallel at least 4, 16 by default.
   */
  readonly granule?: number;
  /** Where the boundary tags live; by default in band where the source's words can be reached. */
  readonly tags?: "in-band" | "parallel";
}

/**
 * Two-level segregated fit: every operation takes a bounded number of steps, free neighbours merge at once.
 *
 * Over memory whose words can be reached (`WordMemory`) the boundary tags are in band: 4 bytes before each block, so a block of 8k + 4
 * bytes wastes nothing. Over any other source the same tags are in a parallel array, 16 bytes for each granule of the range: choose
 * the granule accordingly. A bitmap outside the heap knows where blocks start, one bit for each granule, so that misuse is detected whatever
 * was written into the heap.
 *
 * A heap holds up to 1.7 GiB in band, below 2 GiB; up to 2^26 granules in parallel.
 */
export class Tlsf extends TaggedHeap {
  /** log2 of the granule, log2 of the words for each granule. */
  readonly #granuleShift: number;
  readonly #unitShift: number;
  /** Words by which a block starts below its address: 1 in band. */
  readonly #header: number;
  /** Added to a size before it is cut down to granules. */
  readonly #extra: number;
  readonly #largest: number;

  /** @throws HeapError `bad-option` for a granule that does not fit, or tags in band where no words can be reached. */
  constructor(source: HeapSource & Partial<WordMemory>, options: TlsfOptions = {}) {
    const { tags = source.words === undefined ? "parallel" : "in-band" } = options;
    const header = tags === "in-band" ? 1 : 0;
    const { granule = header === 1 ? 8 : 16 } = options;
    const log = 31 - Math.clz32(granule);
    const unitShift = header === 1 ? log - 2 : 2;
    if (
      granule !== 2 ** log
      || granule < 8 - 4 * (1 - header)
      || (header === 1 && (granule > 16 || source.words === undefined))
    )
      throw new HeapError(
        "bad-option",
        granule,
        "a granule is a power of two, 8 or 16 in band, where words can be reached",
      );
    const geometry = { granule, unitShift, header };
    super(source, options, geometry, granule, header === 1 ? (source as WordMemory) : null);
    this.#granuleShift = log;
    this.#unitShift = unitShift;
    this.#header = header;
    this.#extra = granule - 1 + header * 4;
    this.#largest = Math.min((MAX_WORDS >>> unitShift) * granule, 2 ** 32) - 2 * this.#extra - 64;
  }

  /** O(1): a look into a bitmap, one block unlinked, its rest linked. */
  allocate(size: number, alignment = 0): number {
    if (size >>> 0 !== size || alignment !== 0 || size > this.#largest) return this.#allocateOdd(size, alignment);
    const words = Math.max(((size + this.#extra) >>> this.#granuleShift) << this.#unitShift, MIN_WORDS);
    const block = this.core.take(words);
    if (block === 0) return this.#allocateSlowly(words, 0);
    const offset = ((block + this.#header) >>> this.#unitShift) * this.granule;
    return offset < this.limit ? this.base + offset : addressOf(this.core, block);
  }

  #allocateSlowly(words: number, alignment: number): number {
    const block = this.takeSlowly(words, alignment);
    return block === 0 ? NO_ADDRESS : addressOf(this.core, block);
  }

  #allocateOdd(size: number, alignment: number): number {
    requireRequest(size, alignment);
    return size > this.#largest ? NO_ADDRESS : this.#allocateSlowly(this.#wordsFor(size), alignment);
  }

  #wordsFor(size: number): number {
    return Math.max(((size + this.#extra) >>> this.#granuleShift) << this.#unitShift, MIN_WORDS);
  }

  /** O(1): held back, or merged with both neighbours. */
  free(address: number): void {
    const granule = (address - this.base) >>> this.#granuleShift;
    const offset = granule * this.granule;
    const isNear = this.base + offset === address && offset < this.limit;
    const block = isNear ? (granule << this.#unitShift) - this.#header : blockAt(this.core, address);
    const words = this.core.give(block);
    if (words === 0) this.#throwMisuse(address);
    if (words >= this.surplusWords) this.giveSurplus();
  }

  /** Slow, for the message: a free block that holds the address means that it was freed before. */
  #throwMisuse(address: number): never {
    const holders: boolean[] = [];
    this.core.walk((block, words, isUsed) => {
      const start = addressOf(this.core, block);
      if (address >= start && address < start + this.#bytesOf(words)) holders.push(isUsed);
    });
    throw new HeapError(holders[0] === false ? "double-free" : "wild-free", address);
  }

  /** In place where the block's tail can be returned or the block after it is free, else by moving. */
  override resize(address: number, size: number): number {
    const block = this.#liveBlock(address);
    requireRequest(size, 0);
    if (size > this.#largest) return NO_ADDRESS;
    return this.resizeInPlace(block, this.#wordsFor(size))
      ? address
      : this.move(address, this.#bytesOf(this.core.wordsOf(block)), size);
  }

  /** What a block of so many words holds. */
  #bytesOf(words: number): number {
    return (words >>> this.#unitShift) * this.granule - 4 * this.#header;
  }

  /** Words of the block less its header. */
  usableSize(address: number): number {
    return this.#bytesOf(this.core.wordsOf(this.#liveBlock(address)));
  }

  /** Exact: asks the bitmap of starts. */
  owns(address: number): boolean {
    return this.core.isUsed(blockAt(this.core, address));
  }

  #liveBlock(address: number): number {
    const block = blockAt(this.core, address);
    return this.core.isUsed(block) ? block : this.#throwMisuse(address);
  }

  /** In address order within each chunk. */
  walk(visit: (address: number, bytes: number) => void): void {
    this.core.walk((block, words, isUsed) => {
      if (isUsed) visit(addressOf(this.core, block), this.#bytesOf(words));
    });
  }
}
