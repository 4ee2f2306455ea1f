import { endUse, NO_ADDRESS, requireRequest } from "./allocator.ts";
import type { Allocator, HeapStats } from "./allocator.ts";
import { HeapError } from "./errors.ts";
import type { RangeSource } from "./ports.ts";

/** So many slots follow each other from `start` on; the first of them has the number `first`. */
type Chunk = readonly [start: number, slots: number, first: number];

/** The word of a slot that is live. */
const LIVE = -1;

/**
 * Blocks of one size. The slots are numbered from 1 on; the word of a free one is the next free slot, or 0, that of a live one is −1. Word 0 is the first
 * free slot. A size above the slot's is never there.
 */
export class Pool implements Allocator {
  /** Size of a slot; all addresses are multiples of its largest power of two. */
  readonly slotBytes: number;
  readonly #source: RangeSource;
  readonly #leastSlots: number;
  #words: Int32Array = new Int32Array(1);
  readonly #chunks: Chunk[] = [];
  /** Of the first chunk and those that follow it in memory, as a rule all: base and end. */
  #base = 0;
  #near = 1;
  #calls = 0;

  /**
   * @param leastSlots how many slots are taken from the source at once, at least.
   * @throws HeapError `bad-size` where the slot or `leastSlots` is no whole number from 1 up to 2^31 − 1.
   */
  constructor(source: RangeSource, slotBytes: number, leastSlots = 256) {
    for (const size of [slotBytes, leastSlots])
      if (size < 1 || (size | 0) !== size) throw new HeapError("bad-size", size);
    this.#source = source;
    this.#leastSlots = leastSlots;
    this.slotBytes = slotBytes;
  }

  /** Takes the first free slot: two reads, two writes. */
  allocate(size = 0, alignment = 0): number {
    if (size >>> 0 !== size || size > this.slotBytes || alignment !== 0) {
      requireRequest(size, alignment);
      if (size > this.slotBytes || this.slotBytes % alignment > 0) return NO_ADDRESS;
    }
    const words = this.#words;
    const slot = words[0]!;
    if (slot === 0) return this.#grow();
    words[0] = words[slot]!;
    words[slot] = LIVE;
    return slot < this.#near ? this.#base + slot * this.slotBytes : this.#addressOf(slot);
  }

  /** Makes the slot the first free one. */
  free(address: number): void {
    const words = this.#words;
    const slot = this.#slotAt(address);
    if (words[slot] !== LIVE) throw new HeapError(slot === 0 ? "wild-free" : "double-free", address);
    words[slot] = words[0]!;
    words[0] = slot;
  }

  /** The slot that starts at an address, or 0. */
  #slotAt(address: number): number {
    const offset = address - this.#base;
    // Cut down and checked: whole numbers divided in whole numbers, where V8 knows them to be small.
    const slot = (offset / this.slotBytes) | 0;
    return slot > 0 && slot < this.#near && slot * this.slotBytes === offset ? slot : this.#farSlotAt(address);
  }

  #farSlotAt(address: number): number {
    for (const [start, slots, first] of this.#chunks) {
      const slot = (address - start) / this.slotBytes;
      if (slot >>> 0 === slot && slot < slots) return first + slot;
    }
    return 0;
  }

  #addressOf(slot: number): number {
    for (const [start, slots, first] of this.#chunks)
      if (slot - first < slots) return start + (slot - first) * this.slotBytes;
    return NO_ADDRESS;
  }

  /** Takes memory for so many slots more, or for as many as there is; allocates one. All others are live. */
  #grow(slots: number = this.#leastSlots + (this.#words.length >>> 2)): number {
    const first = this.#words.length;
    this.#calls++;
    const start = this.#source.reserve(slots * this.slotBytes, this.slotBytes & -this.slotBytes);
    if (start === NO_ADDRESS) return slots > 1 ? this.#grow(slots >>> 1) : NO_ADDRESS;
    this.#chunks.push([start, slots, first]);
    if (first === 1) this.#base = start - this.slotBytes;
    if (first === this.#near && start === this.#base + first * this.slotBytes) this.#near += slots;
    const end = first + slots;
    this.#words = new Int32Array(end).map((_, slot) => (slot < 1 ? first : slot < first ? LIVE : (slot + 1) % end));
    return this.allocate();
  }

  /** In place up to the slot's size; no slot is larger. */
  resize(address: number, size: number, alignment = 0): number {
    requireRequest(size, alignment);
    return size > this.usableSize(address) ? NO_ADDRESS : address;
  }

  /** The slot's size. */
  usableSize(address: number): number {
    if (!this.owns(address)) throw new HeapError("wild-free", address);
    return this.slotBytes;
  }

  /** Exact. */
  owns(address: number): boolean {
    return this.#words[this.#slotAt(address)] === LIVE;
  }

  /** A snapshot, by walking. */
  stats(): HeapStats {
    const { length } = this.#words;
    let liveBlocks = 0;
    this.walk(() => liveBlocks++);
    return {
      liveBlocks,
      liveBytes: liveBlocks * this.slotBytes,
      reservedBytes: (length - 1) * this.slotBytes,
      metadataBytes: length * 4,
      sourceCalls: this.#calls,
    };
  }

  /** Every slot is live or in the list, once. */
  check(): void {
    const words = this.#words;
    let slots = 1;
    this.walk(() => slots++);
    for (let slot = words[0]!; slot > 0 && slots <= words.length; slot = words[slot]!) slots++;
    if (slots !== words.length) throw new HeapError("corrupt", slots, "a slot is live or free");
  }

  /** In the order of the slots. */
  walk(visit: (address: number, bytes: number) => void): void {
    this.#words.forEach((word, slot) => {
      if (word === LIVE) visit(this.#addressOf(slot), this.slotBytes);
    });
  }

  /** Frees every slot. */
  reset(): void {
    this.walk((address) => this.free(address));
  }

  /** Gives every chunk back. */
  destroy(): void {
    for (const [start, slots] of this.#chunks.splice(0)) this.#source.release(start, slots * this.slotBytes);
    this.#words = new Int32Array(1);
    endUse(this);
  }
}
