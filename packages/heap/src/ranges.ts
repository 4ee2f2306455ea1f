/*
 * Two-level segregated fit over the words of an array: ranges of granules, each of which has one word, its tag.
 *
 *      range                                             next range
 *      ┌────────┬──────────┬──────────┬─ ─ ─ ─┬────────┐ ┌────────
 *      │ header │   next   │ previous │       │ words  │ │ header …
 *      └────────┴──────────┴──────────┴─ ─ ─ ─┴────────┘ └────────
 *        always └──────── only while it is free ───────┘   bit 1: the range before me is free
 *
 *      header   31     30     29 ……………………… 2         1               0
 *               slab │ live │ words of the range │ previous free │ used
 *
 * No other word of a range has bit 30 or 31: a live range starts exactly where bit 30 is set. A header with bit 31 is that of a slab, whose other words are its own (`slabs.ts`). A
 * range that is used, but neither live nor a slab, is held back, or the end of a chunk: each is followed by one of 0 words, so that nothing ever merges across it. Granule 0 is
 * in no range: links use 0 for "none".
 *
 * Free ranges are sorted into 832 bins by size, 32 to a power of two and exact below 64 words; a two-level bitmap names the bins that are not empty:
 *
 *      word 9376            one bit for each group of 32 bins
 *      words 9377 … 9402    one bit for each bin of a group
 *      words 9408 … 10239   the first range of each bin, or 0
 *      words 10240 … 10751  8 for each size below 64 words: how many ranges are held back, and which
 *
 * Up to seven ranges of each size below 64 words are held back as they are given: still used to their neighbours. Most that a program frees are asked for again, in the same size, before
 * any neighbour is. They are merged before the heap grows, or when a neighbour wants to grow into one.
 *
 * Masmano, Ripoll, Crespo, Real: TLSF: a New Dynamic Memory Allocator for Real-Time Systems (2004).
 */
import { requireInvariant } from "./allocator.ts";

/** Flag of a header: the range is not free. */
const USED = 1;
/** Flag of a header: the range before it is free, and the word before it is that range's size. */
const PREVIOUS_FREE = 2;
/** Flag of a header: the range is somebody's. */
export const LIVE = 1073741824;
/** Words of the smallest range: header, two links, footer. */
export const LEAST_WORDS = 4;
const BINS = 832;
const GROUPS = 9376;
const BITS = 9377;
const HEADS = 9408;
const HELD = 10240;
/** Ranges of fewer words are held back. */
const HELD_SIZES = 64;
/** So many ranges of a size are. */
const HELD_DEPTH = 7;
/** The first word that is a tag. */
export const TAGS = 10752;

/** The bin of ranges of `size` words. */
function binOf(size: number): number {
  const shift = 26 - Math.clz32(size | 32);
  return (shift << 5) + (size >>> shift);
}

/** The words of a range. A slab's are what it took, which may be a few more than it needs. */
export function sizeOf(words: Int32Array, range: number): number {
  const header = words[range]!;
  return header < 0 ? words[range + 7]! : (header & (LIVE - 1)) >>> 2;
}

/** Whether a header is that of a free range. */
export function isFree(header: number): boolean {
  return (header & USED) === 0;
}

/** Makes `[range, end)` free, first in its bin. */
function insert(words: Int32Array, range: number, end: number): void {
  const size = end - range;
  const bin = binOf(size);
  const next = words[HEADS + bin]!;
  words[range] = size << 2;
  words[range + 1] = next;
  words[end - 1] = size;
  words[end] = words[end]! | PREVIOUS_FREE;
  words[HEADS + bin] = range;
  if (next !== 0) words[next + 2] = range;
  else {
    words[BITS + (bin >>> 5)] = words[BITS + (bin >>> 5)]! | (1 << bin);
    words[GROUPS] = words[GROUPS]! | (1 << (bin >>> 5));
  }
}

