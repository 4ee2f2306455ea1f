import { endUse, measure, moveBlock, NO_ADDRESS, requireInvariant, requireRequest } from "./allocator.ts";
import type { Allocator, HeapSource, HeapStats } from "./allocator.ts";
import { BitTree } from "./bit-tree.ts";
import { HeapError } from "./errors.ts";

/** How a buddy heap is built. */
export interface BuddyOptions {
  /** Bytes that it manages, a power of two times `minBytes`; taken from the source at once. */
  readonly bytes: number;
  /** Smallest block, a power of two; 32 by default. */
  readonly minBytes?: number;
  /** Makes the allocator's own arrays, zeroed; by default `new Int32Array(words)`. */
  readonly wordsFor?: (words: number) => Int32Array;
}

/** What the byte of a block that is free has besides its order. */
const FREE = 0x80;

/**
 * Binary buddies: a block of order k has 2^k smallest blocks and starts at a multiple of them; a free block merges with its
 * buddy, whose number differs in one bit. Blocks are named by the number of their first smallest block.
 *
 * A byte for each smallest block says which block starts there, and a set of free blocks for each order (`BitTree`, together two bits for each smallest block) which is the lowest one: arrays for all are
 * made at once, of which a system commits what is written to, and nothing is in the memory itself. An operation takes at most (orders × levels of a set) steps. Blocks are
 * aligned to their size. Knuth, The Art of Computer Programming 1, 2.5 (1968).
 */
export class Buddy implements Allocator {
  readonly #source: HeapSource;
  readonly #base: number;
  readonly #bytes: number;
  readonly #minBytes: number;
  /** The highest order: that of the whole range. */
  readonly #top: number;
  /** By order: the free blocks, by their number / 2^order. */
  readonly #free: readonly BitTree[];
  /** A byte for each smallest block, four to a word: 1 + the order of the block that starts there, with {@link FREE} where that is free; 0 inside a block. */
  readonly #starts: Int32Array;
  /** Word 0, bit k: there is a free block of order k. Word 1: how many smallest blocks there are up to the last that ever was in a live block. */
  readonly #state: Int32Array;
  #isDestroyed = false;

  /** @throws HeapError `bad-option` where a size is no power of two or the source has no such range. */
  constructor(source: HeapSource, options: BuddyOptions) {
    const { bytes, minBytes = 32 } = options;
    const top = Math.log2(bytes) - Math.log2(minBytes);
    if (!(minBytes >= 1) || !Number.isInteger(Math.log2(minBytes)) || !Number.isInteger(top) || top < 0 || top > 27)
      throw new HeapError("bad-option", bytes, "bytes must be a power of two times minBytes, which is one too");
    this.#source = source;
    this.#bytes = bytes;
    this.#minBytes = minBytes;
    this.#top = top;
    const wordsFor = options.wordsFor ?? ((words: number) => new Int32Array(words));
    this.#free = Array.from({ length: top + 1 }, (_, order) => new BitTree(2 ** (top - order), wordsFor));
    this.#starts = wordsFor(Math.ceil(2 ** top / 4));
    this.#state = wordsFor(2);
    this.#base = source.reserve(bytes, Math.min(bytes, 2 ** 30));
    if (this.#base === -1) this.#base = source.reserve(bytes, minBytes);
    if (this.#base === -1) throw new HeapError("bad-option", bytes, "the source has no such range");
    this.#addFree(top, 0);
  }

  /** The byte of a block. */
  #startAt(block: number): number {
    return (this.#starts[block >>> 2]! >>> ((block & 3) * 8)) & 0xff;
  }

  #setStart(block: number, value: number): void {
    const shift = (block & 3) * 8;
    this.#starts[block >>> 2] = (this.#starts[block >>> 2]! & ~(0xff << shift)) | (value << shift);
  }

  /** The smallest order that holds a size and an alignment. */
  #orderOf(size: number): number {
    return size <= this.#minBytes ? 0 : 32 - Math.clz32((size - 1) / this.#minBytes);
  }

