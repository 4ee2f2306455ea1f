/* What it costs to empty a frame, by its state byte: nothing, one move, or more than can be paid. */
import {
  GROUP_SPLIT,
  GROUP_WHOLE,
  HANDED,
  LEAVING,
  modeOf,
  PINNED,
  STACKED,
  TAKEN,
  TAKEN_LOW,
  WIRED,
} from "./arena.ts";
import type { Arena } from "./arena.ts";
import { groupOf } from "./layout.ts";
import { GROUP_FRAMES } from "./units.ts";

/** Cost of a frame that cannot be moved. More than all movable frames of a stretch together. */
export const FIXED: number = 2 ** 32;
/** Cost of no RAM at all, or RAM that is retired. */
export const ABSENT: number = 2 ** 42;

/** Cost by state byte, of a frame whose bit is clear. The words of word-runs.ts say the same of four bytes at once. */
export const COSTS: Float64Array = new Float64Array(256).fill(FIXED);
for (const state of [TAKEN, TAKEN_LOW, TAKEN + LEAVING, TAKEN_LOW + LEAVING]) COSTS[state] = 1;
COSTS.fill(1, STACKED);
COSTS.fill(ABSENT, 1, 3);

/** The cost of each frame of a group or block that is free or used as one; −1 where every frame counts for itself. */
export function uniformCost(arena: Arena, frame: number): number {
  const group = arena.groupMode(groupOf(frame));
  if (group === GROUP_WHOLE) return 0;
  const isSplit = group === GROUP_SPLIT;
  if (isSplit && modeOf(arena.blocks[frame >>> 9]!) !== HANDED) return -1;
  const head = isSplit ? frame & ~511 : frame & -GROUP_FRAMES;
  return (arena.state[head]! & (PINNED | WIRED)) === 0 ? 1 : FIXED;
}
