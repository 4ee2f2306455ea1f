import { NO_ADDRESS, requireRequest } from "./allocator.ts";
import type { HeapSource } from "./allocator.ts";
import { give, isUsed, MAX_WORDS, MIN_WORDS, sizeOf, take } from "./boundary-tags.ts";
import type { Chunk } from "./chunks.ts";
import { HeapError } from "./errors.ts";
import type { WordMemory } from "./ports.ts";
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
 * Two-level segregated fit: every operation takes a bounded number of steps, free neighbours merge at once. Beside these are what a call to the source, longer
 * arrays for more memory and the copying of a moved block cost; a look at each chunk, up to 80 in a GiB, where the source's ranges do not touch (more only where it has
 * small ones alone); and a misuse, whose message takes a walk.
 *
 * Over memory whose words can be reached (`WordMemory`) the boundary tags are in band: 4 bytes before each block, so a block of 8k + 4
 * bytes wastes nothing. Over any other source the same tags are in a parallel array, 16 bytes for each granule of the range: choose
 * the granule accordingly. A bitmap outside the heap knows where blocks start, one bit for each granule, so that misuse is detected whatever
 * was written into the heap.
 *
 * A heap holds up to 1.7 GiB in band, below 2 GiB; up to 2^26 granules in parallel.
 */
export class Tlsf extends TaggedHeap {
  /**
   * The memory that the tags are in: the word before a block's address is its header, granule n is at (n + 1) × granule, and the tags are the memory's
   * words but for the first few. So the first granule of a chunk holds the header of its first block.
   */
  readonly #memory: WordMemory | undefined;
  readonly #granuleShift: number;
  /** Bytes of a block's granules that its header takes: 4 in band. */
  readonly #header: number;
  /** Added to a size before it is cut down to granules. */
  readonly #extra: number;
  /** A larger size is nowhere. */
  readonly #largest: number;

  /** @throws HeapError `bad-option` for a granule that does not fit, or tags in band where no words can be reached. */
  constructor(source: HeapSource & Partial<WordMemory>, options: TlsfOptions = {}) {
    const { tags = source.words === undefined ? "parallel" : "in-band" } = options;
    const isInBand = tags === "in-band";
    const { granule = isInBand ? 8 : 16 } = options;
    const log = 31 - Math.clz32(granule);
    if (granule !== 2 ** log || granule < 4 || (isInBand && (source.words === undefined || (granule & 24) === 0)))
      throw new HeapError("bad-option", granule);
    const shift = isInBand ? log - 2 : 2;
    // In band a new chunk needs a granule for the header of its first block, at address 0 another.
    super(source, options, granule, shift, granule, 0, isInBand ? 2 : 0);
    this.#memory = isInBand ? (source as WordMemory) : undefined;
    this.#granuleShift = log;
    this.#header = isInBand ? 4 : 0;
    this.#extra = granule - 1 + this.#header;
    this.#largest = Math.min((MAX_WORDS >>> shift) * granule, 2 ** 32) - 2 * this.#extra - 64;
  }

  protected override number(chunk: Chunk, isNew: boolean): void {
    const { granule } = this;
    if (this.#memory === undefined) {
      super.number(chunk, isNew);
      return;
    }
    this.tags = this.#tagsIn(this.#memory);
    chunk.start = chunk.address / granule - 1;
    chunk.first = Math.max(chunk.start, 0) + 1;
  }

  protected override refresh(): void {
    if (this.tags.length === 0 && this.#memory !== undefined) this.tags = this.#tagsIn(this.#memory);
  }

  #tagsIn({ words }: WordMemory): Int32Array {
    return words.subarray(this.granule / 4 - 1);
  }

  protected override get ownWords(): number {
    return this.#memory === undefined ? super.ownWords : this.state.length;
  }

  /** O(1): a look into a bitmap, one block unlinked, its rest linked. */
  allocate(size: number, alignment = 0): number {
    // Whole, not negative, and below 2^30: what the hot path can count in 31 bits. Where someone else has grown a memory, the array of its words has none any more.
    if ((size & 0x3fffffff) !== size || alignment !== 0 || this.tags.length === 0)
      return this.#allocateSlowly(size, alignment);
    const granule = take(this.tags, this.state, this.shift, this.#granulesFor(size));
    if (granule === 0) return this.#allocateSlowly(size, 0);
    const offset = granule * this.granule;
    return offset < this.limit ? this.base + offset : this.addressOf(granule);
  }

  /** Aligned, out of range, or when nothing free is large enough. */
  #allocateSlowly(size: number, alignment: number): number {
    requireRequest(size, alignment);
    this.refresh();
    const granule = size > this.#largest ? 0 : this.takeSlowly(this.#granulesFor(size), alignment);
    return granule === 0 ? NO_ADDRESS : this.addressOf(granule);
  }

  #granulesFor(size: number): number {
    return Math.max((size + this.#extra) >>> this.#granuleShift, MIN_WORDS >> this.shift);
  }

  /** O(1): held back, or merged with both neighbours. */
  free(address: number): void {
    this.refresh();
    const granules = give(this.tags, this.state, this.shift, this.#granuleAt(address));
    if (granules === 0) this.throwMisuse(address);
    if (granules >= this.surplus) this.giveSurplus();
  }

  #granuleAt(address: number): number {
    const offset = address - this.base;
    const granule = offset >> this.#granuleShift;
    const isNear = granule << this.#granuleShift === offset && offset < this.limit && offset >= this.floor;
    return isNear ? granule : this.granuleAt(address);
  }

  /** In place where the block's tail can be returned or the block after it is free, else by moving. */
  override resize(address: number, size: number): number {
    const usable = this.usableSize(address);
    requireRequest(size, 0);
    if (size > this.#largest) return NO_ADDRESS;
    return this.resizeInPlace(this.#granuleAt(address), this.#granulesFor(size))
      ? address
      : this.move(address, usable, size);
  }

  /** Granules of the block less its header. */
  usableSize(address: number): number {
    this.refresh();
    const granule = this.#granuleAt(address);
    if (!isUsed(this.state, granule)) this.throwMisuse(address);
    return sizeOf(this.tags, this.shift, granule) * this.granule - this.#header;
  }

  /** Exact: asks the bitmap. */
  owns(address: number): boolean {
    return isUsed(this.state, this.#granuleAt(address));
  }

  /** In address order within each chunk. */
  walk(visit: (address: number, bytes: number) => void): void {
    this.walkAll((granule, granules, isUsed) => {
      if (isUsed) visit(this.addressOf(granule), granules * this.granule - this.#header);
    });
  }
}
