import { NO_ADDRESS, requireInvariant, requireRequest } from "./allocator.ts";
import type { HeapSource } from "./allocator.ts";
import { OWNED_SIZE } from "./boundary-tags.ts";
import { HeapError } from "./errors.ts";
import { addressOf, blockAt } from "./regions.ts";
import { CLASS_OF_UNITS, classFor, CLASSES, SLAB_BYTES, SMALL_BYTES } from "./size-classes.ts";
import { BITS, GRANULE, listOf, MAGAZINE_WORDS, SLAB_WORDS, Slabs, slotSizeOf } from "./slabs.ts";
import { TaggedHeap } from "./tagged-heap.ts";
import type { TaggedOptions } from "./tagged-heap.ts";

/** How a general heap is built. */
export type GeneralOptions = TaggedOptions;

/** Lists of slabs: one for each size class and lifetime. */
const LISTS = 4 * CLASSES;
const LARGEST = 2 ** 32 - 2 ** 16;

/**
 * The general allocator: small blocks (up to 1 KiB) out of 4 KiB slabs of one size class each, larger ones out of ranges of 128-byte granules that
 * merge with their neighbours at once. All state is outside the blocks, 1/32 of the heap plus 41 KiB, so it works over any source and
 * nothing that is written into a block can harm it; a double or wild free is always detected.
 *
 * At most 3.5 GiB per heap; blocks are aligned to 8, from 1 KiB on to 128.
 */
export class GeneralHeap extends TaggedHeap {
  readonly #slabs: Slabs;
  /** One word for each granule: boundary tags of the ranges, and the records of the slabs. */
  #tags: Int32Array;
  constructor(source: HeapSource, options: GeneralOptions = {}) {
    super(source, options, { granule: GRANULE, unitShift: 0, header: 0 }, SLAB_BYTES, null, LISTS * MAGAZINE_WORDS);
    this.#tags = this.core.tags;
    const ranges = {
      takeSlab: (): number => this.#takeSlab(),
      // Merged at once: its header is below 0 and reads as a size that is not held back.
      giveSlab: (slab: number): number => this.core.give(slab),
    };
    this.#slabs = new Slabs(ranges, this.#tags, this.#tags, new Int32Array(LISTS));
  }

  protected override onTags(tags: Int32Array): void {
    this.#tags = this.#slabs.tags = this.#slabs.magazines = tags;
  }

  /** Small: the top of a stack and one bit. Larger: one block unlinked, its rest linked. */
  allocate(size: number, alignment = 0, hint = 0): number {
    if (size >>> 0 !== size || alignment !== 0 || hint !== 0) return this.#allocateOdd(size, alignment, hint);
    return size <= SMALL_BYTES ? this.#allocateSmall(CLASS_OF_UNITS[(size + 7) >>> 3]!) : this.#allocateLarge(size, 0);
  }

