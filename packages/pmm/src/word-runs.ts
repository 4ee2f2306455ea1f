/*
 * Runs that cannot leave a word of 32 frames (ISA DMA: at most 16 frames, not crossing 64 KiB). All starts of a word are
 * tested at once; state bytes are read only where the count of free bits says that the word can be cheaper than the best.
 */
import { bitCount, FULL, GROUP_SPLIT, GROUP_WHOLE, HANDED, modeOf } from "./arena.ts";
import type { Arena } from "./arena.ts";
import { FIXED, MISSING, STUCK, uniformCost } from "./move-cost.ts";
import type { Candidate, RunWish, Stretch } from "./runs.ts";
import { groupOfBlock } from "./layout.ts";

/** True where every fit lies inside one word. */
export function staysInWord({ frames, alignment, boundary }: RunWish): boolean {
  return boundary > 0 && boundary <= 32 && alignment <= 32 && frames <= boundary;
}

/** The first free run of a stretch that fits: its dense start, or −1. Cost: O(words), full blocks apart. */
export function findInWords(arena: Arena, { from, to }: Stretch, wish: RunWish): number {
  const starts = startsOf(wish);
  const last = (to - 1) >>> 5;
  for (let word = from >>> 5; word <= last;) {
    const stop = Math.min(last, word | 15);
    const group = arena.groupMode(groupOfBlock(word >>> 4));
    const mode = group === GROUP_SPLIT ? modeOf(Atomics.load(arena.blocks, word >>> 4)) : HANDED;
    const isWhole = group === GROUP_WHOLE;
    if (!isWhole && (mode === FULL || mode === HANDED)) {
      word = stop + 1;
      continue;
    }
    for (; word <= stop; word += 1) {
      const free = (isWhole ? -1 : Atomics.load(arena.bits, word)) & coverOf(word, from, to);
      const fits = free === 0 ? 0 : windowsOf(free, wish.frames) & starts;
      if (fits !== 0) return word * 32 + 31 - Math.clz32(fits & -fits);
    }
  }
  return -1;
}

/** The fit of a stretch with the fewest frames to move, the lowest of equals. Cost: O(frames), a byte read per used frame. */
export function cheapestInWords(arena: Arena, { from, to }: Stretch, wish: RunWish): Candidate {
  const { frames } = wish;
  const starts = startsOf(wish);
  const window = -1 >>> (32 - frames);
  let best = -1;
  let bestCost = frames + 1;
  let exists = false;
  let uniform = -1;
  for (let word = from >>> 5; word <= (to - 1) >>> 5 && bestCost > 1; word += 1) {
    if ((word & 15) === 0 || word === from >>> 5) uniform = uniformCost(arena, word * 32);
    const free = uniform >= 0 ? (uniform === 0 ? -1 : 0) : Atomics.load(arena.bits, word);
    if (frames - bitCount(free) >= bestCost) continue;
    const cover = coverOf(word, from, to);
    const stuck = uniform >= 0 ? (uniform < FIXED ? 0 : -1) : marked(arena, word * 32, STUCK) & ~free;
    let fits = windowsOf(~stuck & cover, frames) & starts;
    if (fits === 0 && !exists) {
      const missing = uniform >= 0 ? 0 : marked(arena, word * 32, MISSING) & ~free;
      exists = (windowsOf(~missing & cover, frames) & starts) !== 0;
    }
    for (; fits !== 0; fits &= fits - 1) {
      const bit = 31 - Math.clz32(fits & -fits);
      const cost = bitCount((~free >>> bit) & window);
      if (cost >= bestCost) continue;
      best = word * 32 + bit;
      bestCost = cost;
    }
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

/** The bits of a mask from which on `frames` bits are set. Cost: O(log frames). */
function windowsOf(mask: number, frames: number): number {
  let windows = mask;
  for (let length = 1; length < frames && windows !== 0;) {
    const step = Math.min(length, frames - length);
    windows &= windows >>> step;
    length += step;
  }
  return windows;
}

/**
 * The bits of the 32 frames from `first` on whose state byte a table marks. Four bytes are compared with the four before
 * them: neighbours mostly have one state, and the table is then read for the first four only.
 */
function marked(arena: Arena, first: number, table: Uint8Array): number {
  const { state, stateWords } = arena;
  let mask = 0;
  let seen = ~stateWords[first >>> 2]!;
  let nibble = 0;
  for (let bit = 0; bit < 32; bit += 4) {
    const four = stateWords[(first + bit) >>> 2]!;
    if (four !== seen) {
      seen = four;
      const frame = first + bit;
      nibble =
        table[state[frame]!]!
        | (table[state[frame + 1]!]! << 1)
        | (table[state[frame + 2]!]! << 2)
        | (table[state[frame + 3]!]! << 3);
    }
    mask |= nibble << bit;
  }
  return mask;
}
