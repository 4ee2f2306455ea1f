/*
 * The cheapest run to empty: the fit with the fewest frames in use, none of which is fixed. A small stretch is searched
 * completely; of a large one, the blocks (or rows of blocks) with the most free frames.
 */
import { countOf, GROUP_SPLIT, HANDED, LEAVING, modeOf, PINNED, STACKED, TAKEN, TAKEN_2M, TAKEN_LOW } from "./arena.ts";
import type { Arena } from "./arena.ts";
import { nextFit } from "./runs.ts";
import type { RunWish, Stretch } from "./runs.ts";
import { BLOCK_FRAMES } from "./units.ts";

/** A candidate: its dense start, or −1 where every fit has a fixed frame; and whether RAM for a fit exists at all. */
export interface Candidate {
  readonly start: number;
  readonly exists: boolean;
}

/** Cost of a frame that cannot be moved. More than all movable frames of a stretch together. */
const FIXED = 2 ** 32;
/** Cost of no RAM at all, or RAM that is retired. */
const ABSENT = 2 ** 42;

/** Stretches of up to 8 blocks, the low zone among them, are searched completely. */
const COMPLETE_FRAMES: number = 8 * BLOCK_FRAMES;
/** Candidates looked at in a larger stretch. */
const CANDIDATES = 64;

/** Cost by state byte, of a frame whose bit is clear. */
const COSTS: Float64Array = new Float64Array(256).fill(FIXED);
for (const state of [TAKEN, TAKEN_LOW, TAKEN + LEAVING, TAKEN_LOW + LEAVING, TAKEN_2M]) COSTS[state] = 1;
COSTS.fill(1, STACKED);
COSTS.fill(ABSENT, 1, 3);

/** Finds the cheapest run of a stretch. */
export function cheapestRun(arena: Arena, stretch: Stretch, wish: RunWish): Candidate {
  if (stretch.to - stretch.from <= COMPLETE_FRAMES) return cheapestIn(arena, stretch, wish);
  let best: Candidate = { start: -1, exists: false };
  let bestCost = FIXED;
  for (const part of likelyParts(arena, stretch, wish.frames)) {
    const found = cheapestIn(arena, part, wish);
    const cost = found.start < 0 ? FIXED : costOf(arena, found.start, found.start + wish.frames);
    if (cost < bestCost) {
      best = found;
      bestCost = cost;
    } else if (best.start < 0 && found.exists) best = { start: -1, exists: true };
  }
  return best;
}

/** Rows of blocks long enough for a run, those with the most free frames first. */
function likelyParts(arena: Arena, stretch: Stretch, frames: number): Stretch[] {
  const rows = Math.ceil(frames / BLOCK_FRAMES);
  const first = stretch.from >>> 9;
  const last = Math.ceil(stretch.to / BLOCK_FRAMES) - rows;
  const parts: { free: number; block: number }[] = [];
  let free = 0;
  for (let block = first; block < first + rows - 1; block += 1) free += freeIn(arena, block);
  let least = -1;
  for (let block = first; block <= last; block += 1) {
    free += freeIn(arena, block + rows - 1);
    if (free > least || parts.length < CANDIDATES) {
      parts.push({ free, block });
      if (parts.length >= 2 * CANDIDATES) {
        parts.sort((a, b) => b.free - a.free).length = CANDIDATES;
        least = parts[parts.length - 1]?.free ?? -1;
      }
    }
    free -= freeIn(arena, block);
  }
  parts.sort((a, b) => b.free - a.free);
  return parts.slice(0, CANDIDATES).map(({ block }) => ({
    from: Math.max(stretch.from, block * BLOCK_FRAMES),
    to: Math.min(stretch.to, (block + rows) * BLOCK_FRAMES),
    base: stretch.base,
  }));
}

function freeIn(arena: Arena, block: number): number {
  if (arena.groupMode(block >>> 9) !== GROUP_SPLIT) return 0;
  const word = Atomics.load(arena.blocks, block);
  return modeOf(word) === HANDED ? 0 : countOf(word);
}

/** Slides over every fit of a stretch. */
function cheapestIn(arena: Arena, { from, to, base }: Stretch, wish: RunWish): Candidate {
  let start = nextFit(from + base, wish) - base;
  let best = -1;
  let bestCost = FIXED;
  let exists = false;
  let cost = 0;
  let summedTo = start;
  let summedFrom = start;
  while (start + wish.frames <= to) {
    if (summedTo <= start) {
      cost = costOf(arena, start, start + wish.frames);
    } else {
      cost += costOf(arena, summedTo, start + wish.frames) - costOf(arena, summedFrom, start);
    }
    summedFrom = start;
    summedTo = start + wish.frames;
    if (cost < ABSENT) exists = true;
    if (cost < bestCost) {
      best = start;
      bestCost = cost;
      if (cost <= 1) break;
    }
    start = nextFit(start + 1 + base, wish) - base;
  }
  return { start: best, exists };
}

/** The summed cost of dense frames `[from, to)`. */
function costOf(arena: Arena, from: number, to: number): number {
  let cost = 0;
  for (let frame = from; frame < to; frame += 1) {
    if ((frame & 31) === 0 || frame === from) {
      const block = frame >>> 9;
      if (arena.groupMode(frame >>> 18) !== GROUP_SPLIT || modeOf(arena.blocks[block]!) === HANDED) {
        const head = arena.groupMode(frame >>> 18) === GROUP_SPLIT ? block * BLOCK_FRAMES : frame & ~0x3ffff;
        const end = Math.min(to, (block + 1) * BLOCK_FRAMES);
        cost += (end - frame) * ((arena.state[head]! & PINNED) === 0 ? 1 : FIXED);
        frame = end - 1;
        continue;
      }
    }
    if ((arena.bits[frame >>> 5]! & (1 << (frame & 31))) === 0) cost += COSTS[arena.state[frame]!]!;
  }
  return cost;
}