/** Takes a free range out of its bin. @returns its end, whose flag stays: what becomes of the words is said next. */
function remove(words: Int32Array, range: number): number {
  const size = words[range]! >>> 2;
  const next = words[range + 1]!;
  const bin = binOf(size);
  if (words[HEADS + bin] !== range) {
    const before = words[range + 2]!;
    words[before + 1] = next;
    if (next !== 0) words[next + 2] = before;
  } else {
    words[HEADS + bin] = next;
    if (next === 0) {
      const bits = words[BITS + (bin >>> 5)]! & ~(1 << bin);
      words[BITS + (bin >>> 5)] = bits;
      if (bits === 0) words[GROUPS] = words[GROUPS]! & ~(1 << (bin >>> 5));
    }
  }
  return range + size;
}

/** The first range of the size's own bin, if it is large enough, or of the next one that is not empty; or 0. */
export function find(words: Int32Array, size: number): number {
  let bin = binOf(size);
  const first = words[HEADS + bin]!;
  // The bin of the size itself may hold ranges that are smaller; any later bin fits.
  if (first !== 0 && words[first]! >>> 2 >= size) return first;
  let group = ++bin >>> 5;
  let bits = words[BITS + group]! & (-1 << bin);
  if (bits === 0) {
    const groups = words[GROUPS]! & (-2 << group);
    if (groups === 0) return 0;
    group = 31 - Math.clz32(groups & -groups);
    bits = words[BITS + group]!;
  }
  return words[HEADS + (group << 5) + 31 - Math.clz32(bits & -bits)]!;
}

/** Makes `[start, stop)` of `[range, end)`, which is in no bin, live; what is left before and after it is free, or part of it where it is too small to be a range. */
function place(words: Int32Array, range: number, end: number, start: number, stop: number): void {
  if (end - stop < LEAST_WORDS) {
    stop = end;
    words[end] = words[end]! & ~PREVIOUS_FREE;
  } else insert(words, stop, end);
  if (start !== range) insert(words, range, start);
  words[start] = LIVE | ((stop - start) << 2) | USED | (words[start]! & PREVIOUS_FREE);
}

/** Makes `size` words from `start` on live, which are part of the free range. */
export function carve(words: Int32Array, range: number, start: number, size: number): void {
  place(words, range, remove(words, range), start, start + size);
}

/**
 * Makes `size` words live: a range that was held back, or the first of a bin, what is left of which stays free.
 *
 * @returns the first word, or 0 where no free range is large enough.
 */
export function take(words: Int32Array, size: number): number {
  const held = HELD + (size << 3);
  const count = size < HELD_SIZES ? words[held]! : 0;
  if (count !== 0) {
    const range = words[held + count]!;
    words[held] = count - 1;
    words[range] = words[range]! | LIVE;
    return range;
  }
  const range = find(words, size);
  if (range !== 0) carve(words, range, range, size);
  return range;
}

/**
 * Gives a used range back: it is held back where fewer than `most` of its size are, or merged with its free neighbours.
 *
 * @returns the words of the free range that it is now part of; 0 where it is held back.
 */
export function give(words: Int32Array, range: number, most: number): number {
  const size = sizeOf(words, range);
  const held = HELD + (size << 3);
  if (size < HELD_SIZES && words[held]! < most) {
    const count = words[held]! + 1;
    words[range] = words[range]! ^ LIVE;
    words[held] = count;
    words[held + count] = range;
    return 0;
  }
  let end = range + size;
  const isAfterFree = (words[range]! & PREVIOUS_FREE) !== 0;
  if (isFree(words[end]!)) end = remove(words, end);
  words[range] = 0;
  if (isAfterFree) {
    range -= words[range - 1]!;
    remove(words, range);
  }
  insert(words, range, end);
  return end - range;
}

/** Merges the ranges of `from` up to `to` words that are held back. @returns whether there were any. */
export function letGo(words: Int32Array, from = 0, to: number = HELD_SIZES): boolean {
  let any = false;
  for (let held = HELD + from * 8; held < HELD + to * 8; held += 8) {
    any ||= words[held]! > 0;
    for (; words[held]! > 0; words[held] = words[held]! - 1) give(words, words[held + words[held]!]!, 0);
  }
  return any;
}

