import { BIN_WORDS, binOf, clearBin, HEADS, insert, nextBin, remove } from "./bins.ts";
import type { Chunk } from "./chunks.ts";

/*
 * Two-level segregated fit over words. A block is a run of words that starts at a granule, 2^shift words; its state lives in its first words and, while it is
 * free, in its last one:
 *
 *      block                                             next block
 *      ┌────────┬──────────┬──────────┬─ ─ ─ ─┬────────┐ ┌────────
 *      │ header │   next   │ previous │       │ words  │ │ header …
 *      └────────┴──────────┴──────────┴─ ─ ─ ─┴────────┘ └────────
 *        always └──────── only while it is free ───────┘   bit 1: the block before me is free
 *
 *      header   31 ………………………………… 2 │ 1             │ 0
 *               words of the block  │ previous free │ used
 *
 * A header with bit 31 set is a used block whose words the owner uses for purposes of its own (a slab of the general heap); its size is in word 7.
 * Every chunk is followed by a used header of 0 words, so that no block ever merges across its end. Granule 0 is never a block: links use 0 for "none".
 *
 * All other state is one array: the bins; the magazines; a bitmap with one bit for each granule, set ⇔ a used block starts there.
 *
 * In front of the bins, up to seven blocks of each size below 64 words are held back as they are given, in a magazine: still used to their neighbours, no bit in the
 * bitmap. Most blocks that a program frees are asked for again before any neighbour is. They are let go, merged and binned, before the heap grows, when a neighbour wants to
 * grow into one, and when memory is given back. A hit costs one read of tags, or none, and three reads and writes of state besides the bit.
 *
 * Masmano, Ripoll, Crespo, Real: TLSF: a New Dynamic Memory Allocator for Real-Time Systems (2004).
 */

/** Flag of a header: the block is used, or held back. */
export const USED = 1;
/** Flag of a header: the block before it is free, and the word before it is that block's size. */
export const PREVIOUS_FREE = 2;

/** Words of the smallest block: header, two links, footer. */
export const MIN_WORDS = 4;
/** Words of the largest block: what a header's 29 bits can say. */
export const MAX_WORDS: number = 2 ** 29 - 1;

/** Where a block whose header has bit 31 set keeps its size. */
export const OWNED_SIZE = 7;

/** Blocks of fewer words are held back. */
export const HELD_SIZES = 64;
/** How many blocks of one size are held back. */
export const HELD_DEPTH = 7;
/** After the bins a magazine for each size: how many blocks, and their granules. */
export const HELD: number = BIN_WORDS;
const MAGAZINE_SHIFT = 3;
const MAGAZINE = HELD_DEPTH + 1;
/** First word of the bitmap. */
export const STARTS: number = HELD + HELD_SIZES * MAGAZINE;

/** Two-level segregated fit over an array of words that its owner holds and may replace. Places and sizes are in granules. */
export class BoundaryTags {
  /** The words; the owner may replace them by others that start alike. */
  tags: Int32Array;
  /** Bins, magazines, bitmap. */
  state: Int32Array;
  /** In the order in which they came, which in parallel is that of their granules. */
  readonly chunks: readonly Chunk[];
  /** Bytes of a granule. */
  readonly granule: number;
  /** log2 of the words of a granule. */
  readonly shift: number;
  /** Makes arrays, zeroed. */
  readonly wordsFor: (words: number) => Int32Array;

  constructor(
    tags: Int32Array,
    chunks: readonly Chunk[],
    granule: number,
    shift: number,
    wordsFor: (words: number) => Int32Array,
  ) {
    this.tags = tags;
    this.chunks = chunks;
    this.granule = granule;
    this.shift = shift;
    this.wordsFor = wordsFor;
    this.state = wordsFor(STARTS);
  }

