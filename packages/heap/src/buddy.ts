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

/**
 * Binary buddies: a block of order k has 2^k smallest blocks and starts at a multiple of them; a free block merges with its
 * buddy, whose number differs in one bit.
 *
 * Per order one set of free and one of live blocks, as bits: about half a byte for each smallest block up to the last one that was ever in use (arrays for all are made at
 * once, of which a system commits what is written to), nothing in the memory itself. An operation takes at most (orders × levels of a set) steps. Blocks are aligned to their size. Knuth, The Art of Computer Programming 1, 2.5 (1968).
 */
export class Buddy implements Allocator {
  readonly #source: HeapSource;
  readonly #base: number;
  readonly #bytes: number;
  readonly #minBytes: number;
  readonly #shift: number;
  readonly #orders: number;
  readonly #free: readonly BitTree[];
  readonly #live: readonly BitTree[];
  /** Word 0, bit k: there is a free block of order k. */
  readonly #state: Int32Array;

  /** @throws HeapError `bad-option` where a size is no power of two or the source has no such range. */
  constructor(source: HeapSource, options: BuddyOptions) {
    const { bytes, minBytes = 32 } = options;
    const shift = Math.log2(minBytes);
    const orders = Math.log2(bytes) - shift + 1;
    if (!Number.isInteger(shift) || !Number.isInteger(orders) || orders < 1 || orders > 28)
      throw new HeapError("bad-option", bytes, "bytes must be a power of two times minBytes, which is one too");
    this.#source = source;
    this.#bytes = bytes;
    this.#minBytes = minBytes;
    this.#shift = shift;
    this.#orders = orders;
    const wordsFor = options.wordsFor ?? ((words: number) => new Int32Array(words));
    const trees = (): BitTree[] =>
      Array.from({ length: orders }, (_, order) => new BitTree(2 ** (orders - 1 - order), wordsFor));
    this.#free = trees();
    this.#live = trees();
    this.#state = wordsFor(1);
    this.#base = source.reserve(bytes, Math.min(bytes, 2 ** 30));
    if (this.#base === -1) this.#base = source.reserve(bytes, minBytes);
    if (this.#base === -1) throw new HeapError("bad-option", bytes, "the source has no such range");
    this.reset();
  }

  /** The smallest order that holds a size and an alignment. */
  #orderOf(size: number): number {
    return size <= this.#minBytes ? 0 : 32 - Math.clz32((size - 1) >>> this.#shift);
  }

  /** Takes the lowest free block of the smallest order that has one, and halves it down. */
  allocate(size: number, alignment = 0): number {
    requireRequest(size, alignment);
    if (size > this.#bytes || alignment > this.#bytes) return NO_ADDRESS;
    if (alignment > this.#minBytes && this.#base % alignment !== 0) return NO_ADDRESS;
    const order = this.#orderOf(Math.max(size, alignment));
    const larger = this.#state[0]! & (-1 << order);
    if (larger === 0) return NO_ADDRESS;
    let at = 31 - Math.clz32(larger & -larger);
    let block = this.#free[at]?.first() ?? 0;
    this.#takeFree(at, block);
    while (at > order) {
      at--;
      block *= 2;
      this.#addFree(at, block + 1);
    }
    this.#live[order]?.add(block);
    return this.#base + block * 2 ** order * this.#minBytes;
  }

  #addFree(order: number, block: number): void {
    this.#free[order]?.add(block);
    this.#state[0] = this.#state[0]! | (1 << order);
  }

  #takeFree(order: number, block: number): void {
    const free = this.#free[order];
    free?.delete(block);
    if (free?.first() === -1) this.#state[0] = this.#state[0]! & ~(1 << order);
  }

  /** The order of the live block at an address, or −1. */
  #orderAt(address: number): number {
    let block = (address - this.#base) / this.#minBytes;
    if (block >>> 0 !== block) return -1;
    for (let order = 0; order < this.#orders; order++) {
      if (this.#live[order]?.has(block) === true) return order;
      if ((block & 1) !== 0) return -1;
      block >>>= 1;
    }
    return -1;
  }

  /** Merges with its buddy as long as that is free. */
  free(address: number): void {
    let order = this.#orderAt(address);
    if (order < 0) this.#throwMisuse(address);
    let block = (address - this.#base) / this.#minBytes / 2 ** order;
    this.#live[order]?.delete(block);
    while (order < this.#orders - 1 && this.#free[order]?.has(block ^ 1) === true) {
      this.#takeFree(order, block ^ 1);
      block >>>= 1;
      order++;
    }
    this.#addFree(order, block);
  }

  #throwMisuse(address: number): never {
    let block = Math.floor((address - this.#base) / this.#minBytes);
    let isFree = false;
    for (let order = 0; order < this.#orders && block >= 0; order++, block = Math.floor(block / 2))
      isFree ||= this.#free[order]?.has(block) === true;
    throw new HeapError(isFree ? "double-free" : "wild-free", address);
  }

  /** In place while the order stays, halving where it shrinks, doubling where the upper buddies are free; else by moving. */
  resize(address: number, size: number): number {
    let order = this.#orderAt(address);
    if (order < 0) this.#throwMisuse(address);
    requireRequest(size, 0);
    if (size > this.#bytes) return NO_ADDRESS;
    const wanted = this.#orderOf(size);
    let block = (address - this.#base) / this.#minBytes / 2 ** order;
    if (wanted > order && !this.#canGrow(block, order, wanted))
      return moveBlock(this, this.#source, address, this.#minBytes * 2 ** order, size);
    this.#live[order]?.delete(block);
    for (; order < wanted; order++, block /= 2) this.#takeFree(order, block + 1);
    for (; order > wanted; block *= 2) this.#addFree(--order, block * 2 + 1);
    this.#live[order]?.add(block);
    return address;
  }

  #canGrow(block: number, order: number, wanted: number): boolean {
    for (let at = order, left = block; at < wanted; at++, left /= 2)
      if ((left & 1) !== 0 || this.#free[at]?.has(left + 1) !== true) return false;
    return true;
  }

  /** The block's whole order. */
  usableSize(address: number): number {
    const order = this.#orderAt(address);
    if (order < 0) this.#throwMisuse(address);
    return this.#minBytes * 2 ** order;
  }

  /** Exact. */
  owns(address: number): boolean {
    return this.#orderAt(address) >= 0;
  }

  /** A snapshot, by walking. */
  stats(): HeapStats {
    const metadata = [...this.#free, ...this.#live].reduce((sum, { bytes }) => sum + bytes, 4);
    return measure(this, this.#bytes, metadata, 1);
  }

  /** Free and live blocks together are the whole range, each byte once, and no two free buddies stand side by side. */
  check(): void {
    const end = 2 ** (this.#orders - 1);
    let blocks = 0;
    for (let at = 0; at < end; blocks++) {
      const order = this.#blockAt(at);
      requireInvariant(order >= 0, at, "every byte is in a block");
      at += 2 ** order;
    }
    for (let order = 0; order < this.#orders; order++) {
      const named = (this.#state[0]! & (1 << order)) !== 0;
      const isAnyFree = this.#free[order]?.first() !== -1;
      requireInvariant(named === isAnyFree, order, "the word of orders names those with free blocks");
      this.#live[order]?.forEach(() => blocks--);
      this.#free[order]?.forEach((block) => {
        blocks--;
        const isAlone = order === this.#orders - 1 || this.#free[order]?.has(block ^ 1) !== true;
        requireInvariant(isAlone, block, "free buddies are merged");
      });
    }
    requireInvariant(blocks === 0, blocks, "no two blocks overlap");
  }

  /** The order of the free or live block that starts at a smallest block, or −1. */
  #blockAt(at: number): number {
    for (let order = 0, block = at; order < this.#orders; order++, block /= 2) {
      if (this.#live[order]?.has(block) === true || this.#free[order]?.has(block) === true) return order;
      if ((block & 1) !== 0) return -1;
    }
    return -1;
  }

  /** By order, from the smallest. */
  walk(visit: (address: number, bytes: number) => void): void {
    this.#live.forEach((tree, order) => {
      const bytes = this.#minBytes * 2 ** order;
      tree.forEach((block) => visit(this.#base + block * bytes, bytes));
    });
  }

  /** One free block of the highest order. */
  reset(): void {
    for (const tree of [...this.#free, ...this.#live]) tree.clear();
    this.#state[0] = 0;
    this.#addFree(this.#orders - 1, 0);
  }

  /** Gives the range back. */
  destroy(): void {
    this.#source.release(this.#base, this.#bytes);
    for (const tree of [...this.#free, ...this.#live]) tree.clear();
    endUse(this);
  }
}
