/*
 * Free blocks are sorted into 832 bins by size, 32 to a power of two and exact below 64 words; a two-level bitmap names the bins that are not empty:
 *
 *      word 0         one bit for each group of 32 bins
 *      words 1 … 26   one bit for each bin of a group
 *      words 27 …     the first block of each bin, or 0
 *
 * Invariant: a bin's bit is set ⇔ its first block is not 0; a group's bit is set ⇔ one of its bins' is.
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
  const shift = Math.max(26 - Math.clz32(words), 0);
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

/** Takes the name of an empty bin out of the bitmap. */
export function clearBin(bins: Int32Array, bin: number): void {
  const group = bin >>> 5;
  const bits = bins[1 + group]! & ~(1 << bin);
  bins[1 + group] = bits;
  if (bits === 0) bins[0] = bins[0]! & ~(1 << group);
}
