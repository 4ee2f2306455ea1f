import { PmmError } from "./errors.ts";
import { PFN_LIMIT } from "./units.ts";
import type { Pfn } from "./units.ts";

/** A run of usable RAM frames `[start, end)` with one set of properties. */
export interface FrameRange {
  /** First frame. */
  readonly start: Pfn;
  /** One past the last frame. */
  readonly end: Pfn;
  /** NUMA node, ≥ 0. */
  readonly node: number;
  /** Power rank: frames of equal rank can be put to self-refresh together. */
  readonly rank: number;
  /** True when the range may be taken offline at run time. */
  readonly hotPluggable: boolean;
  /** Frames inside the range that are known to be bad; they are retired from the start. */
  readonly faulty: readonly Pfn[];
}

/** Returns the ranges in ascending order; throws `bad-range` for what is no set of disjoint ranges. */
export function sortedRanges(ranges: readonly FrameRange[]): FrameRange[] {
  const sorted = [...ranges].sort((a, b) => a.start - b.start);
  let last = 0;
  for (const range of sorted) {
    const sound =
      Number.isInteger(range.start) && Number.isInteger(range.end) && range.start >= 0 && range.end <= PFN_LIMIT;
    if (!sound || range.start >= range.end) {
      throw new PmmError("bad-range", `A range must have 0 ≤ start < end ≤ 2^40: [${range.start}, ${range.end})`);
    }
    if (range.start < last) {
      throw new PmmError("bad-range", "Two ranges overlap", { pfn: range.start });
    }
    if (!Number.isInteger(range.node) || range.node < 0) {
      throw new PmmError("bad-range", `A range's node must be an integer ≥ 0, not ${range.node}`);
    }
    last = range.end;
  }
  return sorted;
}