  /**
   * Takes a block of at least `granules`: one that was held back, or one out of the bins.
   *
   * @returns its first granule, or 0 where no free block is large enough.
   */
  take(granules: number): number {
    const { state } = this;
    const words = granules << this.shift;
    const magazine = HELD + (words << MAGAZINE_SHIFT);
    const count = words < HELD_SIZES ? state[magazine]! : 0;
    let granule;
    if (count > 0) {
      state[magazine] = count - 1;
      granule = state[magazine + count]!;
    } else {
      granule = takeFree(this.tags, state, words) >> this.shift;
      if (granule === 0) return 0;
    }
    const word = STARTS + (granule >>> 5);
    state[word] = state[word]! | (1 << granule);
    return granule;
  }

  /**
   * Takes a block whose address is a multiple of `alignment` (a power of two, at least a granule).
   *
   * @returns its first granule, or 0.
   */
  takeAligned(granules: number, alignment: number): number {
    const { granule, shift, state, tags } = this;
    const words = granules << shift;
    const aligned = (alignment / granule) << shift;
    // The first block of the size's own bin may do, or of the next one that is not empty; then the same with the most slack that may be
    // needed: of that bin, where the heap has just grown by so much, and of the next, which does.
    for (let attempt = 0; attempt < 4; attempt++) {
      let bin = binOf(attempt < 2 ? words : words + aligned + MIN_WORDS);
      if ((attempt & 1) !== 0) bin = nextBin(state, bin + 1);
      const block = bin < 0 ? 0 : state[HEADS + bin]!;
      if (block === 0) continue;
      let start = block + (((-this.addressOf(block >>> shift) & (alignment - 1)) / granule) << shift);
      while (start !== block && start - block < MIN_WORDS) start += aligned;
      if (start + words > block + (tags[block]! >>> 2)) continue;
      carve(tags, state, block, start, words);
      const first = start >> shift;
      state[STARTS + (first >>> 5)] = state[STARTS + (first >>> 5)]! | (1 << first);
      return first;
    }
    return 0;
  }

  /** The address of a granule. */
  addressOf(granule: number): number {
    for (const { address, bytes, start } of this.chunks) {
      const offset = (granule - start) * this.granule;
      if (offset < bytes) return address + offset;
    }
    return -1;
  }

  /** The granule of an address, or −1. */
  granuleAt(address: number): number {
    for (const chunk of this.chunks) {
      const granule = chunk.start + (address - chunk.address) / this.granule;
      if (address >= chunk.address && address < chunk.address + chunk.bytes && Number.isInteger(granule))
        return granule;
    }
    return -1;
  }

  /** Whether a used block starts at this granule. */
  isUsed(granule: number): boolean {
    return (this.state[STARTS + (granule >>> 5)]! & (1 << granule)) !== 0;
  }

  /** The granules of a block. */
  sizeOf(granule: number): number {
    return wordsOf(this.tags, granule << this.shift) >>> this.shift;
  }

  /**
   * Gives a used block back: it is held back, or merged with its free neighbours.
   *
   * @returns the granules of the free block that it is now part of, 1 where it is held back; 0 where no used block started there and nothing has changed.
   */
  give(granule: number): number {
    const { state, shift } = this;
    const word = STARTS + (granule >>> 5);
    const starts = state[word]!;
    const bit = 1 << granule;
    if ((starts & bit) === 0) return 0;
    state[word] = starts ^ bit;
    // The header of a slab is below 0 and reads as a large size.
    const words = this.tags[granule << shift]! >>> 2;
    if (words < HELD_SIZES) {
      const magazine = HELD + (words << MAGAZINE_SHIFT);
      const count = state[magazine]! + 1;
      if (count <= HELD_DEPTH) {
        state[magazine] = count;
        state[magazine + count] = granule;
        return 1;
      }
    }
    return merge(this.tags, state, granule << shift, shift) >> shift;
  }

  /** Lets go of every block that is held back. @returns whether there was one. */
  letGo(): boolean {
    const { state } = this;
    let any = false;
    for (let magazine = HELD; magazine < STARTS; magazine += MAGAZINE) {
      // Never more than there can be, whatever the tags say.
      for (let count = Math.min(state[magazine]!, HELD_DEPTH); count > 0; count--) {
        merge(this.tags, state, state[magazine + count]! << this.shift, this.shift);
        any = true;
      }
      state[magazine] = 0;
    }
    return any;
  }