  /** Takes the lowest free block of the smallest order that has one, and halves it down. */
  allocate(size: number, alignment = 0): number {
    requireRequest(size, alignment);
    if (size > this.#bytes || alignment > this.#bytes) return NO_ADDRESS;
    if (alignment > this.#minBytes && this.#base % alignment !== 0) return NO_ADDRESS;
    const order = this.#orderOf(alignment > size ? alignment : size);
    const larger = this.#state[0]! & (-1 << order);
    if (larger === 0) return NO_ADDRESS;
    const from = 31 - Math.clz32(larger & -larger);
    const block = (this.#free[from]?.first() ?? 0) << from;
    this.#takeFree(from, block);
    for (let at = from - 1; at >= order; at--) this.#addFree(at, block + (1 << at));
    this.#setStart(block, order + 1);
    const end = block + (1 << order);
    if (end > this.#state[1]!) this.#state[1] = end;
    return this.#base + block * this.#minBytes;
  }

  #addFree(order: number, block: number): void {
    this.#free[order]?.add(block >>> order);
    this.#setStart(block, FREE | (order + 1));
    this.#state[0] = this.#state[0]! | (1 << order);
  }

  #takeFree(order: number, block: number): void {
    this.#setStart(block, 0);
    if (this.#free[order]?.delete(block >>> order) === true) this.#state[0] = this.#state[0]! & ~(1 << order);
  }

  /** Whether the free block of an order starts there. */
  #isFree(order: number, block: number): boolean {
    return this.#startAt(block) === (FREE | (order + 1));
  }

  /** The number of the live block at an address. Throws what is wrong. */
  #blockAt(address: number): number {
    const block = (address - this.#base) / this.#minBytes;
    const start = block >>> 0 === block ? this.#startAt(block) : 0;
    return start === 0 || start >= FREE ? this.#throwMisuse(address) : block;
  }

  /** Merges with its buddy as long as that is free. */
  free(address: number): void {
    let block = this.#blockAt(address);
    let order = this.#startAt(block) - 1;
    this.#setStart(block, 0);
    for (; order < this.#top && this.#isFree(order, block ^ (1 << order)); order++) {
      this.#takeFree(order, block ^ (1 << order));
      block &= ~(1 << order);
    }
    this.#addFree(order, block);
  }

  #throwMisuse(address: number): never {
    const block = Math.floor((address - this.#base) / this.#minBytes);
    let isFree = false;
    for (let order = 0; order <= this.#top && block >= 0 && block < 2 ** this.#top; order++)
      isFree ||= this.#isFree(order, block & (-1 << order));
    throw new HeapError(isFree ? "double-free" : "wild-free", address);
  }

  /** In place while the order stays, halving where it shrinks, doubling where the upper buddies are free; else by moving. */
  resize(address: number, size: number, alignment = 0): number {
    const block = this.#blockAt(address);
    requireRequest(size, alignment);
    if (size > this.#bytes) return NO_ADDRESS;
    const order = this.#startAt(block) - 1;
    const wanted = this.#orderOf(size);
    for (let at = order; at < wanted; at++)
      if ((block & (1 << at)) !== 0 || !this.#isFree(at, block + (1 << at)))
        return moveBlock(this, this.#source, address, this.#minBytes * 2 ** order, size, alignment);
    for (let at = order; at < wanted; at++) this.#takeFree(at, block + (1 << at));
    for (let at = order - 1; at >= wanted; at--) this.#addFree(at, block + (1 << at));
    this.#setStart(block, wanted + 1);
    return address;
  }

  /** The block's whole order. */
  usableSize(address: number): number {
    return this.#minBytes * 2 ** (this.#startAt(this.#blockAt(address)) - 1);
  }

  /** Exact. */
  owns(address: number): boolean {
    const block = (address - this.#base) / this.#minBytes;
    const start = block >>> 0 === block ? this.#startAt(block) : 0;
    return start !== 0 && start < FREE;
  }

  /** A snapshot, by walking. Of the bytes those count that can ever have been written to: beyond the last live block, one for each order. */
  stats(): HeapStats {
    const metadata = this.#free.reduce((sum, { bytes }) => sum + bytes + 1, this.#state[1]! + 8);
    return measure(this, this.#isDestroyed ? 0 : this.#bytes, metadata, this.#isDestroyed ? 2 : 1);
  }

  /** Free and live blocks together are the whole range, each byte once, and no two free buddies stand side by side. */
  check(): void {
    const end = 2 ** this.#top;
    const counts = new Int32Array(this.#top + 1);
    for (let block = 0; block < end;) {
      const start = this.#startAt(block);
      const order = (start & ~FREE) - 1;
      requireInvariant(order >= 0 && order <= this.#top, block, "every smallest block is in a block");
      requireInvariant((block & ((1 << order) - 1)) === 0, block, "a block starts at a multiple of its size");
      if (start >= FREE) {
        counts[order] = counts[order]! + 1;
        requireInvariant(
          this.#free[order]?.has(block >>> order) === true,
          block,
          "a free block is in the set of its order",
        );
        const isAlone = order === this.#top || !this.#isFree(order, block ^ (1 << order));
        requireInvariant(isAlone, block, "free buddies are merged");
      }
      for (let inside = block + 1; inside < block + (1 << order) && inside < this.#state[1]!; inside++)
        requireInvariant(this.#startAt(inside) === 0, inside, "no two blocks overlap");
      block += 2 ** order;
    }
    this.#free.forEach((tree, order) => {
      tree.forEach(() => (counts[order] = counts[order]! - 1));
      requireInvariant(counts[order] === 0, order, "a set holds the free blocks of its order, each once");
      const isNamed = (this.#state[0]! & (1 << order)) !== 0;
      requireInvariant(isNamed === (tree.first() !== -1), order, "the word of orders names those with free blocks");
    });
  }

  /** In address order. */
  walk(visit: (address: number, bytes: number) => void): void {
    for (let block = 0; block < 2 ** this.#top;) {
      const start = this.#startAt(block);
      const size = 2 ** ((start & ~FREE) - 1);
      if (start < FREE) visit(this.#base + block * this.#minBytes, size * this.#minBytes);
      block += size;
    }
  }

  /** One free block of the highest order. */
  reset(): void {
    for (let block = 0; block < 2 ** this.#top;) {
      const size = 2 ** ((this.#startAt(block) & ~FREE) - 1);
      this.#setStart(block, 0);
      block += size;
    }
    for (const tree of this.#free) tree.clear();
    this.#state[0] = 0;
    this.#addFree(this.#top, 0);
  }

  /** Gives the range back. */
  destroy(): void {
    if (!this.#isDestroyed) this.#source.release(this.#base, this.#bytes);
    this.#isDestroyed = true;
    this.reset();
    endUse(this);
  }
}
