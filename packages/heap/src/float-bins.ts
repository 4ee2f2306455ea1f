/*
 * Free ranges are sorted into bins whose sizes grow as a floating-point number with three bits of mantissa does:
 *
 *      granules   0 1 2 3 4 5 6 7 8 9 … 15   16 18 20 … 30   32 36 40 … 60   64 72 …
 *                 └──── exact ────────────┘  └─ 2 apart ──┘  └─ 4 apart ──┘  └─ 8 apart
 *
 * so that a range taken from the next bin up is at most 12.5 % larger than what was asked for, and what is left of it is free again.
 * Aaltonen, OffsetAllocator (2023).
 */
const MANTISSA = 3;
/** How many bins there are: enough for 2^53 granules. */
export const BINS = 512;

/** The bin of ranges of `granules`. */
export function binDown(granules: number): number {
  if (granules < 16) return granules;
  const large = granules < 2 ** 31 ? 0 : Math.floor(Math.log2(granules)) - 30;
  // What is cut off below does not change the bin.
  const high = large === 0 ? granules : Math.floor(granules / 2 ** large);
  const shift = 31 - MANTISSA - Math.clz32(high);
  return ((shift + large) << MANTISSA) + (high >>> shift);
}

/** The first bin all of whose ranges are at least `granules`. */
export function binUp(granules: number): number {
  return granules < 16 ? granules : binDown(granules - 1) + 1;
}
