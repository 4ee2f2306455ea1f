import { requireInvariant } from "./allocator.ts";
import { BINS, binOf, GROUPS, HEADS } from "./bins.ts";
import { HELD, HELD_DEPTH, HELD_SIZES, MIN_WORDS, PREVIOUS_FREE, USED } from "./boundary-tags.ts";
import type { BoundaryTags } from "./boundary-tags.ts";

/** Walks all blocks, all bins and what is held back. @throws HeapError `corrupt`. */
export function checkTags(core: BoundaryTags): void {
  const { tags, starts, regions } = core;
  let live = 0;
  let free = 0;
  let held = 0;
  for (const { start, end } of regions) {
    let before = 0;
    for (let block = start; block < end - 1;) {
      const header = tags[block]!;
      const words = core.wordsOf(block);
      requireInvariant(words >= MIN_WORDS && block + words < end, block, "a block lies within its region");
      requireInvariant(
        (header & PREVIOUS_FREE) === before,
        block,
        "a header knows whether the block before it is free",
      );
      if (core.isUsed(block)) live++;
      if ((header & USED) === 0) {
        free++;
        requireInvariant(
          before === 0 && tags[block + words - 1] === words && !core.isUsed(block),
          block,
          "a free block ends in its size, has no start, and touches no other",
        );
      } else if (!core.isUsed(block)) held++;
      before = (header & USED) === 0 ? PREVIOUS_FREE : 0;
      block += words;
    }
    requireInvariant(tags[end - 1] === (before | USED), end, "a region ends in a used header of no words");
  }
  for (const word of starts) for (let left = word; left !== 0; left &= left - 1) live--;
  requireInvariant(live === 0, live, "the bitmap of starts names the live blocks");
  checkHeld(core, held);
  checkBins(core, free);
}

function checkHeld(core: BoundaryTags, held: number): void {
  const { tags, state } = core;
  let unlisted = held;
  for (let words = 0; words < HELD_SIZES; words++) {
    let block = state[HELD + 2 * words]!;
    const count = HELD_DEPTH - state[HELD + 2 * words + 1]!;
    requireInvariant(count >= 0 && count <= HELD_DEPTH, count, "a few blocks of a size are held back");
    for (let left = count; left > 0; left--) {
      const holds = tags[block]! >>> 2 === words && (tags[block]! & USED) !== 0 && !core.isUsed(block);
      requireInvariant(holds && block !== 0, block, "a block that is held back has its size and no start");
      unlisted--;
      block = tags[block + 1]!;
    }
    requireInvariant(block === 0, block, "a list of blocks held back is as long as it is counted");
  }
  requireInvariant(unlisted === 0, held, "every used block without a start is held back");
}

function checkBins({ tags, state }: BoundaryTags, free: number): void {
  let unlisted = free;
  for (let bin = 0; bin < BINS; bin++) {
    const isNamed = (state[1 + (bin >>> 5)]! & (1 << bin)) !== 0;
    let before = 0;
    let block = state[HEADS + bin]!;
    requireInvariant(isNamed === (block !== 0), bin, "a bin's bit is set exactly where it holds a block");
    while (block !== 0) {
      const header = tags[block] ?? USED;
      const fits = (header & USED) === 0 && binOf(header >>> 2) === bin && tags[block + 2] === before;
      requireInvariant(fits && --unlisted >= 0, block, "a bin lists free blocks of its sizes, each once");
      before = block;
      block = tags[block + 1]!;
    }
  }
  requireInvariant(unlisted === 0, unlisted, "every free block is in a bin");
  for (let group = 0; group < GROUPS; group++)
    requireInvariant(
      ((state[0]! & (1 << group)) !== 0) === (state[1 + group] !== 0),
      group,
      "a group's bit is set exactly where one of its bins holds a block",
    );
}
