/*
 * Free blocks are sorted into 832 bins by size, 32 to a power of two and exact below 64 words; a two-level bitmap names the bins that are not empty:
 *
 *      word 0         one bit for each group of 32 bins
 *      words 1 … 26   one bit for each bin of a group
 *      words 27 …     the first block of each bin, or 0
 *
 * Invariant: a bin's bit is set ⇔ its first block is not 0; a group's bit is set ⇔ one of its bins' is.
 *
 * A free block of n words, n at least 4, has its size in its first word, its links in the next two, and its size again in its last:
 *
 *      ┌───────┬──────────┬──────────┬─ ─ ─ ─┬─────┐
 *      │ n × 4 │   next   │ previous │       │  n  │
 *      └───────┴──────────┴──────────┴─ ─ ─ ─┴─────┘
 */

/** How many bins there are. */
export const BINS = 832;
/** How many groups of 32 bins. */
export const GROUPS: number = BINS / 32;
/** First of the words with the first blocks. */
export const HEADS: number = 1 + GROUPS;
/** Words that the bins take. */
export const BIN_WORDS: number = HEADS + BINS;

/** The bin of blocks of `words`. */
export function binOf(words: number): number {
  const shift = 26 - Math.clz32(words | 32);
  return (shift << 5) + (words >>> shift);
}

/** The first bin from `bin` on that is not empty, or −1. */
export function nextBin(bins: Int32Array, bin: number): number {
  let group = bin >>> 5;
  let bits = bins[1 + group]! & (-1 << bin);
  if (bits === 0 || group >= GROUPS) {
    const groups = bins[0]! & (-2 << group);
    if (groups === 0) return -1;
    group = 31 - Math.clz32(groups & -groups);
    bits = bins[1 + group]!;
  }
  return (group << 5) + 31 - Math.clz32(bits & -bits);
}

/** Makes `[block, block + words)` free, first in its bin. */
export function insert(tags: Int32Array, bins: Int32Array, block: number, words: number): void {
  const bin = binOf(words);
  const next = bins[HEADS + bin]!;
  tags[block] = words << 2;
  tags[block + 1] = next;
  tags[block + words - 1] = words;
  bins[HEADS + bin] = block;
  if (next !== 0) tags[next + 2] = block;
  else {
    const group = bin >>> 5;
    bins[1 + group] = bins[1 + group]! | (1 << bin);
    bins[0] = bins[0]! | (1 << group);
  }
}

/** Takes a free block of `words` out of its bin. */
export function remove(tags: Int32Array, bins: Int32Array, block: number, words: number): void {
  const next = tags[block + 1]!;
  const bin = binOf(words);
  if (bins[HEADS + bin]! === block) {
    bins[HEADS + bin] = next;
    if (next === 0) clearBin(bins, bin);
  } else {
    const before = tags[block + 2]!;
    tags[before + 1] = next;
    if (next !== 0) tags[next + 2] = before;
  }
}

/** Takes the name of an empty bin out of the bitmap. */
export function clearBin(bins: Int32Array, bin: number): void {
  const group = bin >>> 5;
  const bits = bins[1 + group]! & ~(1 << bin);
  bins[1 + group] = bits;
  if (bits === 0) bins[0] = bins[0]! & ~(1 << group);
}
