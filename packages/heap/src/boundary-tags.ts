import { BIN_WORDS, binOf, clearBin, HEADS, nextBin } from "./bins.ts";
import { addressOf } from "./regions.ts";
import type { Geometry, Region } from "./regions.ts";

/*
 * Two-level segregated fit over words. A block is a run of words; its state lives in its first words and, while it is
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
 * Every region ends in a used header of 0 words, so that no block ever merges across its end. Word 0 is never a block: links use 0 for "none".
 * Taking and giving touch a constant number of words, whatever the heap looks like.
 *
 * In front of the bins, up to eight blocks of each exact size below 64 words are held back as they are given: still used to their neighbours, linked through
 * their first link word, no start in the bitmap. Most blocks that a program frees are asked for again before any neighbour is. They are let go, merged and binned, before the
 * heap grows, when a neighbour wants to grow into one, and when memory is given back.
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

/** Sizes below this are held back; each has a bin of its own, of the same number. */
export const HELD_SIZES = 64;
/** How many blocks of one size are held back. */
export const HELD_DEPTH = 8;
/** After the bins of free blocks, two words for each size: the first block held back, and how many more may be. */
export const HELD: number = BIN_WORDS;
const STATE_WORDS: number = HELD + 2 * HELD_SIZES;

/** Two-level segregated fit over an array of words that its owner holds and may replace. */
export class BoundaryTags {
  /** The words; the owner may replace them by others that start alike. */
  tags: Int32Array;
  /** The bins, then the blocks held back. */
  readonly state: Int32Array;
  /** One bit per granule: a used block starts here. */
  starts: Int32Array;
  /** In the order in which they came, which is that of their words. */
  regions: Region[] = [];
  readonly geometry: Geometry;
  readonly #unitShift: number;
  readonly #wordsFor: (words: number) => Int32Array;

  constructor(tags: Int32Array, geometry: Geometry, wordsFor: (words: number) => Int32Array) {
    this.tags = tags;
    this.geometry = geometry;
    this.#unitShift = geometry.unitShift;
    this.#wordsFor = wordsFor;
    this.starts = wordsFor(0);
    this.state = wordsFor(STATE_WORDS);
    this.reset();
  }

  /** Own state, in bytes. */
  get bytes(): number {
    return (STATE_WORDS + this.starts.length) * 4;
  }

  /**
   * Takes a block of at least `words` words: one that was held back, or one out of the bins.
   *
   * @returns its first word, or 0 where no free block is large enough.
   */
  take(words: number): number {
    if (words >= HELD_SIZES) return this.#takeFree(words);
    const held = HELD + 2 * words;
    const { state } = this;
    const block = state[held]!;
    if (block === 0) return this.#takeFree(words);
    state[held] = this.tags[block + 1]!;
    state[held + 1] = state[held + 1]! + 1;
    this.#mark(block);
    return block;
  }

