/*
 * Two-level segregated fit over words: functions over two arrays, which their owner holds and may replace by longer ones that start alike.
 *
 * `tags`: a block is a run of words; its state lives in its first words and, while it is free, in its last one. All blocks are multiples of two words:
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
 * Every chunk is followed by a used header of 0 words, so that no block ever merges across its end. Word 0 is never a block's first: links use 0 for "none".
 *
 * `state`: free blocks are sorted into bins by size, 32 to a power of two and exact below 64 words; a two-level bitmap names the bins that are not empty:
 *
 *      word 0 … 895      magazines, 8 words for each size below 112 words: the first words of blocks that are held back
 *      words 897 … 924   one bit for each bin of a group of 32
 *      word 927          one bit for each group
 *      words 928 … 1823  the first block of each bin, or 0: as many as there could be for any number in a header, written over or not
 *      words 1824 … 1935 for each size below 112 words, how many blocks its magazine holds
 *      words 1936 …      one bit for two words: a used block starts there
 *
 * Invariant: a bin's bit is set ⇔ its first block is not 0; a group's bit is set ⇔ one of its bins' is.
 *
 * In front of the bins, up to seven blocks of each size below 112 words are held back as they are given, in a magazine: still used to their neighbours, no bit in the
 * bitmap. Most blocks that a program frees are asked for again before any neighbour is. They are let go, merged and binned, before the heap grows, when a neighbour is
 * resized, and when memory is given back. A hit costs one read of tags, or none, and three reads and writes of state besides the bit.
 *
 * Masmano, Ripoll, Crespo, Real: TLSF: a New Dynamic Memory Allocator for Real-Time Systems (2004).
 */

/** Flag of a header: the block is used, or held back. */
export const USED = 1;
/** Flag of a header: the block before it is free, and the word before it is that block's size. */
export const PREVIOUS_FREE = 2;
/** Words of the smallest block: header, two links, footer. */
export const MIN_WORDS = 4;
/** Blocks of fewer words are held back. */
export const HELD_SIZES = 112;
/** How many blocks of one size are held back. */
export const HELD_DEPTH = 7;
/** First of the words with the bits of each group's bins; the word before it is always 0. */
export const BITS = 897;
/** The word with the groups' bits. */
export const GROUPS = 927;
/** First of the words with the bins' first blocks. */
export const HEADS = 928;
/** First of the words that count what is held back. */
export const COUNTS = 1824;
/** First word of the bitmap. */
export const STARTS = 1936;

/** The bin of blocks of `words`. */
export function binOf(words: number): number {
  const shift = 26 - Math.clz32(words | 32);
  return (shift << 5) + (words >>> shift);
}

/** The number of the lowest bit that is set. */
function lowest(bits: number): number {
  return 31 - Math.clz32(bits & -bits);
}

/** Makes `[block, end)` free, first in its bin. */
export function insert(tags: Int32Array, state: Int32Array, block: number, end: number): void {
  const words = end - block;
  const bin = binOf(words);
  const next = state[HEADS + bin]!;
  tags[block] = words << 2;
  tags[block + 1] = next;
  tags[end - 1] = words;
  tags[end]! |= PREVIOUS_FREE;
  state[HEADS + bin] = block;
  if (next !== 0) tags[next + 2] = block;
  else markBin(state, bin);
}

/** Says that a bin is not empty. */
export function markBin(state: Int32Array, bin: number): void {
  const group = bin >>> 5;
  state[BITS + group]! |= 1 << bin;
  state[GROUPS]! |= 1 << group;
}

/** Takes a free block out of its bin. @returns its end, whose flag stays: what becomes of the words is said next. */
export function remove(tags: Int32Array, state: Int32Array, block: number): number {
  const end = block + sizeOf(tags, block);
  const next = tags[block + 1]!;
  const before = tags[block + 2]!;
  const bin = binOf(end - block);
  if (state[HEADS + bin]! === block) {
    state[HEADS + bin] = next;
    if (next === 0) {
      const group = bin >>> 5;
      state[BITS + group]! ^= 1 << bin;
      if (state[BITS + group] === 0) state[GROUPS]! ^= 1 << group;
    }
  } else {
    tags[before + 1] = next;
    if (next !== 0) tags[next + 2] = before;
  }
  return end;
}

/** Makes `[start, stop)` of `[block, end)`, which is in no bin, used; what is left before and after it is free, or part of it where it is too small to be a block. */
export function place(
  tags: Int32Array,
  state: Int32Array,
  block: number,
  end: number,
  start: number,
  stop: number,
): void {
  tags[end]! &= ~PREVIOUS_FREE;
  if (end - stop < MIN_WORDS) stop = end;
  else insert(tags, state, stop, end);
  if (start !== block) insert(tags, state, block, start);
  tags[start] = ((stop - start) << 2) | USED | (tags[start]! & PREVIOUS_FREE);
  markUsed(state, start);
}

