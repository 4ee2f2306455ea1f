/*
 * Runs that cannot leave a word of 32 frames (ISA DMA: at most 16 frames, not crossing 64 KiB). All starts of a word are
 * tested at once; state bytes, four at a time, are read only where the count of free bits says that the word can be cheaper than the
 * best. What is found here is only a proposal: the claim that follows decides.
 */
import {
  bitCount,
  FULL,
  GROUP_SPLIT,
  GROUP_WHOLE,
  HANDED,
  HOLE,
  LEAVING,
  modeOf,
  RETIRED,
  TAKEN,
  TAKEN_LOW,
} from "./arena.ts";
import type { Arena } from "./arena.ts";
import { FIXED, uniformCost } from "./move-cost.ts";
import type { Candidate, RunWish, Stretch } from "./runs.ts";
import { leastWindow, LONGEST_WINDOW, windowsOf } from "./windows.ts";
import { groupOfBlock } from "./layout.ts";

/** True where every fit lies inside one word, and its price inside five bits. */
export function staysInWord({ frames, alignment, boundary }: RunWish): boolean {
  return boundary > 0 && boundary <= LONGEST_WINDOW && alignment <= 32 && frames <= boundary;
}

/** The first free run of a stretch that fits: its dense start, or −1. Cost: O(words), full blocks apart. */
export function findInWords(arena: Arena, { from, to }: Stretch, wish: RunWish): number {
  const starts = startsOf(wish);
  const last = (to - 1) >>> 5;
  for (let word = from >>> 5; word <= last;) {
    const stop = Math.min(last, word | 15);
    const group = arena.groupMode(groupOfBlock(word >>> 4));
    const mode = group === GROUP_SPLIT ? modeOf(arena.blocks[word >>> 4]!) : HANDED;
    const isWhole = group === GROUP_WHOLE;
    if (!isWhole && (mode === FULL || mode === HANDED)) {
      word = stop + 1;
      continue;
    }
    for (; word <= stop; word += 1) {
      const free = (isWhole ? -1 : arena.bits[word]!) & coverOf(word, from, to);
      const fits = free === 0 ? 0 : windowsOf(free, wish.frames) & starts;
      if (fits !== 0) return word * 32 + 31 - Math.clz32(fits & -fits);
    }
  }
  return -1;
}

/**
 * The fit of a stretch with the fewest frames to move, the lowest of equals. Cost, whatever the disorder: per word of 32 frames one
 * bit word and at most two times eight words of state are read, and all starts priced at once; DESIGN.md adds that up.
 */
export function cheapestInWords(arena: Arena, { from, to }: Stretch, wish: RunWish): Candidate {
  const { frames } = wish;
  const starts = startsOf(wish);
  let best = -1;
  let bestCost = frames + 1;
  let exists = false;
  let uniform = -1;
  for (let word = from >>> 5; word <= (to - 1) >>> 5 && bestCost > 1; word += 1) {
    if ((word & 15) === 0 || word === from >>> 5) uniform = uniformCost(arena, word * 32);
    const free = uniform >= 0 ? (uniform === 0 ? -1 : 0) : arena.bits[word]!;
    if (frames - bitCount(free) >= bestCost) continue;
    const cover = coverOf(word, from, to);
    const stuck = uniform >= 0 ? (uniform < FIXED ? 0 : -1) : stuckFrames(arena, word) & ~free;
    const fits = windowsOf(~stuck & cover, frames) & starts;
    if (fits === 0 && !exists) {
      const missing = uniform >= 0 ? 0 : missingFrames(arena, word) & ~free;
      exists = (windowsOf(~missing & cover, frames) & starts) !== 0;
    }
    if (fits === 0) continue;
    const least = leastWindow(~free, fits, frames);
    if (least >>> 5 >= bestCost) continue;
    best = word * 32 + (least & 31);
    bestCost = least >>> 5;
  }
  return { start: best, exists: exists || best >= 0, complete: true };
}

/** Bits of word `word` that the frames `[from, to)` cover. */
export function coverOf(word: number, from: number, to: number): number {
  let mask = -1;
  if (word === from >>> 5) mask &= -1 << (from & 31);
  if (word === to >>> 5) mask &= (1 << (to & 31)) - 1;
  return mask;
}

/** The bits of a word at which a run may start. */
function startsOf({ frames, alignment, boundary }: RunWish): number {
  let starts = 0;
  for (let bit = 0; bit + frames <= 32; bit += alignment) {
    if ((bit & (boundary - 1)) + frames <= boundary) starts |= 1 << bit;
  }
  return starts;
}

/* Four state bytes at a time. `BYTES * n` is byte n four times. */
const BYTES = 0x0101_0101;
const TOPS: number = ~~(BYTES * 0x80);
const SEVENS: number = BYTES * 0x7f;
const PLAIN: number = BYTES * TAKEN;
const HOLES: number = BYTES * HOLE;
const RETIREDS: number = BYTES * RETIRED;
/** Of a taken frame's byte, the bits that do not say whether it can be moved: leaving, and out of the low zone. */
const EITHER: number = BYTES * (LEAVING + (TAKEN ^ TAKEN_LOW));
const IS_LITTLE: boolean = new Uint8Array(Int32Array.of(1).buffer)[0] === 1;
/** Multiplied by it, bits 0, 8, 16 and 24 meet in bits 24 to 27, that of the byte that comes first in memory the lowest. */
const GATHER: number = IS_LITTLE ? 0x0102_0408 : 0x0804_0201;

/** The top bit of every byte that is not 0; the other bits are 0. */
function nonZero(four: number): number {
  return ((four & ~TOPS) + SEVENS) | four;
}

/** Of four state bytes, the top bits of those that cannot be moved: neither plainly taken, movable, nor on a page stack. */
export function stuckIn(four: number): number {
  return nonZero((four & ~EITHER) ^ PLAIN) & ~four & TOPS;
}

/** Of four state bytes, the top bits of those that are no RAM, or retired. */
export function missingIn(four: number): number {
  return ~(nonZero(four ^ HOLES) & nonZero(four ^ RETIREDS)) & TOPS;
}

/** The frames of bit word `word` that cannot be moved if they are in use, as bits. */
function stuckFrames({ stateWords }: Arena, word: number): number {
  let mask = 0;
  for (let part = 0; part < 8; part += 1) {
    mask |= (Math.imul(stuckIn(stateWords[word * 8 + part]!) >>> 7, GATHER) >>> 24) << (part * 4);
  }
  return mask;
}

/** The frames of bit word `word` that are no RAM, or retired, unless they are free, as bits. */
function missingFrames({ stateWords }: Arena, word: number): number {
  let mask = 0;
  for (let part = 0; part < 8; part += 1) {
    mask |= (Math.imul(missingIn(stateWords[word * 8 + part]!) >>> 7, GATHER) >>> 24) << (part * 4);
  }
  return mask;
}
