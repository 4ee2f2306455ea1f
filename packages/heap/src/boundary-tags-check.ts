import { requireInvariant } from "./allocator.ts";
import { binOf, BINS, HEADS, HELD, HELD_SIZES, PREVIOUS_FREE, STARTS, USED, walk } from "./boundary-tags.ts";

const SENTENCE = "boundary tags, bins and bitmap contradict each other";

/** Walks the blocks of all chunks, given as first word and end, all bins, and what is held back. @throws HeapError `corrupt`. */
export function checkTags(
  tags: Int32Array,
  state: Int32Array,
  chunks: readonly (readonly [first: number, end: number])[],
): void {
  let heads = 0;
  let used = 0;
  for (const [first, end] of chunks) {
    let flags = 0;
    const isWhole = walk(tags, state, first, end, (block, words, isUsed) => {
      const header = tags[block]!;
      const next = tags[block + 1]!;
      const magazine = HELD + words * 8;
      const bin = HEADS + binOf(words);
      const isFree = (header & USED) === 0;
      requireInvariant(
        (header & PREVIOUS_FREE) === flags
          && (isFree
            ? flags === 0
              && !isUsed
              && tags[block + words - 1] === words
              && (next === 0 || (tags[next + 2] === block && binOf(tags[next]! >>> 2) + HEADS === bin))
              && (state[bin] === block || tags[tags[block + 2]! + 1] === block)
            : isUsed
              || (words < HELD_SIZES && state.subarray(magazine + 1, magazine + 1 + state[magazine]!).includes(block))),
        block,
        SENTENCE,
      );
      flags = isFree ? PREVIOUS_FREE : 0;
      if (!isFree) used++;
      else if (state[bin] === block) heads++;
    });
    requireInvariant(isWhole && tags[end] === (USED | flags), end, SENTENCE);
  }
  for (let size = 0; size < HELD_SIZES; size++) used -= state[HELD + size * 8]!;
  for (const word of state.subarray(STARTS)) for (let left = word; left !== 0; left &= left - 1) used--;
  for (let bin = 0; bin < BINS; bin++) {
    const bits = state[1 + (bin >>> 5)]!;
    const isEmpty = state[HEADS + bin] === 0;
    if (!isEmpty) heads--;
    requireInvariant(
      isEmpty === ((bits >>> bin) & 1) < 1 && (bits === 0) === ((state[0]! >>> (bin >>> 5)) & 1) < 1,
      bin,
      SENTENCE,
    );
  }
  requireInvariant(heads === 0 && used === 0, used, SENTENCE);
}
