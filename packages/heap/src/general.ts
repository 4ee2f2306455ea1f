import { NO_ADDRESS, requireRequest } from "./allocator.ts";
import type { HeapSource } from "./allocator.ts";
import { give, isUsed, OWNED_SIZE, sizeOf, take } from "./boundary-tags.ts";
import type { Chunk } from "./chunks.ts";
import { CLASS_OF_UNITS, classFor, CLASSES, SLAB_BYTES, SMALL_BYTES } from "./size-classes.ts";
import { bitsWordOf, GRANULE, MAGAZINE_WORDS, slabAt, Slabs, SLAB_WORDS, slotSizeOf } from "./slabs.ts";
import { TaggedHeap } from "./tagged-heap.ts";
import type { TaggedOptions } from "./tagged-heap.ts";

/** How a general heap is built. */
export type GeneralOptions = TaggedOptions;

/*
 * Everything that a small block needs is in one array:
 *
 *      word 0 …                         9216 …                              9376 …
 *      ┌──────────────────────────────┬───────────────────────────────────┬──────────────────────────────────┐
 *      │ a magazine for each list:    │ by size in 8 bytes, rounded up:   │ one word for each granule: tags  │
 *      │ 4 lifetimes × 36 classes     │ the first word of its magazine    │ of ranges, records of slabs      │
 *      └──────────────────────────────┴───────────────────────────────────┴──────────────────────────────────┘
 */
/** Lists of slabs: one for each size class and lifetime. */
const LISTS = 4 * CLASSES;
const SIZE_TABLE = LISTS * MAGAZINE_WORDS;
const OWN_WORDS = SIZE_TABLE + 160;
const LARGEST = 2 ** 32 - 2 ** 16;

// The hot path spells out what `slabAt`, `bitsWordOf` and `magazineOf` say, and 9216 × 8 for the table of sizes: calls across modules, which are inlined but
// looked up each time, take 5 % of the time of an event.

/**
 * The general allocator: small blocks (up to 1 KiB) out of 4 KiB slabs of one size class each, larger ones out of ranges of 128-byte granules that
 * merge with their neighbours at once. All state is outside the blocks, 1/32 of the heap plus 41 KiB, so it works over any source and
 * nothing that is written into a block can harm it; a double or wild free is always detected.
 *
 * At most 3.5 GiB per heap; blocks are aligned to 8, from 1 KiB on to 128.
 */
export class GeneralHeap extends TaggedHeap {
  readonly #slabs: Slabs;

  constructor(source: HeapSource, options: GeneralOptions = {}) {
    super(source, options, GRANULE, 0, SLAB_BYTES, OWN_WORDS, 0);
    const ranges = {
      takeSlab: (): number => this.#takeSlab(),
      // Merged at once: its header is below 0 and reads as a size that is not held back.
      giveSlab: (slab: number): number => give(this.tags, this.state, 0, slab),
    };
    this.#slabs = new Slabs(ranges, this.tags, this.tags, new Int32Array(LISTS));
    this.#fillSizeTable();
  }

