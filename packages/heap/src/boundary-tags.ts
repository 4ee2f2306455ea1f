/*
 * Two-level segregated fit over words: functions over two arrays, which their owner holds and may replace by longer ones that start alike.
 *
 * `tags`: a block is a run of words that starts at a granule, 2^shift words; its state lives in its first words and, while it is free, in its last one:
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
 * `state`: free blocks are sorted into 832 bins by size, 32 to a power of two and exact below 64 words; a two-level bitmap names the bins that are not empty:
 *
 *      word 0           one bit for each group of 32 bins
 *      words 1 … 26     one bit for each bin of a group
 *      words 27 … 858   the first block of each bin, or 0
 *      words 859 … 1370 the magazines, 8 words for each size below 64 words: how many blocks, and their granules. (Those of size 0 are none: the bin after the last is empty.)
 *      words 1371 …     one bit for each granule: a used block starts there
 *
 * Invariant: a bin's bit is set ⇔ its first block is not 0; a group's bit is set ⇔ one of its bins' is.
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
export const MAX_WORDS = 536870911;
/** Where a block whose header has bit 31 set keeps its size. */
export const OWNED_SIZE = 7;
/** How many bins there are. */
export const BINS = 832;
/** First of the words with the first blocks. */
export const HEADS = 27;
/** Blocks of fewer words are held back. */
export const HELD_SIZES = 64;
/** How many blocks of one size are held back. */
export const HELD_DEPTH = 7;
/** First word of the magazines. */
export const HELD = 859;
/** First word of the bitmap. */
export const STARTS = 1371;

/** The bin of blocks of `words`. */
export function binOf(words: number): number {
  const shift = 26 - Math.clz32(words | 32);
  return (shift << 5) + (words >>> shift);
}

/** The first bin after `bin` that is not empty, or the one after the last. */
export function binAfter(state: Int32Array, bin: number): number {
  let group = ++bin >>> 5;
  let bits = state[1 + group]! & (-1 << bin);
  if (bits === 0) {
    const groups = state[0]! & (-2 << group);
    if (groups === 0) return BINS;
    group = 31 - Math.clz32(groups & -groups);
    bits = state[1 + group]!;
  }
  return (group << 5) + 31 - Math.clz32(bits & -bits);
}

/** Makes `[block, block + words)` free, first in its bin. */
function insert(tags: Int32Array, state: Int32Array, block: number, words: number): void {
  const bin = binOf(words);
  const next = state[HEADS + bin]!;
  tags[block] = words << 2;
  tags[block + 1] = next;
  tags[block + words - 1] = words;
  state[HEADS + bin] = block;
  if (next !== 0) tags[next + 2] = block;
  else {
    const group = bin >>> 5;
    state[1 + group] = state[1 + group]! | (1 << bin);
    state[0] = state[0]! | (1 << group);
  }
}

/** Takes a free block of `words` out of its bin. */
function remove(tags: Int32Array, state: Int32Array, block: number, words: number): void {
  const next = tags[block + 1]!;
  const bin = binOf(words);
  if (state[HEADS + bin]! === block) behead(state, bin, next);
  else {
    const before = tags[block + 2]!;
    tags[before + 1] = next;
    if (next !== 0) tags[next + 2] = before;
  }
}

/** Makes `next`, or nothing, the first block of a bin. */
function behead(state: Int32Array, bin: number, next: number): void {
  state[HEADS + bin] = next;
  if (next !== 0) return;
  const group = bin >>> 5;
  const bits = state[1 + group]! & ~(1 << bin);
  state[1 + group] = bits;
  if (bits === 0) state[0] = state[0]! & ~(1 << group);
}

/**
 * Makes `[start, start + words)` used, within `[block, end)`, which is in no bin; what is left before and after it is free, or part of it where it is no block.
 *
 * @param flags of the block before it, where it starts at `block`.
 */