  #allocateSmall(list: number): number {
    const tags = this.#tags;
    const magazine = list * MAGAZINE_WORDS;
    const count = tags[magazine]!;
    if (count === 0) return this.#refill(list);
    tags[magazine] = count - 1;
    const unit = tags[magazine + count]!;
    const word = (unit >>> 9) * SLAB_WORDS + BITS + ((unit >>> 5) & 15);
    tags[word] = tags[word]! | (1 << unit);
    const offset = unit * 8;
    return offset < this.limit ? this.base + offset : this.#addressOf(offset);
  }

  #addressOf(offset: number): number {
    return addressOf(this.core, Math.floor(offset / GRANULE)) + (offset % GRANULE);
  }

  #takeSlab(): number {
    const slab = this.core.takeAligned(SLAB_WORDS, SLAB_BYTES);
    if (slab !== 0) this.#tags[slab + OWNED_SIZE] = this.core.wordsOf(slab);
    return slab;
  }

  #refill(list: number): number {
    let found = this.#slabs.fill(list) || (this.letGo() && this.#slabs.fill(list));
    // First with slack for the alignment, so that the slab can follow what is there; at the end of the source without.
    for (const words of [2 * SLAB_WORDS + 4, SLAB_WORDS]) {
      if (found) break;
      this.grow(words);
      found = this.#slabs.fill(list);
    }
    return found ? this.#allocateSmall(list) : NO_ADDRESS;
  }

  #allocateLarge(size: number, alignment: number): number {
    if (size > LARGEST) return NO_ADDRESS;
    const words = Math.max((size + GRANULE - 1) >>> 7, 4);
    const block = (alignment <= GRANULE && this.core.take(words)) || this.takeSlowly(words, alignment);
    if (block === 0) return NO_ADDRESS;
    const offset = block * GRANULE;
    return offset < this.limit ? this.base + offset : addressOf(this.core, block);
  }

  /** With an alignment, a hint, or an argument out of range. */
  #allocateOdd(size: number, alignment: number, hint: number): number {
    requireRequest(size, alignment);
    if (size > SMALL_BYTES || alignment > SMALL_BYTES) return this.#allocateLarge(size, alignment);
    return this.#allocateSmall((hint & 3) * CLASSES + classFor(size, alignment));
  }

  /** Small: one bit and the top of a stack. Larger: held back, or merged with both neighbours. */
  free(address: number): void {
    const offset = address - this.base;
    const header = this.#tags[(offset >>> 12) * SLAB_WORDS]!;
    if (header < 0 && offset < this.limit) this.#freeSmall(address, offset, header);
    else this.#freeLarge(address);
  }

  #freeSmall(address: number, offset: number, header: number): void {
    const tags = this.#tags;
    const unit = offset >>> 3;
    const word = (unit >>> 9) * SLAB_WORDS + BITS + ((unit >>> 5) & 15);
    const bits = tags[word]!;
    const bit = 1 << unit;
    if ((bits & bit) === 0 || unit * 8 !== offset) this.#throwMisuse(address);
    tags[word] = bits ^ bit;
    const magazine = listOf(header) * MAGAZINE_WORDS;
    let count = tags[magazine]!;
    if (count === MAGAZINE_WORDS - 1) count = this.#slabs.spill(listOf(header));
    tags[magazine] = count + 1;
    tags[magazine + count + 1] = unit;
  }

  #freeLarge(address: number): void {
    const near = address - this.base;
    const granule = near >>> 7;
    let words = granule * GRANULE === near && near < this.limit ? this.core.give(granule) : 0;
    if (words === 0) {
      const offset = this.#offsetOf(address);
      const header = this.#tags[(offset >>> 12) * SLAB_WORDS]!;
      if (offset >= 0 && header < 0) {
        this.#freeSmall(address, offset, header);
        return;
      }
      if (offset >= 0 && (offset & (GRANULE - 1)) === 0) words = this.core.give(offset / GRANULE);
      if (words === 0) this.#throwMisuse(address);
    }
    if (words >= this.surplusWords) this.giveSurplus();
  }

  /** Slow, for the message. */
  #throwMisuse(address: number): never {
    const at = this.#offsetOf(Math.floor(address));
    const wasBlock: boolean[] = [];
    this.core.walk((block, words, isUsed) => {
      const within = at - block * GRANULE;
      if (within < 0 || within >= words * GRANULE) return;
      wasBlock.push(!isUsed || (this.#tags[block]! < 0 && within % slotSizeOf(this.#tags[block]!) === 0));
    });
    throw new HeapError(wasBlock[0] === true ? "double-free" : "wild-free", address);
  }

  /** In place within its class or into free neighbours, else by moving. */
  override resize(address: number, size: number): number {
    const offset = this.#offsetOf(address);
    const usable = this.#usableAt(offset, address);
    if (size >>> 0 !== size) requireRequest(size, 0);
    if (this.#tags[(offset >>> 12) * SLAB_WORDS]! < 0) {
      if (size <= usable && (size * 2 > usable || usable <= 32)) return address;
    } else if (size > SMALL_BYTES && size <= LARGEST) {
      if (this.resizeInPlace(offset / GRANULE, (size + GRANULE - 1) >>> 7)) return address;
    }
    return this.move(address, usable, size);
  }

  /** The size class, or the granules of the block. */
  usableSize(address: number): number {
    return this.#usableAt(this.#offsetOf(address), address);
  }

  #usableAt(offset: number, address: number): number {
    if (!this.#isLive(offset)) this.#throwMisuse(address);
    const header = this.#tags[(offset >>> 12) * SLAB_WORDS]!;
    return header < 0 ? slotSizeOf(header) : this.core.wordsOf(offset / GRANULE) * GRANULE;
  }

  /** Exact. */
  owns(address: number): boolean {
    return this.#isLive(this.#offsetOf(address));
  }

  #isLive(offset: number): boolean {
    if (offset < 0) return false;
    const slab = (offset >>> 12) * SLAB_WORDS;
    if (this.#tags[slab]! >= 0) return offset % GRANULE === 0 && this.core.isUsed(offset / GRANULE);
    return offset % 8 === 0 && (this.#tags[slab + BITS + ((offset >>> 8) & 15)]! & (1 << (offset >>> 3))) !== 0;
  }

  /** The offset of an address that lies in a chunk and is whole, or −1. */
  #offsetOf(address: number): number {
    const near = address - this.base;
    if (near < this.limit && near >= SLAB_BYTES && near >>> 0 === near) return near;
    if (Math.floor(address) !== address) return -1;
    const within = ((address % GRANULE) + GRANULE) % GRANULE;
    const block = blockAt(this.core, address - within);
    return block < 0 ? -1 : block * GRANULE + within;
  }

  /** Lets go of the ranges held back and of the slabs kept unused. */
  protected override letGo(): boolean {
    const slabs = this.#slabs.giveIdle();
    return this.core.letGo() || slabs;
  }

  protected override get ownBytes(): number {
    return LISTS * 4;
  }

  /** Walks ranges, slabs and lists. */
  override check(): void {
    super.check();
    let listed = 0;
    this.core.walk((block, _words, isUsed) => {
      if (!isUsed || this.#tags[block]! >= 0) return;
      requireInvariant(block % SLAB_WORDS === 0, block, "a slab is aligned to its size");
      if (this.#slabs.checkSlab(block)) listed++;
    });
    this.#slabs.check(listed);
  }

  /** In address order within each chunk. */
  walk(visit: (address: number, bytes: number) => void): void {
    this.core.walk((block, words, isUsed) => {
      if (!isUsed) return;
      const start = block * GRANULE;
      const isSlab = this.#tags[block]! < 0;
      const bytes = isSlab ? slotSizeOf(this.#tags[block]!) : words * GRANULE;
      for (let offset = start; offset + bytes <= start + words * GRANULE; offset += bytes)
        if (!isSlab || this.#isLive(offset)) visit(this.#addressOf(offset), bytes);
    });
  }

  /** Every chunk becomes one free block. */
  override reset(): void {
    this.#tags.fill(0);
    this.#slabs.reset();
    super.reset();
  }
}
