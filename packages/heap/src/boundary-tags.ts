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
 * `state`: free blocks are sorted into 832 bins by size, 32 to a power of two and exact below 64 words; a two-level bitmap names the bins that are not empty:
 *
 *      word 0           one bit for each group of 32 bins
 *      words 1 … 26     one bit for each bin of a group
 *      words 27 … 858   the first block of each bin, or 0
 *      words 859 … 1754 the magazines, 8 words for each size below 112 words: how many blocks, and their first words. (Those of size 0 are none: the bin after the last is empty.)
 *      words 1755 …     one bit for two words: a used block starts there
 *
 * Invariant: a bin's bit is set ⇔ its first block is not 0; a group's bit is set ⇔ one of its bins' is.
 *
 * In front of the bins, up to seven blocks of each size below 112 words are held back as they are given, in a magazine: still used to their neighbours, no bit in the
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
/** How many bins there are. */
export const BINS = 832;
/** First of the words with the first blocks. */
export const HEADS = 27;
/** Blocks of fewer words are held back. */
export const HELD_SIZES = 112;
/** How many blocks of one size are held back. */
export const HELD_DEPTH = 7;
/** First word of the magazines. */
export const HELD = 859;
/** First word of the bitmap. */
export const STARTS = 1755;

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

/** Makes `[block, end)` free, first in its bin. */
function insert(tags: Int32Array, state: Int32Array, block: number, end: number): void {
  const words = end - block;
  const bin = binOf(words);
  const next = state[HEADS + bin]!;
  tags[block] = words << 2;
  tags[block + 1] = next;
  tags[end - 1] = words;
  tags[end] = tags[end]! | PREVIOUS_FREE;
  state[HEADS + bin] = block;
  if (next !== 0) tags[next + 2] = block;
  else {
    const group = bin >>> 5;
    state[1 + group] = state[1 + group]! | (1 << bin);
    state[0] = state[0]! | (1 << group);
  }
}

/** Takes a free block out of its bin. @returns its end. */
function remove(tags: Int32Array, state: Int32Array, block: number): number {
  const words = tags[block]! >>> 2;
  const next = tags[block + 1]!;
  const bin = binOf(words);
  if (state[HEADS + bin]! !== block) {
    const before = tags[block + 2]!;
    tags[before + 1] = next;
    if (next !== 0) tags[next + 2] = before;
  } else {
    state[HEADS + bin] = next;
    if (next === 0) {
      const group = bin >>> 5;
      const bits = state[1 + group]! & ~(1 << bin);
      state[1 + group] = bits;
      if (bits === 0) state[0] = state[0]! & ~(1 << group);
    }
  }
  tags[block + words] = tags[block + words]! & ~PREVIOUS_FREE;
  return block + words;
}

/** Makes `[start, stop)` of `[block, end)`, which is in no bin, used; what is left before and after it is free, or part of it where it is too small to be a block. */
function place(tags: Int32Array, state: Int32Array, block: number, end: number, start: number, stop: number): void {
  if (end - stop < MIN_WORDS) stop = end;
  else insert(tags, state, stop, end);
  if (start !== block) insert(tags, state, block, start);
  tags[start] = ((stop - start) << 2) | USED | (tags[start]! & PREVIOUS_FREE);
}

/** A free block of at least `words`: the first of the size's own bin, if it is large enough, else of the next one that is not empty; 0 where there is none. */
export function find(tags: Int32Array, state: Int32Array, words: number): number {
  const bin = binOf(words);
  const block = state[HEADS + bin]!;
  // The bin of the size itself may hold blocks that are smaller; any later bin fits. (After the last bin come the magazines, with a 0.)
  return block !== 0 && tags[block]! >>> 2 >= words ? block : state[HEADS + binAfter(state, bin)]!;
}

/**
 * Takes a block of at least `words`: one that was held back, or one out of the bins.
 *
 * @returns its first word, or 0 where no free block is large enough.
 */
export function take(tags: Int32Array, state: Int32Array, words: number): number {
  const magazine = HELD + (words << 3);
  const count = words < HELD_SIZES ? state[magazine]! : 0;
  let block;
  if (count > 0) {
    state[magazine] = count - 1;
    block = state[magazine + count]!;
  } else {
    block = find(tags, state, words);
    if (block === 0) return 0;
    carve(tags, state, block, block, words);
  }
  markUsed(state, block >> 1);
  return block;
}

/** Says that a used block starts at a word, given without its lowest bit. */
export function markUsed(state: Int32Array, bit: number): void {
  const word = STARTS + (bit >>> 5);
  state[word] = state[word]! | (1 << bit);
}

/** Whether a used block starts there, as for {@link markUsed}. */
export function isUsed(state: Int32Array, bit: number): boolean {
  return (state[STARTS + (bit >>> 5)]! & (1 << bit)) !== 0;
}

/** The words of a block. */
export function sizeOf(tags: Int32Array, block: number): number {
  return tags[block]! >>> 2;
}