  #fillSizeTable(): void {
    CLASS_OF_UNITS.forEach((list, units) => (this.tags[SIZE_TABLE + units] = list * MAGAZINE_WORDS));
  }

  protected override number(chunk: Chunk, isNew: boolean): void {
    super.number(chunk, isNew);
    this.#slabs.tags = this.#slabs.magazines = this.tags;
  }

  /** Small: the top of a stack and one bit. Larger: one that was held back, or one block unlinked, its rest linked. */
  allocate(size: number, alignment = 0, hint = 0): number {
    if (size >>> 0 !== size || alignment !== 0 || hint !== 0) return this.#allocateOdd(size, alignment, hint);
    return size > 1024 ? this.#allocateLarge(size) : this.#allocateSmall(this.tags[(size + (9216 * 8 + 7)) >>> 3]!);
  }

  #allocateSmall(magazine: number): number {
    const tags = this.tags;
    const count = tags[magazine]!;
    if (count === 0) return this.#refill(magazine);
    tags[magazine] = count - 1;
    const unit = tags[magazine + count]!;
    const word = ((unit >>> 4) & -32) + 8 + ((unit >>> 5) & 15);
    tags[word] = tags[word]! | (1 << unit);
    const offset = unit * 8;
    return offset < this.limit ? this.base + offset : this.#addressAt(offset);
  }

  #addressAt(offset: number): number {
    return this.addressOf(Math.floor(offset / GRANULE)) + (offset % GRANULE);
  }

  #takeSlab(): number {
    const slab = this.takeAligned(SLAB_WORDS, SLAB_BYTES);
    if (slab !== 0) this.tags[slab + OWNED_SIZE] = sizeOf(this.tags, 0, slab);
    return slab;
  }

  #refill(magazine: number): number {
    const list = magazine / MAGAZINE_WORDS;
    let found = this.#slabs.fill(list) || (this.letGo() && this.#slabs.fill(list));
    // First with slack for the alignment, so that the slab can follow what is there; at the end of the source without.
    for (const words of [2 * SLAB_WORDS + 4, SLAB_WORDS]) {
      if (found) break;
      this.grow(words);
      found = this.#slabs.fill(list);
    }
    return found ? this.#allocateSmall(magazine) : NO_ADDRESS;
  }

  #allocateLarge(size: number): number {
    const block = take(this.tags, this.state, 0, (size + 127) >>> 7);
    const offset = block * 128;
    return block !== 0 && offset < this.limit ? this.base + offset : this.#allocateSlowly(size, 0, block);
  }

  /** Aligned, or beyond the first chunk, or when nothing free is large enough. */
  #allocateSlowly(size: number, alignment: number, taken: number): number {
    if (size > LARGEST) return NO_ADDRESS;
    const block = taken || this.takeSlowly(Math.max((size + 127) >>> 7, 4), alignment);
    return block === 0 ? NO_ADDRESS : this.addressOf(block);
  }

  /** With an alignment, a hint, or an argument out of range. */
  #allocateOdd(size: number, alignment: number, hint: number): number {
    requireRequest(size, alignment);
    if (size > SMALL_BYTES || alignment > SMALL_BYTES) return this.#allocateSlowly(size, alignment, 0);
    return this.#allocateSmall(((hint & 3) * CLASSES + classFor(size, alignment)) * MAGAZINE_WORDS);
  }

  /** Small: one bit and the top of a stack. Larger: held back, or merged with both neighbours. */
  free(address: number): void {
    const offset = this.#offsetOf(address);
    const header = this.tags[(offset >>> 12) << 5]!;
    if (header < 0) this.#freeSmall(address, offset, header);
    else this.#freeLarge(address, offset);
  }

  #freeSmall(address: number, offset: number, header: number): void {
    const tags = this.tags;
    const unit = offset >>> 3;
    const word = ((unit >>> 4) & -32) + 8 + ((unit >>> 5) & 15);
    const bits = tags[word]!;
    const bit = 1 << unit;
    if ((bits & bit) === 0 || (offset & 7) !== 0) this.#throwMisuse(address);
    tags[word] = bits ^ bit;
    const magazine = (header << 4) & 0x3fc0;
    const count = tags[magazine]! + 1;
    if (count === 64) this.#slabs.list(slabAt(offset));
    else {
      tags[magazine] = count;
      tags[magazine + count] = unit;
    }
  }

  #freeLarge(address: number, offset: number): void {
    const words = (offset & 127) === 0 ? give(this.tags, this.state, 0, offset >>> 7) : 0;
    if (words === 0) this.#throwMisuse(address);
    if (words >= this.surplus) this.giveSurplus();
  }

  /** Slow, for the message. */
  #throwMisuse(address: number): never {
    const offset = this.#offsetOf(address);
    const header = this.tags[slabAt(offset)]!;
    this.throwMisuse(address, offset > 0 && (header >= 0 || (offset % SLAB_BYTES) % slotSizeOf(header) === 0));
  }

  /** In place within its class or into free neighbours, else by moving. */
  override resize(address: number, size: number): number {
    const usable = this.usableSize(address);
    if (size >>> 0 !== size) requireRequest(size, 0);
    const isEnough =
      usable <= SMALL_BYTES
        ? size <= usable && (size * 2 > usable || usable <= 32)
        : size > SMALL_BYTES
          && size <= LARGEST
          && this.resizeInPlace(this.#offsetOf(address) >>> 7, (size + 127) >>> 7);
    if (isEnough) return address;
    const to = this.move(address, usable, size);
    // What cannot move stays larger than it has to be.
    return to === NO_ADDRESS && size <= usable ? address : to;
  }

  /** The size class, or the granules of the block. */
  usableSize(address: number): number {
    const offset = this.#offsetOf(address);
    if (!this.#isLive(offset)) this.#throwMisuse(address);
    const header = this.tags[slabAt(offset)]!;
    return header < 0 ? slotSizeOf(header) : sizeOf(this.tags, 0, offset >>> 7) * GRANULE;
  }

  /** Exact. */
  owns(address: number): boolean {
    return this.#isLive(this.#offsetOf(address));
  }

  #isLive(offset: number): boolean {
    if (this.tags[slabAt(offset)]! >= 0) return (offset & 127) === 0 && isUsed(this.state, offset >>> 7);
    return (offset & 7) === 0 && (this.tags[bitsWordOf(offset >>> 3)]! & (1 << (offset >>> 3))) !== 0;
  }

  /** The offset of an address that lies in a chunk and is whole, or 0, where nothing is live. */
  #offsetOf(address: number): number {
    const offset = (address - this.base) | 0;
    return offset >= this.floor && offset < this.limit && offset + this.base === address
      ? offset
      : this.#farOffsetOf(address);
  }

  /** Beyond the first chunk, or beyond 2 GiB. */
  #farOffsetOf(address: number): number {
    const within = ((address % GRANULE) + GRANULE) % GRANULE;
    const block = within % 1 === 0 ? this.granuleAt(address - within) : -1;
    return block < 0 ? 0 : block * GRANULE + within;
  }

  /** Lets go of the ranges held back and of the slabs kept unused. */
  protected override letGo(): boolean {
    const slabs = this.#slabs.giveIdle();
    return super.letGo() || slabs;
  }

  protected override get ownWords(): number {
    return super.ownWords + LISTS;
  }

  /** Walks ranges, slabs and lists. */
  override check(): void {
    super.check();
    const slabs: number[] = [];
    this.walkAll((block, _words, isUsed) => {
      if (isUsed && this.tags[block]! < 0) slabs.push(block);
    });
    this.#slabs.check(slabs);
  }

  /** In address order within each chunk. */
  walk(visit: (address: number, bytes: number) => void): void {
    this.walkAll((block, words, isUsed) => {
      const end = (block + words) * GRANULE;
      const header = this.tags[block]!;
      const bytes = header < 0 ? slotSizeOf(header) : words * GRANULE;
      for (let offset = block * GRANULE; isUsed && offset + bytes <= end; offset += bytes)
        if (this.#isLive(offset)) visit(this.#addressAt(offset), bytes);
    });
  }

  /** Every chunk becomes one free block. */
  override reset(): void {
    this.tags.fill(0);
    this.#fillSizeTable();
    this.#slabs.reset();
    super.reset();
  }
}