  /** Lets go of one block if it is held back. */
  #evict(granule: number): void {
    const { state, tags, shift } = this;
    const words = tags[granule << shift]! >>> 2;
    const magazine = HELD + (words << MAGAZINE_SHIFT);
    if (words >= HELD_SIZES || this.isUsed(granule)) return;
    const top = magazine + Math.min(state[magazine]!, HELD_DEPTH);
    for (let at = magazine + 1; at <= top; at++)
      if (state[at] === granule) {
        state[at] = state[top]!;
        state[magazine] = top - 1 - magazine;
        merge(tags, state, granule << shift, shift);
        return;
      }
  }

  /**
   * Makes a used block `granules` long where it is: returns its tail, or takes from the free block after it.
   *
   * @returns whether that was possible; if not, nothing has changed.
   */
  resize(granule: number, granules: number): boolean {
    const { state, tags, shift } = this;
    const block = granule << shift;
    const words = granules << shift;
    const header = tags[block]!;
    const size = header >>> 2;
    const end = block + size;
    if (words > size) this.#evict(end >> shift);
    const free = (tags[end]! & USED) === 0 ? tags[end]! >>> 2 : 0;
    const rest = size + free - words;
    if (rest < 0) return false;
    if (free === 0 ? rest < MIN_WORDS : words === size) return true;
    const flags = tags[block]! & (USED | PREVIOUS_FREE);
    if (free > 0) remove(tags, state, end, free);
    tags[end + free] = rest < MIN_WORDS ? tags[end + free]! & ~PREVIOUS_FREE : tags[end + free]! | PREVIOUS_FREE;
    tags[block] = ((rest < MIN_WORDS ? words + rest : words) << 2) | flags;
    if (rest >= MIN_WORDS) insert(tags, state, block + words, rest);
    return true;
  }

  /** Makes `[start, end)` free, which is new or, after the end of a chunk, adds to it. */
  grow(start: number, end: number, isNew: boolean): void {
    const { tags, shift } = this;
    const needed = STARTS + (end >>> 5) + 1;
    if (needed > this.state.length) {
      const state = this.wordsFor(needed + ((needed - STARTS) >>> 3));
      state.set(this.state);
      this.state = state;
    }
    const block = start << shift;
    tags[end << shift] = USED;
    // What was the end becomes the header of a block that is given.
    tags[block] = ((end - start) << (shift + 2)) | USED | (isNew ? 0 : tags[block]! & PREVIOUS_FREE);
    const words = merge(tags, this.state, block, shift);
    // First in its bin: the next that is asked for must find it.
    const whole = (end << shift) - words;
    remove(tags, this.state, whole, words);
    insert(tags, this.state, whole, words);
  }

  /** The granule after a chunk. */
  endOf({ start, bytes }: Chunk): number {
    return start + bytes / this.granule;
  }

  /** Granules that are free at the end of a chunk. */
  freeTail(chunk: Chunk): number {
    const end = this.endOf(chunk) << this.shift;
    return (this.tags[end]! & PREVIOUS_FREE) === 0 ? 0 : this.tags[end - 1]! >>> this.shift;
  }

  /** Moves the end of a chunk down by `granules`, all of them free. Of the free block there, nothing or a block must stay. */
  cut(chunk: Chunk, granules: number): void {
    const { state, tags, shift } = this;
    const size = this.freeTail(chunk) << shift;
    const end = this.endOf(chunk) << shift;
    const left = size - (granules << shift);
    remove(tags, state, end - size, size);
    if (left > 0) insert(tags, state, end - size, left);
    tags[end - size + left] = left > 0 ? USED | PREVIOUS_FREE : USED;
  }

  /** Makes every chunk one free block again. */
  reset(): void {
    this.state.fill(0);
    for (const chunk of this.chunks) this.grow(chunk.first, this.endOf(chunk), true);
  }

  /** Visits the blocks of all chunks in the order of their words. @returns false where headers make no sense: it ends there. */
  walk(visit: (granule: number, granules: number, isUsed: boolean) => void): boolean {
    for (const chunk of this.chunks) {
      const end = this.endOf(chunk);
      let granule = chunk.first;
      while (granule < end) {
        const granules = this.sizeOf(granule);
        if (!(granules > 0)) return false;
        visit(granule, granules, this.isUsed(granule));
        granule += granules;
      }
      if (granule !== end) return false;
    }
    return true;
  }
}

