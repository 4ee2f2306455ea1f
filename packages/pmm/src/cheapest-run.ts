/*
 * The cheapest run to empty: the fit with the fewest frames in use, none of which is fixed. A small stretch is searched
 * completely; of a large one, the blocks (or rows of blocks) with the most free frames.
 */
import { countOf, GROUP_SPLIT, HANDED, modeOf } from "./arena.ts";
import type { Arena } from "./arena.ts";
import { ABSENT, COSTS, FIXED, uniformCost } from "./move-cost.ts";
import { nextFit } from "./runs.ts";
import type { Candidate, RunWish, Stretch } from "./runs.ts";
import { BLOCK_FRAMES } from "./units.ts";
import type { Pfn } from "./units.ts";
import { cheapestInWords, staysInWord } from "./word-runs.ts";
import { groupOfBlock } from "./layout.ts";

/** Stretches of up to 8 blocks, the low zone among them, are searched completely. */
const COMPLETE_FRAMES: number = 8 * BLOCK_FRAMES;
/** Candidates looked at in a larger stretch. */
const CANDIDATES = 64;

/** Finds the cheapest run of a stretch. */
export function cheapestRun(arena: Arena, stretch: Stretch, wish: RunWish): Candidate {
  if (stretch.to - stretch.from <= COMPLETE_FRAMES) {
    return staysInWord(wish) ? cheapestInWords(arena, stretch, wish) : cheapestIn(arena, stretch, wish);
  }
  let best: Candidate = { start: -1, exists: false, complete: false };
  let bestCost = FIXED;
  for (const part of likelyParts(arena, stretch, wish.frames)) {
    const found = cheapestIn(arena, part, wish);
    const cost = found.start < 0 ? FIXED : costOf(arena, found.start, found.start + wish.frames);
    if (cost < bestCost) {
      best = { ...found, complete: false };
      bestCost = cost;
    } else if (best.start < 0 && found.exists) best = { start: -1, exists: true, complete: false };
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
  if (arena.groupMode(groupOfBlock(block)) !== GROUP_SPLIT) return 0;
  const word = Atomics.load(arena.blocks, block);
  return modeOf(word) === HANDED ? 0 : countOf(word);
}

/** Room for the sums of a stretch that is searched completely: no allocation on that path. */
const SUMS: Float64Array = new Float64Array(COMPLETE_FRAMES + 1);

/** Slides over every fit of a stretch: costs summed up once, then two reads per fit. */
function cheapestIn(arena: Arena, { from, to, base }: Stretch, wish: RunWish): Candidate {
  const { frames } = wish;
  const sums = to - from <= COMPLETE_FRAMES ? SUMS : new Float64Array(to - from + 1);
  sumCosts(arena, from, to, sums);
  let best = -1;
  let bestCost = FIXED;
  let exists = false;
  const masks = wish.alignment <= 2 ** 10 && wish.boundary <= 2 ** 30;
  for (let start = nextFit(from + base, wish) - base; start + frames <= to;) {
    const cost = sums[start - from + frames]! - sums[start - from]!;
    if (cost < ABSENT) exists = true;
    if (cost < bestCost) {
      best = start;
      bestCost = cost;
      if (cost <= 1) break;
    }
    start = masks ? start + 1 : nextFit(start + 1 + base, wish) - base;
    while (masks && start < to && !isFit(start + base, wish)) start += 1;
  }
  return { start: best, exists, complete: to - from <= COMPLETE_FRAMES };
}

/** `nextFit(pfn) === pfn` by masks, for limits up to 2^30. */
function isFit(pfn: Pfn, { frames, alignment, boundary }: RunWish): boolean {
  return (pfn & (alignment - 1)) === 0 && (boundary === 0 || (pfn & (boundary - 1)) + frames <= boundary);
}

/** The summed cost of dense frames `[from, to)`. */
function costOf(arena: Arena, from: number, to: number): number {
  const sums = new Float64Array(to - from + 1);
  sumCosts(arena, from, to, sums);
  return sums[to - from]!;
}

/** `sums[i]` = cost of the first i frames from `from` on. */
function sumCosts(arena: Arena, from: number, to: number, sums: Float64Array): void {
  const { bits, state } = arena;
  let sum = 0;
  sums[0] = 0;
  for (let frame = from; frame < to;) {
    const stop = Math.min(to, (frame & ~31) + 32);
    const uniform = uniformCost(arena, frame);
    const free = uniform >= 0 ? -1 : bits[frame >>> 5]!;
    if (free === -1) {
      const step = Math.max(0, uniform);
      for (; frame < stop; frame += 1) {
        sum += step;
        sums[frame - from + 1] = sum;
      }
    }
    for (; frame < stop; frame += 1) {
      if ((free & (1 << (frame & 31))) === 0) sum += COSTS[state[frame]!]!;
      sums[frame - from + 1] = sum;
    }
  }
}
