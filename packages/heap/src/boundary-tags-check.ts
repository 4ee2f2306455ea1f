import { requireInvariant } from "./allocator.ts";
import { binOf, BINS, HEADS, HELD, HELD_SIZES, MIN_WORDS, PREVIOUS_FREE, STARTS, USED, walk } from "./boundary-tags.ts";

/** Walks the blocks of all chunks, given as first granule and end, all bins, and what is held back. @throws HeapError `corrupt`. */
export function checkTags(
  tags: Int32Array,
  state: Int32Array,
  shift: number,
  chunks: readonly (readonly [first: number, end: number])[],
): void {
  let used = 0;
  let free = 0;
  for (const [first, end] of chunks) {
    const isWhole = walk(tags, state, shift, first, end, (granule, granules, isUsed) => {
      const block = granule << shift;
      const words = granules << shift;
      const header = tags[block]!;
      const next = tags[block + words]!;
      const isFree = (header & USED) === 0;
      const magazine = HELD + words * 8;
      if (isFree) free++;
      else used++;
      requireInvariant(
        words >= MIN_WORDS
          && (header < 0 || header >>> 2 === words)
          && isFree === (next & PREVIOUS_FREE) > 0
          && (isFree
            ? !isUsed && (next & USED) !== 0 && tags[block + words - 1] === words
            : isUsed
              || (words < HELD_SIZES
                && state.subarray(magazine + 1, magazine + 1 + state[magazine]!).includes(granule))),
        granule,
        "a block is used, held back, or free and ends in its size, as the next one knows",
      );
    });
    requireInvariant(
      isWhole && (tags[first << shift]! & PREVIOUS_FREE) === 0 && tags[end << shift]! >>> 2 === 0,
      first,
      "blocks fill a chunk",
    );
  }
  for (let size = 0; size < HELD_SIZES; size++) used -= state[HELD + size * 8]!;
  for (const word of state.subarray(STARTS)) for (let left = word; left !== 0; left &= left - 1) used--;
  requireInvariant(used === 0, used, "the bitmap names the used blocks");
  for (let bin = 0; bin < BINS; bin++) {
    const group = bin >>> 5;
    const bits = state[1 + group]!;
    let block = state[HEADS + bin]!;
    let fits = ((bits >>> bin) & 1) === +(block !== 0) && ((state[0]! >>> group) & 1) === +(bits !== 0);
    for (let before = 0; fits && block !== 0; block = tags[block + 1]!) {
      fits =
        ((tags[block] ?? USED) & USED) === 0
        && binOf(tags[block]! >>> 2) === bin
        && (before === 0 || tags[block + 2] === before)
        && --free >= 0;
      before = block;
    }
    requireInvariant(
      fits && (free === 0 || bin < BINS - 1),
      bin,
      "bins list the free blocks by size, their bits say which are not empty",
    );
  }
}