export function place(
  tags: Int32Array,
  state: Int32Array,
  block: number,
  end: number,
  start: number,
  words: number,
  flags: number,
): void {
  const rest = end - start - words;
  if (start !== block) {
    insert(tags, state, block, start - block);
    flags = PREVIOUS_FREE;
  }
  if (rest < MIN_WORDS) {
    words += rest;
    tags[end] = tags[end]! & ~PREVIOUS_FREE;
  } else {
    insert(tags, state, start + words, rest);
    tags[end] = tags[end]! | PREVIOUS_FREE;
  }
  tags[start] = (words << 2) | USED | flags;
}

/** Takes the first block of the size's own bin, if it is large enough, or of the next one that is not empty. @returns its first word, or 0. */
function takeFree(tags: Int32Array, state: Int32Array, words: number): number {
  let bin = binOf(words);
  let block = state[HEADS + bin]!;
  // The bin of the size itself may hold blocks that are smaller; any later bin fits.
  if (block === 0 || tags[block]! >>> 2 < words) {
    bin = binAfter(state, bin);
    block = state[HEADS + bin]!;
    if (block === 0) return 0;
  }
  const size = tags[block]! >>> 2;
  const next = tags[block + 1]!;
  const rest = size - words;
  // What is left of a large block is in the same bin, as a rule, and takes its place.
  if (rest >= MIN_WORDS && binOf(rest) === bin) {
    const to = block + words;
    state[HEADS + bin] = to;
    tags[block] = (words << 2) | USED;
    tags[to] = rest << 2;
    tags[to + 1] = next;
    tags[to + rest - 1] = rest;
    if (next !== 0) tags[next + 2] = to;
  } else {
    behead(state, bin, next);
    if (rest < MIN_WORDS) {
      tags[block] = (size << 2) | USED;
      tags[block + size] = tags[block + size]! & ~PREVIOUS_FREE;
    } else {
      tags[block] = (words << 2) | USED;
      insert(tags, state, block + words, rest);
    }
  }
  return block;
}

/**
 * Takes a block of at least `granules`: one that was held back, or one out of the bins.
 *
 * @returns its first granule, or 0 where no free block is large enough.
 */
export function take(tags: Int32Array, state: Int32Array, shift: number, granules: number): number {
  const words = granules << shift;
  const magazine = HELD + (words << 3);
  const count = words < HELD_SIZES ? state[magazine]! : 0;
  let granule;
  if (count > 0) {
    state[magazine] = count - 1;
    granule = state[magazine + count]!;
  } else {
    granule = takeFree(tags, state, words) >> shift;
    if (granule === 0) return 0;
  }
  markUsed(state, granule);
  return granule;
}

/** Says that a used block starts there. */
export function markUsed(state: Int32Array, granule: number): void {
  const word = STARTS + (granule >>> 5);
  state[word] = state[word]! | (1 << granule);
}

/** Whether a used block starts there. */
export function isUsed(state: Int32Array, granule: number): boolean {
  return (state[STARTS + (granule >>> 5)]! & (1 << granule)) !== 0;
}

/** The granules of a block. */
export function sizeOf(tags: Int32Array, shift: number, granule: number): number {
  const header = tags[granule << shift]!;
  return (header < 0 ? tags[(granule << shift) + OWNED_SIZE]! : header >>> 2) >>> shift;
}

/**
 * Gives a used block back: it is held back, or merged with its free neighbours.
 *
 * @returns the granules of the free block that it is now part of, 1 where it is held back; 0 where no used block started there and nothing has changed.
 */
export function give(tags: Int32Array, state: Int32Array, shift: number, granule: number): number {
  const word = STARTS + (granule >>> 5);
  const starts = state[word]!;
  const bit = 1 << granule;
  if ((starts & bit) === 0) return 0;
  state[word] = starts ^ bit;
  // The header of a slab is below 0 and reads as a large size.
  const words = tags[granule << shift]! >>> 2;
  if (words < HELD_SIZES) {
    const magazine = HELD + (words << 3);
    const count = state[magazine]! + 1;
    if (count <= HELD_DEPTH) {
      state[magazine] = count;
      state[magazine + count] = granule;
      return 1;
    }
  }
  return merge(tags, state, shift, granule << shift) >> shift;
}

