/*
 * Sums that are kept beside what they sum up: free frames per zone, frames in use per rank. A worker changes a block and then the sum; one that
 * died in between leaves the sum off by a little, for good. The error is found by adding up the blocks while nobody is between the two steps:
 *
 *   each worker's turn   even: its changes and the sums agree;   odd: it is between the two
 *
 * If all turns are even and the same before and after the walk, nothing changed during it: the error is what was counted less the sum. It stays
 * what it is whatever comes later, so it is added to the sum by one atomic step.
 */
import {
  COUNTS_OFF,
  countOf,
  GROUP_SPLIT,
  GROUP_WHOLE,
  GROUPS_USED,
  HANDED,
  HOLE,
  modeOf,
  RANK_USED,
  RETIRED,
  ZONE_FREE,
} from "./arena.ts";
import type { Core } from "./core.ts";
import { GROUP_BLOCKS, groupOfBlock } from "./layout.ts";
import { BLOCK_FRAMES, GROUP_FRAMES } from "./units.ts";

/**
 * Makes the sums exact again after a recovery. False where other workers are at work just now: the next look tries again. Cost: one read where
 * there is nothing to do, else O(blocks), and O(frames) of split groups where use is counted per rank.
 */
export function settleCounts(core: Core): boolean {
  const { arena } = core;
  const off = Atomics.load(arena.control, COUNTS_OFF);
  if (off === 0) return true;
  const before = turnsOf(core);
  if (before.some((turn) => (turn & 1) === 1)) return false;
  arena.turn(core.worker);
  const errors = errorsOf(core);
  const isQuiet = turnsOf(core).every((turn, worker) => turn === before[worker]);
  if (isQuiet) {
    for (const [word, error] of errors) if (error !== 0) Atomics.add(arena.control, word, error);
    Atomics.compareExchange(arena.control, COUNTS_OFF, off, 0);
  }
  arena.turn(core.worker);
  return isQuiet;
}

/** The turns of all workers but this one, whose own is 0 here. */
function turnsOf(core: Core): number[] {
  const { arena } = core;
  const { workers } = arena.layout.geometry;
  return Array.from({ length: workers }, (_, worker) => (worker === core.worker ? 0 : arena.turnOf(worker)));
}

/** By control word, what the blocks add up to less what the word says. */
function errorsOf(core: Core): Map<number, number> {
  const { arena } = core;
  const { ranked } = arena.layout.geometry;
  const errors = new Map<number, number>();
  const add = (word: number, amount: number): void => {
    errors.set(word, (errors.get(word) ?? -Atomics.load(arena.control, word)) + amount);
  };
  for (const { index } of core.zones) add(ZONE_FREE + index, 0);
  const used = Atomics.load(arena.control, GROUPS_USED);
  for (let group = 0; group < used; group += 1) {
    const mode = arena.groupMode(group);
    if (mode === GROUP_WHOLE) add(ZONE_FREE + arena.nodeIndexOf(group * GROUP_FRAMES), GROUP_FRAMES);
    for (let block = group * GROUP_BLOCKS; block < (group + 1) * GROUP_BLOCKS; block += 1) {
      if (ranked) add(RANK_USED + arena.ranks[block]!, usedIn(core, block));
      const word = Atomics.load(arena.blocks, block);
      if (mode !== GROUP_SPLIT || modeOf(word) === HANDED) continue;
      add(ZONE_FREE + core.zoneOf(block * BLOCK_FRAMES).index, countOf(word));
    }
  }
  return errors;
}

/** Frames of a block that are there and not free in the block. */
export function usedIn(core: Core, block: number): number {
  const { arena } = core;
  const mode = arena.groupMode(groupOfBlock(block));
  const word = Atomics.load(arena.blocks, block);
  if (mode === GROUP_WHOLE) return 0;
  if (mode !== GROUP_SPLIT || modeOf(word) === HANDED) return BLOCK_FRAMES;
  let present = 0;
  for (let frame = block * BLOCK_FRAMES; frame < (block + 1) * BLOCK_FRAMES; frame += 1) {
    if (arena.state[frame] !== HOLE && arena.state[frame] !== RETIRED) present += 1;
  }
  return present - countOf(word);
}