  #takeFree(words: number): number {
    const { state, tags } = this;
    let bin = binOf(words);
    let block = state[HEADS + bin]!;
    // The bin of the size itself may hold blocks that are smaller; any later bin fits.
    if (block === 0 || tags[block]! >>> 2 < words) {
      bin = nextBin(state, bin + 1);
      if (bin < 0) return 0;
      block = state[HEADS + bin]!;
    }
    const size = tags[block]! >>> 2;
    this.#unlinkFirst(block, bin);
    const rest = size - words;
    if (rest < MIN_WORDS) {
      tags[block] = (size << 2) | USED;
      tags[block + size] = tags[block + size]! & ~PREVIOUS_FREE;
    } else {
      tags[block] = (words << 2) | USED;
      this.#insert(block + words, rest);
    }
    this.#mark(block);
    return block;
  }

  /**
   * Takes a block whose address is a multiple of `alignment` (a power of two, at least a granule).
   *
   * @returns its first word, or 0.
   */
  takeAligned(words: number, alignment: number): number {
    const { granule } = this.geometry;
    const unit = this.#unitShift;
    const aligned = (alignment / granule) << unit;
    // The first block of the size's own bin may do, or of the next one that is not empty; one with this much slack does.
    for (let attempt = 0; attempt < 3; attempt++) {
      let bin = binOf(attempt < 2 ? words : words + aligned + MIN_WORDS);
      if (attempt > 0) bin = nextBin(this.state, bin + 1);
      const block = bin < 0 ? 0 : this.state[HEADS + bin]!;
      if (block === 0) continue;
      let start = block + (((-addressOf(this, block) & (alignment - 1)) / granule) << unit);
      while (start !== block && start - block < MIN_WORDS) start += aligned;
      if (start + words > block + (this.tags[block]! >>> 2)) continue;
      this.#carve(block, start, words);
      return start;
    }
    return 0;
  }

  /** Makes `[start, start + words)` of a free block used, and free what is left of it before and after. */
  #carve(block: number, start: number, words: number): void {
    const tags = this.tags;
    const size = tags[block]! >>> 2;
    this.#unlink(block, size);
    let flags = USED;
    if (start !== block) {
      this.#insert(block, start - block);
      flags = USED | PREVIOUS_FREE;
    }
    this.#use(start, words, block + size, flags);
    this.#mark(start);
  }

  /** Writes the header of a used block, and frees what is left up to `end` where that is a block. */
  #use(start: number, words: number, end: number, flags: number): void {
    const tags = this.tags;
    const rest = end - start - words;
    if (rest < MIN_WORDS) {
      tags[start] = ((end - start) << 2) | flags;
      tags[end] = tags[end]! & ~PREVIOUS_FREE;
    } else {
      tags[start] = (words << 2) | flags;
      this.#insert(start + words, rest);
    }
  }

  /** Whether a used block starts at this word. */
  isUsed(block: number): boolean {
    const unit = block >>> this.#unitShift;
    return (this.starts[unit >>> 5]! & (1 << unit)) !== 0;
  }

  /** The words of a block. */
  wordsOf(block: number): number {
    const header = this.tags[block]!;
    return header < 0 ? this.tags[block + OWNED_SIZE]! : header >>> 2;
  }

  /**
   * Gives a used block back: it is held back, or merged with its free neighbours.
   *
   * @returns the words of the free block that it is now part of; 0 where no used block started there and nothing has changed.
   */
  give(block: number): number {
    const unit = block >>> this.#unitShift;
    const starts = this.starts[unit >>> 5]!;
    if ((starts & (1 << unit)) === 0) return 0;
    this.starts[unit >>> 5] = starts ^ (1 << unit);
    const words = this.tags[block]! >>> 2;
    // The header of a slab is below 0 and reads as a large size.
    const held = HELD + 2 * words;
    if (words >= HELD_SIZES || this.state[held + 1]! === 0) return this.#merge(block);
    this.state[held + 1] = this.state[held + 1]! - 1;
    this.tags[block + 1] = this.state[held]!;
    this.state[held] = block;
    return words;
  }

  /** Lets go of every block that is held back. @returns whether there was one. At most 8 of each of 60 sizes. */
  letGo(): boolean {
    const { state } = this;
    let any = false;
    for (let held = HELD; held < STATE_WORDS; held += 2) {
      // Counted, and never more than there can be: tags that were overwritten cannot make it loop.
      for (let left = Math.min(HELD_DEPTH - state[held + 1]!, HELD_DEPTH); left > 0; left--) {
        const block = state[held]!;
        state[held] = this.tags[block + 1]!;
        this.#merge(block);
        any = true;
      }
      state[held] = 0;
      state[held + 1] = HELD_DEPTH;
    }
    return any;
  }

  /** Makes a block that has no start in the bitmap free, and merges it. @returns the words of the whole. */
  #merge(block: number): number {
    const tags = this.tags;
    const header = tags[block]!;
    let start = block;
    let end = block + (header < 0 ? tags[block + OWNED_SIZE]! : header >>> 2);
    const next = tags[end]!;
    if ((next & USED) === 0) {
      this.#unlink(end, next >>> 2);
      tags[end] = 0;
      end += next >>> 2;
    }
    tags[end] = tags[end]! | PREVIOUS_FREE;
    if ((header & PREVIOUS_FREE) !== 0) {
      start -= tags[block - 1]!;
      this.#unlink(start, block - start);
      tags[block] = 0;
    }
    this.#insert(start, end - start);
    return end - start;
  }

  /**
   * Makes a used block `words` long where it is: returns its tail, or takes from the free block after it.
   *
   * @returns whether that was possible; if not, nothing has changed.
   */
  resize(block: number, words: number): boolean {
    const tags = this.tags;
    const size = tags[block]! >>> 2;
    let end = block + size;
    if (words > size && (tags[end]! & USED) !== 0 && !this.isUsed(end)) this.letGo();
    const next = tags[end]!;
    const free = (next & USED) === 0 ? next >>> 2 : 0;
    if (words > size + free) return false;
    if (free === 0 ? size - words < MIN_WORDS : words === size) return true;
    if (free > 0) {
      this.#unlink(end, free);
      tags[end] = 0;
      end += free;
    }
    tags[end] = tags[end]! | PREVIOUS_FREE;
    this.#use(block, words, end, tags[block]! & (USED | PREVIOUS_FREE));
    return true;
  }

  /** Goes on to `end`: with a new region, or with more words of the last one. */
  grow(start: number, end: number, base: number): void {
    const { tags, regions } = this;
    const needed = (end >>> (this.#unitShift + 5)) + 1;
    if (needed > this.starts.length) {
      const starts = this.#wordsFor(needed + (needed >>> 3));
      starts.set(this.starts);
      this.starts = starts;
    }
    const last = regions.at(-1);
    tags[end - 1] = USED;
    if (last === undefined || last.end !== start + 1) {
      regions.push({ start, end, base });
      tags[start] = 0;
    } else last.end = end;
    // What was the end, or the first word, becomes the header of a block that is given.
    tags[start] = ((end - 1 - start) << 2) | USED | (tags[start]! & PREVIOUS_FREE);
    this.#merge(start);
  }

  /** Words that are free at the end of a region. */
  freeTail({ end }: Region): number {
    return (this.tags[end - 1]! & PREVIOUS_FREE) === 0 ? 0 : this.tags[end - 2]!;
  }

  /**
   * Moves the end of a region down by `words`, all of them free, and takes the region out of the list where nothing is left.
   * Of the free block there, nothing or at least {@link MIN_WORDS} must stay.
   */
  cut(region: Region, words: number): void {
    const size = this.freeTail(region);
    const block = region.end - 1 - size;
    this.#unlink(block, size);
    region.end -= words;
    if (region.end - 1 === region.start) this.regions.splice(this.regions.indexOf(region), 1);
    this.tags[region.end - 1] = size === words ? USED : USED | PREVIOUS_FREE;
    if (size > words) this.#insert(block, size - words);
  }

  /** Makes every region one free block again. */
  reset(): void {
    const regions = this.regions.splice(0);
    this.state.fill(0);
    for (let held = HELD; held < STATE_WORDS; held += 2) this.state[held + 1] = HELD_DEPTH;
    this.starts.fill(0);
    for (const { start, end, base } of regions) this.grow(start, end, base);
  }

  /** Visits the blocks of all regions in the order of their words. Ends early where headers make no sense. */
  walk(visit: (block: number, words: number, isUsed: boolean) => void): void {
    for (const { start, end } of this.regions) {
      for (let block = start; block < end - 1;) {
        const words = this.wordsOf(block);
        if (!(words > 0)) return;
        visit(block, words, this.isUsed(block));
        block += words;
      }
    }
  }

  /** Makes `[block, block + words)` free and puts it first into its bin. The flags of neighbours are the caller's. */
  #insert(block: number, words: number): void {
    const { state, tags } = this;
    const bin = binOf(words);
    const first = state[HEADS + bin]!;
    tags[block] = words << 2;
    tags[block + 1] = first;
    tags[block + 2] = 0;
    tags[block + words - 1] = words;
    state[HEADS + bin] = block;
    if (first !== 0) tags[first + 2] = block;
    else {
      const group = bin >>> 5;
      state[1 + group] = state[1 + group]! | (1 << bin);
      state[0] = state[0]! | (1 << group);
    }
  }

  #unlinkFirst(block: number, bin: number): void {
    const next = this.tags[block + 1]!;
    this.state[HEADS + bin] = next;
    if (next !== 0) this.tags[next + 2] = 0;
    else clearBin(this.state, bin);
  }

  #unlink(block: number, words: number): void {
    const tags = this.tags;
    const next = tags[block + 1]!;
    const before = tags[block + 2]!;
    if (before === 0) this.#unlinkFirst(block, binOf(words));
    else {
      tags[before + 1] = next;
      if (next !== 0) tags[next + 2] = before;
    }
  }

  #mark(block: number): void {
    const unit = block >>> this.#unitShift;
    this.starts[unit >>> 5] = this.starts[unit >>> 5]! | (1 << unit);
  }
}