/** Makes a block that has no bit in the bitmap free, and merges it. @returns the words of the whole. */
function merge(tags: Int32Array, state: Int32Array, shift: number, block: number): number {
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

/** Lets go of the blocks of a size, or of all sizes from it on, that are held back. @returns whether there was one. */
export function letGo(tags: Int32Array, state: Int32Array, shift: number, from = 0, to: number = HELD_SIZES): boolean {
  let any = false;
  for (let magazine = HELD + from * 8; magazine < HELD + to * 8; magazine += 8) {
    // Never more than there can be, whatever the tags say.
    for (let count = Math.min(state[magazine]!, HELD_DEPTH); count > 0; count--) {
      merge(tags, state, shift, state[magazine + count]! << shift);
      any = true;
    }
    state[magazine] = 0;
  }
  return any;
}

/**
 * Makes a used block `granules` long where it is: returns its tail, or takes from the free block after it.
 *
 * @returns whether that was possible; if not, nothing has changed but that blocks held back are let go.
 */
export function resize(tags: Int32Array, state: Int32Array, shift: number, granule: number, granules: number): boolean {
  const block = granule << shift;
  const words = granules << shift;
  let end = block + (tags[block]! >>> 2);
  // Where the block after it is free and small, others of that size are let go as well: on cc1 the heap is 1.24 times what is live then, 1.32 else.
  const held = tags[end]! >>> 2;
  if (held < HELD_SIZES && block + words > end && !isUsed(state, end >> shift))
    letGo(tags, state, shift, held, held + 1);
  const next = tags[end]!;
  const size = next >>> 2;
  if ((next & USED) === 0 && block + words <= end + size) {
    remove(tags, state, end, size);
    end += size;
  }
  if (block + words > end) return false;
  place(tags, state, block, end, block, words, tags[block]! & PREVIOUS_FREE);
  return true;
}

/**
 * Takes a free block out of its bin and makes `[start, start + words)` of it used.
 */
export function carve(tags: Int32Array, state: Int32Array, block: number, start: number, words: number): void {
  const size = tags[block]! >>> 2;
  remove(tags, state, block, size);
  place(tags, state, block, block + size, start, words, 0);
}

/** Makes `[start, end)` free, words that are new, or where a chunk ended before. */
export function open(tags: Int32Array, state: Int32Array, shift: number, start: number, end: number): void {
  tags[end] = USED;
  // What was the end becomes the header of a block that is given.
  tags[start] = ((end - start) << 2) | USED | (tags[start]! & PREVIOUS_FREE);
  const words = merge(tags, state, shift, start);
  // First in its bin: the next that is asked for must find it.
  remove(tags, state, end - words, words);
  insert(tags, state, end - words, words);
}

/** Moves the end of a chunk from `end` down by `words`, all of them free. */
export function close(tags: Int32Array, state: Int32Array, end: number, words: number): void {
  const size = tags[end - 1]!;
  remove(tags, state, end - size, size);
  place(tags, state, end - size, end - words, end - words, 0, 0);
}

/** Visits the blocks of `[granule, end)` in the order of their words. @returns false where headers make no sense: it ends there. */
export function walk(
  tags: Int32Array,
  state: Int32Array,
  shift: number,
  granule: number,
  end: number,
  visit: (granule: number, granules: number, isUsed: boolean) => void,
): boolean {
  while (granule < end) {
    const granules = sizeOf(tags, shift, granule);
    if (granules === 0) return false;
    visit(granule, granules, isUsed(state, granule));
    granule += granules;
  }
  return granule === end;
}
