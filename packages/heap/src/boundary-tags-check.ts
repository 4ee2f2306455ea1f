import { requireInvariant } from "./allocator.ts";
import { BINS, binOf, HEADS } from "./bins.ts";
import { HELD, HELD_DEPTH, HELD_SIZES, MIN_WORDS, PREVIOUS_FREE, STARTS, USED } from "./boundary-tags.ts";
import type { BoundaryTags } from "./boundary-tags.ts";

/** Walks all blocks, all bins and what is held back. @throws HeapError `corrupt`. */
export function checkTags(core: BoundaryTags): void {
  const { tags, state, shift } = core;
  let live = 0;
  let free = 0;
  let held = 0;
  const isWhole = core.walk((granule, granules, isUsed) => {
    const block = granule << shift;
    const words = granules << shift;
    const header = tags[block]!;
    const next = tags[block + words]!;
    const isFree = (header & USED) === 0;
    requireInvariant(
      words >= MIN_WORDS && (header < 0 || header >>> 2 === words),
      granule,
      "a block is whole granules",
    );
    requireInvariant(isFree === (next & PREVIOUS_FREE) > 0, granule, "a header knows whether the block before is free");
    if (isFree)
      requireInvariant(
        !isUsed && (next & USED) !== 0 && tags[block + words - 1] === words,
        granule,
        "a free block ends in its size, has no bit, and touches no other",
      );
    if (isFree) free++;
    else if (isUsed) live++;
    else {
      const magazine = HELD + words * (HELD_DEPTH + 1);
      const at = state.indexOf(granule, magazine + 1);
      requireInvariant(
        words < HELD_SIZES && at > magazine && at <= magazine + state[magazine]!,
        granule,
        "a used block without a bit is held back",
      );
      held++;
    }
  });
  for (const chunk of core.chunks)
    requireInvariant(
      isWhole && (tags[chunk.first << shift]! & PREVIOUS_FREE) === 0 && tags[core.endOf(chunk) << shift]! >>> 2 === 0,
      chunk.address,
      "blocks fill a chunk, up to a header of no words",
    );
  for (let magazine = HELD; magazine < STARTS; magazine += HELD_DEPTH + 1) held -= state[magazine]!;
  for (const word of state.subarray(STARTS)) for (let left = word; left !== 0; left &= left - 1) live--;
  requireInvariant(live === 0 && held === 0, live, "the bitmap names the live blocks, magazines those held back");
  checkBins(core, free);
}

function checkBins({ tags, state }: BoundaryTags, free: number): void {
  let left = free;
  for (let bin = 0; bin < BINS; bin++) {
    const group = bin >>> 5;
    let before = 0;
    let block = state[HEADS + bin]!;
    requireInvariant(
      ((state[1 + group]! & (1 << bin)) !== 0) === (block !== 0)
        && ((state[0]! & (1 << group)) !== 0) === (state[1 + group] !== 0),
      bin,
      "the bit of a bin, and of its group, is set exactly where there is a block",
    );
    while (block !== 0) {
      const header = tags[block] ?? USED;
      const fits = (header & USED) === 0 && binOf(header >>> 2) === bin;
      requireInvariant(
        fits && (before === 0 || tags[block + 2] === before) && --left >= 0,
        block,
        "a bin lists free blocks of its sizes, each once",
      );
      before = block;
      block = tags[block + 1]!;
    }
  }
  requireInvariant(left === 0, left, "every free block is in a bin");
}
