import { requireInvariant } from "./allocator.ts";
import { BINS, binOf, GROUPS, HEADS } from "./bins.ts";
import { HELD, HELD_DEPTH, MIN_WORDS, PREVIOUS_FREE, STARTS, USED } from "./boundary-tags.ts";
import type { BoundaryTags } from "./boundary-tags.ts";

/** Walks all blocks, all bins and what is held back. @throws HeapError `corrupt`. */
export function checkTags(core: BoundaryTags): void {
  const { tags, state, shift } = core;
  let live = 0;
  let free = 0;
  let held = 0;
  for (const chunk of core.chunks) {
    requireInvariant(
      (tags[chunk.first << shift]! & PREVIOUS_FREE) === 0,
      chunk.address,
      "no block is before a chunk's first",
    );
    requireInvariant(
      (tags[core.endOf(chunk) << shift]! | PREVIOUS_FREE) === (USED | PREVIOUS_FREE),
      chunk.address,
      "a chunk ends in a used header of no words",
    );
  }
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
    requireInvariant(
      isFree === ((next & PREVIOUS_FREE) !== 0),
      granule,
      "a header knows whether the block before it is free",
    );
    if (isFree) {
      free++;
      requireInvariant(
        !isUsed && (next & USED) !== 0 && tags[block + words - 1] === words,
        granule,
        "a free block ends in its size, has no bit, and touches no other",
      );
    } else if (isUsed) live++;
    else {
      held++;
      const magazine = HELD + words * (HELD_DEPTH + 1);
      const at = state.indexOf(granule, magazine + 1);
      requireInvariant(
        at > magazine && at <= magazine + state[magazine]!,
        granule,
        "a used block without a bit is held back",
      );
    }
  });
  requireInvariant(isWhole, 0, "blocks fill every chunk");
  for (let word = STARTS; word < state.length; word++)
    for (let left = state[word]!; left !== 0; left &= left - 1) live--;
  for (let magazine = HELD; magazine < STARTS; magazine += HELD_DEPTH + 1) held -= state[magazine]!;
  requireInvariant(live === 0 && held === 0, live, "the bitmap names the live blocks, magazines those held back");
  for (let bin = 0; bin < BINS; bin++) {
    let before = 0;
    let block = state[HEADS + bin]!;
    requireInvariant(
      ((state[1 + (bin >>> 5)]! & (1 << bin)) !== 0) === (block !== 0),
      bin,
      "a bin's bit is set exactly where it holds a block",
    );
    while (block !== 0) {
      const header = tags[block] ?? USED;
      const fits = (header & USED) === 0 && binOf(header >>> 2) === bin && (before === 0 || tags[block + 2] === before);
      requireInvariant(fits && --free >= 0, block, "a bin lists free blocks of its sizes, each once");
      before = block;
      block = tags[block + 1]!;
    }
  }
  for (let group = 0; group < GROUPS; group++)
    if (((state[0]! & (1 << group)) !== 0) !== (state[1 + group] !== 0)) free = -1;
  requireInvariant(free === 0, free, "every free block is in a bin, every bin's group is named");
}