/** A free block of at least `words`: the first of the size's own bin, if it is large enough, else of the next one that is not empty; 0 where there is none. */
export function find(tags: Int32Array, state: Int32Array, words: number): number {
  const bin = binOf(words);
  const block = state[HEADS + bin]!;
  // The bin of the size itself may hold blocks that are smaller; any later bin fits.
  if (block !== 0 && tags[block]! >>> 2 >= words) return block;
  let group = (bin + 1) >>> 5;
  let bits = state[BITS + group]! & (-1 << (bin + 1));
  if (bits === 0) {
    // Where no group is left, this is −1, as is the lowest of no bits: at both places are words that are always 0.
    group = lowest(state[GROUPS]! & (-2 << group));
    bits = state[BITS + group]!;
  }
  return state[HEADS + (group << 5) + lowest(bits)]!;
}

/**
 * Takes a block of at least `words`: one that was held back, or one out of the bins.
 *
 * @returns its first word, or 0 where no free block is large enough.
 */
export function take(tags: Int32Array, state: Int32Array, words: number): number {
  if (words < HELD_SIZES && state[COUNTS + words]! > 0) {
    const block = state[(words << 3) + --state[COUNTS + words]!]!;
    markUsed(state, block);
    return block;
  }
  return cut(tags, state, words);
}

/** Cuts a block of at least `words` out of a free one, if there is any. */
function cut(tags: Int32Array, state: Int32Array, words: number): number {
  const block = find(tags, state, words);
  if (block === 0) return 0;
  const end = block + sizeOf(tags, block);
  const stop = block + words;
  const bin = binOf(end - block);
  if (binOf(end - stop) === bin) {
    // What is left of a large block is in the same bin, as a rule, and takes its place.
    const next = tags[block + 1]!;
    state[HEADS + bin] = stop;
    tags[block] = (words << 2) | USED;
    tags[end - 1] = end - stop;
    tags[stop] = (end - stop) << 2;
    tags[stop + 1] = next;
    if (next !== 0) tags[next + 2] = stop;
    markUsed(state, block);
  } else place(tags, state, block, remove(tags, state, block), block, stop);
  return block;
}

/** Says that a used block starts at a word. */
export function markUsed(state: Int32Array, block: number): void {
  state[STARTS + (block >>> 6)]! |= 1 << (block >> 1);
}

/** Whether a used block starts there, as for {@link markUsed}. */
export function isUsed(state: Int32Array, block: number): boolean {
  return (state[STARTS + (block >>> 6)]! & (1 << (block >> 1))) !== 0;
}

/** The words of a block. */
export function sizeOf(tags: Int32Array, block: number): number {
  return tags[block]! >>> 2;
}

/**
 * Gives a used block back: it is held back, or merged with its free neighbours.
 *
 * @returns the words of the free block that it is now part of, 0 where it is held back.
 */
export function give(tags: Int32Array, state: Int32Array, block: number): number {
  state[STARTS + (block >>> 6)]! ^= 1 << (block >> 1);
  const words = sizeOf(tags, block);
  if (words < HELD_SIZES && state[COUNTS + words]! < HELD_DEPTH) {
    state[(words << 3) + state[COUNTS + words]!++] = block;
    return 0;
  }
  return merge(tags, state, block);
}

/** Makes a block that has no bit in the bitmap free, and merges it. @returns the words of the whole. */
export function merge(tags: Int32Array, state: Int32Array, block: number): number {
  const header = tags[block]!;
  let end = block + sizeOf(tags, block);
  if ((tags[end]! & USED) === 0) end = remove(tags, state, end);
  if ((header & PREVIOUS_FREE) !== 0) {
    block -= tags[block - 1]!;
    remove(tags, state, block);
  }
  insert(tags, state, block, end);
  return end - block;
}

/** Lets go of the blocks of all sizes, or of those from `from` to below `to`, that are held back. */
export function letGo(tags: Int32Array, state: Int32Array, from = 0, to: number = HELD_SIZES): void {
  for (let words = from; words < to; words++)
    while (state[COUNTS + words]! > 0) merge(tags, state, state[words * 8 + --state[COUNTS + words]!]!);
}

/**
 * Makes a used block end at `stop`: returns its tail, or takes from the free block after it.
 *
 * @returns whether that was possible; if not, nothing has changed but that blocks held back are let go.
 */
export function resize(tags: Int32Array, state: Int32Array, block: number, stop: number): boolean {
  let end = block + sizeOf(tags, block);
  // Where the block after it is free and small, others of that size are let go as well: on cc1 the heap is 1.24 times what is live then, 1.32 else.
  const held = sizeOf(tags, end);
  if (held < HELD_SIZES && !isUsed(state, end)) letGo(tags, state, held, held + 1);
  if ((tags[end]! & USED) === 0 && stop <= end + sizeOf(tags, end)) end = remove(tags, state, end);
  if (stop > end) return false;
  place(tags, state, block, end, block, stop);
  return true;
}