/** Makes a live range `size` words long where it is: returns its tail, or takes from the free range after it. @returns whether that was possible. */
export function resize(words: Int32Array, range: number, size: number): boolean {
  let end = range + sizeOf(words, range);
  // Where the range after it is held back, those of its size are merged.
  const after = words[end]! >>> 2;
  if (range + size > end && after < HELD_SIZES) letGo(words, after, after + 1);
  if (isFree(words[end]!) && range + size <= end + (words[end]! >>> 2)) end = remove(words, end);
  if (range + size > end) return false;
  place(words, range, end, range, range + size);
  return true;
}

/** Makes `[start, end)` free: words that are new, or where a chunk ended before. */
export function open(words: Int32Array, start: number, end: number): void {
  words[end] = USED;
  words[start] = ((end - start) << 2) | USED | (words[start]! & PREVIOUS_FREE);
  give(words, start, 0);
}

/** Moves the end of a chunk from `end` down to `to`: what lies between is free. */
export function close(words: Int32Array, end: number, to: number): void {
  const range = end - words[end - 1]!;
  remove(words, range);
  words[to] = USED;
  if (range < to) insert(words, range, to);
}

/** How many words before the end of a chunk are free. */
export function freeBefore(words: Int32Array, end: number): number {
  return words[end]! & PREVIOUS_FREE ? words[end - 1]! : 0;
}

/** Visits the ranges of `[range, end)` in the order of their words. @returns false where headers make no sense: it ends there. */
export function walk(
  words: Int32Array,
  range: number,
  end: number,
  visit: (range: number, size: number, header: number) => void,
): boolean {
  while (range < end) {
    const size = sizeOf(words, range);
    if (size < LEAST_WORDS) return false;
    visit(range, size, words[range]!);
    range += size;
  }
  return range === end;
}

/** Walks the ranges of all chunks, given as first granule and end, all bins, and what is held back. @throws HeapError `corrupt`. */
export function checkRanges(words: Int32Array, chunks: readonly (readonly [first: number, end: number])[]): void {
  const held = new Set<number>();
  for (let size = 0; size < HELD_SIZES; size++) {
    const ranges = words.subarray(HELD + size * 8 + 1).subarray(0, words[HELD + size * 8]);
    requireInvariant(
      ranges.length <= HELD_DEPTH
        && ranges.every((range) => words[range]! >>> 2 === size && held.size < held.add(range).size),
      size,
      "ranges are held back by size, each once",
    );
  }
  let free = 0;
  for (const [first, end] of chunks) {
    const isWhole = walk(words, first, end, (range, size, header) => {
      const isFreeRange = isFree(header);
      const next = words[range + size]!;
      if (isFreeRange) free++;
      requireInvariant(
        isFreeRange === (next & PREVIOUS_FREE) > 0
          && (isFreeRange
            ? !isFree(next) && words[range + size - 1] === size
            : header < 0 || header >= LIVE || held.delete(range)),
        range,
        "a range is live, held back, or free and ends in its size, as the next one knows",
      );
    });
    requireInvariant(
      isWhole && (words[first]! & PREVIOUS_FREE) === 0 && words[end]! >>> 2 === 0,
      first,
      "ranges fill a chunk",
    );
  }
  for (let bin = 0; bin < BINS; bin++) {
    const bits = words[BITS + (bin >>> 5)]!;
    let range = words[HEADS + bin]!;
    let fits = ((bits >>> bin) & 1) === +(range !== 0) && ((words[GROUPS]! >>> (bin >>> 5)) & 1) === +(bits !== 0);
    for (let before = 0; fits && range !== 0; range = words[range + 1]!) {
      fits =
        isFree(words[range] ?? USED)
        && binOf(words[range]! >>> 2) === bin
        && (before === 0 || words[range + 2] === before)
        && --free >= 0;
      before = range;
    }
    requireInvariant(
      fits && (free === 0 || bin < BINS - 1),
      bin,
      "bins list the free ranges by size, their bits say which are not empty",
    );
  }
  requireInvariant(held.size === 0, held.size, "what is held back is in a chunk");
}