/**
 * Gives a used block back: it is held back, or merged with its free neighbours.
 *
 * @returns the words of the free block that it is now part of, 1 where it is held back; 0 where no used block started there and nothing has changed.
 */
export function give(tags: Int32Array, state: Int32Array, block: number): number {
  const word = STARTS + (block >>> 6);
  const starts = state[word]!;
  const bit = 1 << (block >> 1);
  if ((starts & bit) === 0) return 0;
  state[word] = starts ^ bit;
  const words = tags[block]! >>> 2;
  if (words < HELD_SIZES) {
    const magazine = HELD + (words << 3);
    const count = state[magazine]! + 1;
    if (count <= HELD_DEPTH) {
      state[magazine] = count;
      state[magazine + count] = block;
      return 1;
    }
  }
  return merge(tags, state, block);
}

/** Makes a block that has no bit in the bitmap free, and merges it. @returns the words of the whole. */
function merge(tags: Int32Array, state: Int32Array, block: number): number {
  const header = tags[block]!;
  let end = block + (header >>> 2);
  // The bitmap is asked first, as it is at hand sooner than the header.
  if (!isUsed(state, end >> 1) && (tags[end]! & USED) === 0) end = remove(tags, state, end);
  if ((header & PREVIOUS_FREE) !== 0) {
    block -= tags[block - 1]!;
    remove(tags, state, block);
  }
  insert(tags, state, block, end);
  return end - block;
}

/** Lets go of the blocks of a size, or of all sizes from it on, that are held back. @returns whether there was one. */
export function letGo(tags: Int32Array, state: Int32Array, from = 0, to: number = HELD_SIZES): boolean {
  let any = false;
  for (let magazine = HELD + from * 8; magazine < HELD + to * 8; magazine += 8) {
    // Never more than there can be, whatever the tags say.
    for (let count = Math.min(state[magazine]!, HELD_DEPTH); count > 0; count--) {
      merge(tags, state, state[magazine + count]!);
      any = true;
    }
    state[magazine] = 0;
  }
  return any;
}

/**
 * Makes a used block `words` long where it is: returns its tail, or takes from the free block after it.
 *
 * @returns whether that was possible; if not, nothing has changed but that blocks held back are let go.
 */
export function resize(tags: Int32Array, state: Int32Array, block: number, words: number): boolean {
  let end = block + (tags[block]! >>> 2);
  // Where the block after it is free and small, others of that size are let go as well: on cc1 the heap is 1.24 times what is live then, 1.32 else.
  const held = tags[end]! >>> 2;
  if (held < HELD_SIZES && block + words > end && !isUsed(state, end >> 1)) letGo(tags, state, held, held + 1);
  if ((tags[end]! & USED) === 0 && block + words <= end + (tags[end]! >>> 2)) end = remove(tags, state, end);
  if (block + words > end) return false;
  place(tags, state, block, end, block, block + words);
  return true;
}

/** Takes a free block out of its bin and makes `[start, start + words)` of it used. */
export function carve(tags: Int32Array, state: Int32Array, block: number, start: number, words: number): void {
  const size = tags[block]! >>> 2;
  const bin = HEADS + binOf(size);
  const rest = size - words;
  if (start === block && rest >= MIN_WORDS && HEADS + binOf(rest) === bin && state[bin] === block) {
    // What is left of a large block is in the same bin, as a rule, and takes its place.
    const next = tags[block + 1]!;
    const to = block + words;
    state[bin] = to;
    tags[block] = (words << 2) | USED;
    tags[to] = rest << 2;
    tags[to + 1] = next;
    tags[to + rest - 1] = rest;
    if (next !== 0) tags[next + 2] = to;
  } else place(tags, state, block, remove(tags, state, block), start, start + words);
}

/** Makes `[start, end)` free, words that are new, or where a chunk ended before. It is first in its bin, so that the next that is asked for finds it. */
export function open(tags: Int32Array, state: Int32Array, start: number, end: number): void {
  tags[end] = USED;
  // What was the end becomes the header of a block that is given.
  tags[start] = ((end - start) << 2) | USED | (tags[start]! & PREVIOUS_FREE);
  merge(tags, state, start);
}

/** Moves the end of a chunk from `end` down to `to`; what lies between is free. */
export function close(tags: Int32Array, state: Int32Array, end: number, to: number): void {
  const block = end - tags[end - 1]!;
  remove(tags, state, block);
  tags[to] = USED;
  if (block < to) insert(tags, state, block, to);
}

/** Visits the blocks of `[block, end)` in the order of their words. @returns false where headers make no sense: it ends there. */
export function walk(
  tags: Int32Array,
  state: Int32Array,
  block: number,
  end: number,
  visit: (block: number, words: number, isUsed: boolean) => void,
): boolean {
  while (block < end) {
    const words = sizeOf(tags, block);
    if (words === 0) return false;
    visit(block, words, isUsed(state, block >> 1));
    block += words;
  }
  return block === end;
}