/** The words of a block. */
function wordsOf(tags: Int32Array, block: number): number {
  const header = tags[block]!;
  return header < 0 ? tags[block + OWNED_SIZE]! : header >>> 2;
}

/** Takes the first block of the size's own bin, if it is large enough, or of the next one that is not empty. @returns its first word, or 0. */
function takeFree(tags: Int32Array, state: Int32Array, words: number): number {
  let bin = binOf(words);
  let block = state[HEADS + bin]!;
  // The bin of the size itself may hold blocks that are smaller; any later bin fits.
  if (block === 0 || tags[block]! >>> 2 < words) {
    bin = nextBin(state, bin + 1);
    if (bin < 0) return 0;
    block = state[HEADS + bin]!;
  }
  const size = tags[block]! >>> 2;
  const next = tags[block + 1]!;
  const rest = size - words;
  const to = block + words;
  // What is left of a large block is in the same bin, as a rule, and takes its place.
  if (rest >= MIN_WORDS && binOf(rest) === bin) {
    state[HEADS + bin] = to;
    tags[block] = (words << 2) | USED;
    tags[to] = rest << 2;
    tags[to + 1] = next;
    tags[to + rest - 1] = rest;
    if (next !== 0) tags[next + 2] = to;
    return block;
  }
  state[HEADS + bin] = next;
  if (next === 0) clearBin(state, bin);
  if (rest < MIN_WORDS) {
    tags[block] = (size << 2) | USED;
    tags[block + size] = tags[block + size]! & ~PREVIOUS_FREE;
  } else {
    tags[block] = (words << 2) | USED;
    insert(tags, state, to, rest);
  }
  return block;
}

/** Makes `[start, start + words)` of a free block used; what is left of it before and after stays free. */
function carve(tags: Int32Array, state: Int32Array, block: number, start: number, words: number): void {
  const size = tags[block]! >>> 2;
  const end = block + size;
  const rest = end - start - words;
  const flags = start === block ? USED : USED | PREVIOUS_FREE;
  remove(tags, state, block, size);
  if (start !== block) insert(tags, state, block, start - block);
  if (rest < MIN_WORDS) {
    tags[start] = ((end - start) << 2) | flags;
    tags[end] = tags[end]! & ~PREVIOUS_FREE;
  } else {
    tags[start] = (words << 2) | flags;
    insert(tags, state, start + words, rest);
  }
}

/** Makes a block that has no bit in the bitmap free, and merges it. @returns the words of the whole. */
function merge(tags: Int32Array, state: Int32Array, block: number, shift: number): number {
  const header = tags[block]!;
  let end = block + (header < 0 ? tags[block + OWNED_SIZE]! : header >>> 2);
  const next = tags[end]!;
  // The bit is asked first, as it is at hand sooner than the header.
  if ((state[STARTS + (end >>> (shift + 5))]! & (1 << (end >> shift))) !== 0 || (next & USED) !== 0)
    tags[end] = next | PREVIOUS_FREE;
  else {
    remove(tags, state, end, next >>> 2);
    end += next >>> 2;
  }
  if ((header & PREVIOUS_FREE) === 0) {
    insert(tags, state, block, end - block);
    return end - block;
  }
  const before = tags[block - 1]!;
  const start = block - before;
  const words = end - start;
  tags[block] = 0;
  if (binOf(before) === binOf(words)) {
    tags[start] = words << 2;
    tags[end - 1] = words;
  } else {
    remove(tags, state, start, before);
    insert(tags, state, start, words);
  }
  return words;
}
