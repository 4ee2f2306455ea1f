import { BaseAllocator, memoryOf, NO_ADDRESS, requireInvariant, requireRequest } from "./allocator.ts";
import type { HeapSource, HeapStats } from "./allocator.ts";
import { HeapError } from "./errors.ts";

/** How a pool takes memory. */
export interface PoolOptions {
  /** Slots that are taken from the source at once; 256 by default. */
  readonly slotsPerChunk?: number;
}

/** Contiguous slots, of which the first has the number `first`. */
interface Chunk {
  readonly address: number;
  readonly first: number;
  readonly slots: number;
}

/**
 * Blocks of one size: a stack of free slots, and one byte for each slot that says whether it is live.
 *
 * Allocating and freeing move the top of the stack. A size above the slot's is never there.
 */
export class Pool extends BaseAllocator {
  /** Bytes of a slot; all addresses are multiples of its largest power of two, up to 4096. */
  readonly slotBytes: number;
  readonly #source: HeapSource;
  readonly #perChunk: number;
  readonly #alignment: number;
  /** Free slots: element 0 is how many, then the slots, the top last. */
  #stack: Int32Array = new Int32Array(1);
  /** By slot: 1 while it is live. */
  #live: Uint8Array = new Uint8Array(0);
  #chunks: Chunk[] = [];
  /** The address of slot 0, and how many slots follow it without a gap. */
  #base = 0;
  #near = 0;
  /** log2 of the largest power of two in the slot's size, and the inverse of what else is in it modulo 2^32: multiplying is dividing, for multiples. */
  readonly #zeros: number;
  readonly #inverse: number;
  #calls = 0;

  /** @throws HeapError `bad-size` where the slot is not a whole number of at least 1. */
  constructor(source: HeapSource, slotBytes: number, options: PoolOptions = {}) {
    super(memoryOf(source));
    if (!(slotBytes >= 1) || slotBytes >>> 0 !== slotBytes) throw new HeapError("bad-size", slotBytes);
    this.#source = source;
    this.slotBytes = slotBytes;
    this.#zeros = 31 - Math.clz32(slotBytes & -slotBytes);
    const odd = slotBytes >>> this.#zeros;
    let inverse = odd;
    // Newton's iteration: each step doubles the low bits that are right, of which an odd number is its own inverse in three.
    for (let step = 0; step < 4; step++) inverse = Math.imul(inverse, 2 - Math.imul(odd, inverse));
    this.#inverse = inverse;
    this.#perChunk = options.slotsPerChunk ?? 256;
    this.#alignment = Math.min(slotBytes & -slotBytes, 4096);
  }

  /** Pops a slot: two reads, two writes. */
  allocate(size = 0, alignment = 0): number {
    if (size >>> 0 !== size || size > this.slotBytes || alignment !== 0) return this.#allocateOdd(size, alignment);
    const stack = this.#stack;
    const count = stack[0]!;
    if (count === 0) return this.#grow() ? this.allocate(size) : NO_ADDRESS;
    const slot = stack[count]!;
    stack[0] = count - 1;
    this.#live[slot] = 1;
    return slot < this.#near ? this.#base + slot * this.slotBytes : this.#addressOf(slot);
  }

  #allocateOdd(size: number, alignment: number): number {
    requireRequest(size, alignment);
    return size > this.slotBytes || alignment > this.#alignment ? NO_ADDRESS : this.allocate(size);
  }

  /** Pushes the slot. */
  free(address: number): void {
    const offset = address - this.#base;
    let slot = Math.imul(offset >>> this.#zeros, this.#inverse) >>> 0;
    if (slot >= this.#near || slot * this.slotBytes !== offset) slot = this.#slotAt(address);
    if (this.#live[slot] !== 1) throw new HeapError(slot < 0 ? "wild-free" : "double-free", address);
    this.#live[slot] = 0;
    const stack = this.#stack;
    const count = stack[0]! + 1;
    stack[0] = count;
    stack[count] = slot;
  }

  /** The slot that starts at an address, or −1. */
  #slotAt(address: number): number {
    for (const chunk of this.#chunks) {
      const slot = (address - chunk.address) / this.slotBytes;
      if (slot >>> 0 === slot && slot < chunk.slots) return chunk.first + slot;
    }
    return -1;
  }

  #addressOf(slot: number): number {
    const chunk = this.#chunks.findLast(({ first }) => slot >= first);
    return chunk === undefined ? NO_ADDRESS : chunk.address + (slot - chunk.first) * this.slotBytes;
  }

  #grow(): boolean {
    const first = this.#live.length;
    let slots = Math.max(this.#perChunk, first >>> 3);
    let address = NO_ADDRESS;
    for (; slots > 0; slots >>>= 1) {
      this.#calls++;
      address = this.#source.reserve(slots * this.slotBytes, this.#alignment);
      if (address !== NO_ADDRESS) break;
    }
    if (slots === 0) return false;
    this.#chunks.push({ address, first, slots });
    const live = new Uint8Array(first + slots);
    live.set(this.#live);
    this.#live = live;
    this.#stack = new Int32Array(first + slots + 1);
    this.#fill(first);
    if (first === 0) this.#base = address;
    if (address === this.#base + first * this.slotBytes && this.#near === first) this.#near += slots;
    return true;
  }

  /** Makes the slots from `first` on the free ones, the lowest on top. */
  #fill(first: number): void {
    const end = this.#live.length;
    for (let slot = end; slot > first; slot--) this.#stack[end - slot + 1] = slot - 1;
    this.#stack[0] = end - first;
  }

  /** The slot's size. */
  usableSize(address: number): number {
    if (!this.owns(address)) throw new HeapError("wild-free", address);
    return this.slotBytes;
  }

  /** Exact. */
  owns(address: number): boolean {
    return this.#live[this.#slotAt(address)] === 1;
  }

  /** A snapshot. */
  stats(): HeapStats {
    const slots = this.#live.length;
    return this.measure(slots * this.slotBytes, this.#stack.length * 4 + slots, this.#calls);
  }

  /** The stack holds every slot that is not live, once. */
  check(): void {
    const seen = this.#live.slice();
    for (const slot of this.#stack.subarray(1, this.#stack[0]! + 1)) seen[slot] = seen[slot]! + 1;
    requireInvariant(
      seen.every((count) => count === 1),
      0,
      "every slot is live or in the stack, once",
    );
  }

  /** In the order of the slots. */
  walk(visit: (address: number, bytes: number) => void): void {
    this.#live.forEach((live, slot) => {
      if (live === 1) visit(this.#addressOf(slot), this.slotBytes);
    });
  }

  /** Every slot is free again. */
  reset(): void {
    this.#live.fill(0);
    this.#fill(0);
  }

  /** Gives every chunk back. */
  destroy(): void {
    for (const { address, slots } of this.#chunks.splice(0)) this.#source.release(address, slots * this.slotBytes);
    this.#live = new Uint8Array(0);
    this.#near = 0;
    this.reset();
    this.end();
  }
}
