/*
 * Contiguous runs: the allocator of special requests. It reads the bit fields from low to high, by word where a run fits a
 * word, skipping full and whole blocks and groups, and claims a run by reserving every block that it touches.
 */
import { countOf, FULL, GROUP_SPLIT, GROUP_WHOLE, HANDED, modeOf, WHOLE } from "./arena.ts";
import type { Arena } from "./arena.ts";
import type { Core } from "./core.ts";
import { GROUP_BLOCKS, GROUP_GIB, GROUP_WORDS, groupOf, groupOfBlock } from "./layout.ts";
import { DRAIN_INTENT, RUN_FROM, RUN_PHASE, RUN_TO } from "./page-stacks.ts";
import { BLOCK_FRAMES, GROUP_FRAMES, PFN_LIMIT } from "./units.ts";
import type { Pfn } from "./units.ts";
import { coverOf, findInWords, staysInWord } from "./word-runs.ts";
import type { Zone } from "./zone.ts";

/** A run's wishes with all defaults filled in; `boundary` 0 for none. */
export interface RunWish {
  readonly frames: number;
  readonly alignment: number;
  readonly boundary: number;
}

/** Dense frames `[from, to)` that are contiguous in physical memory too; `base` + dense frame = frame number. */
export interface Stretch {
  readonly from: number;
  readonly to: number;
  readonly base: Pfn;
}

/** A candidate: its dense start, or −1 where every fit has a fixed frame; and whether RAM for a fit exists at all. */
export interface Candidate {
  readonly start: number;
  readonly exists: boolean;
  /** True where every fit was looked at: `exists` is then exact. */
  readonly complete: boolean;
}

/** The stretches of a zone inside the frame numbers `[above, below)`. */
export function stretchesOf(arena: Arena, zone: Zone, above: Pfn, below: Pfn): Stretch[] {
  const list: Stretch[] = [];
  for (const { first, end } of zone.segments) {
    for (let block = first; block < end;) {
      const group = groupOfBlock(block);
      const stop = Math.min(end, (group + 1) * GROUP_BLOCKS);
      const base = (arena.groups[group * GROUP_WORDS + GROUP_GIB]! - group) * GROUP_FRAMES;
      const from = Math.max(block * BLOCK_FRAMES, above - base);
      const to = Math.min(stop * BLOCK_FRAMES, below - base);
      block = stop;
      if (from >= to) continue;
      const last = list[list.length - 1];
      if (last?.to === from && last.base === base) list[list.length - 1] = { from: last.from, to, base };
      else list.push({ from, to, base });
    }
  }
  return list;
}

/** The longest stretch of a zone; an empty one where the zone has no frames. */
export function longestStretch(arena: Arena, zone: Zone): Stretch {
  let longest: Stretch = { from: 0, to: 0, base: 0 };
  for (const stretch of stretchesOf(arena, zone, 0, PFN_LIMIT)) {
    if (stretch.to - stretch.from > longest.to - longest.from) longest = stretch;
  }
  return longest;
}

/** The lowest frame number ≥ `pfn` at which a run may start. */
export function nextFit(pfn: Pfn, { frames, alignment, boundary }: RunWish): Pfn {
  const start = Math.ceil(pfn / alignment) * alignment;
  if (boundary === 0 || start + frames <= (Math.floor(start / boundary) + 1) * boundary) return start;
  return Math.ceil(((Math.floor(start / boundary) + 1) * boundary) / alignment) * alignment;
}

/** The first free run of a stretch that fits: its dense start, or −1. */
export function findRun(arena: Arena, stretch: Stretch, wish: RunWish): number {
  return staysInWord(wish) ? findInWords(arena, stretch, wish) : findAcross(arena, stretch, wish);
}

function findAcross(arena: Arena, { from, to, base }: Stretch, wish: RunWish): number {
  let start = nextFit(firstFree(arena, from, to) + base, wish) - base;
  while (start + wish.frames <= to) {
    const used = firstUsed(arena, start, start + wish.frames);
    if (used < 0) return start;
    const free = firstFree(arena, used + 1, to);
    start = nextFit(free + base, wish) - base;
  }
  return -1;
}

/** The free frames of a bit word, also in groups and blocks whose bits do not count. */
function freeBits(arena: Arena, word: number): number {
  const mode = arena.groupMode(groupOfBlock(word >>> 4));
  if (mode !== GROUP_SPLIT) return mode === GROUP_WHOLE ? -1 : 0;
  if (modeOf(Atomics.load(arena.blocks, word >>> 4)) === HANDED) return 0;
  return Atomics.load(arena.bits, word);
}

/** The first used frame in `[from, to)`, or −1. */
export function firstUsed(arena: Arena, from: number, to: number): number {
  for (let frame = from; frame < to;) {
    if ((frame & 511) === 0 && to - frame >= BLOCK_FRAMES) {
      if (arena.groupMode(groupOf(frame)) === GROUP_WHOLE) {
        frame = (groupOf(frame) + 1) * GROUP_FRAMES;
        continue;
      }
      if (modeOf(Atomics.load(arena.blocks, frame >>> 9)) === WHOLE) {
        frame += BLOCK_FRAMES;
        continue;
      }
    }
    const used = ~freeBits(arena, frame >>> 5) & (-1 << (frame & 31));
    const next = ((frame >>> 5) + 1) * 32;
    if (used !== 0) {
      const found = next - 1 - Math.clz32(used & -used);
      return found < to ? found : -1;
    }
    frame = next;
  }
  return -1;
}

/** The first free frame in `[from, to)`, or `to`. */
export function firstFree(arena: Arena, from: number, to: number): number {
  for (let frame = from; frame < to;) {
    const group = arena.groupMode(groupOf(frame));
    if (group === GROUP_WHOLE) return frame;
    if (group !== GROUP_SPLIT) {
      frame = (groupOf(frame) + 1) * GROUP_FRAMES;
      continue;
    }
    const mode = modeOf(Atomics.load(arena.blocks, frame >>> 9));
    if (mode === WHOLE) return frame;
    if (mode === FULL || mode === HANDED) {
      frame = ((frame >>> 9) + 1) * BLOCK_FRAMES;
      continue;
    }
    const free = Atomics.load(arena.bits, frame >>> 5) & (-1 << (frame & 31));
    const next = ((frame >>> 5) + 1) * 32;
    if (free !== 0) return Math.min(to, next - 1 - Math.clz32(free & -free));
    frame = next;
  }
  return to;
}

/**
 * Claims the free dense frames `[from, to)` of one zone, all or none, and sets their state bytes: the first to `head`, the
 * rest to `body`. Reserves every block, claims, releases, marks. False when any frame is not free any more, or a block is
 * reserved by another worker just now.
 */
export function claimRun(core: Core, from: number, to: number, zone: Zone, head: number, body: number): boolean {
  const { arena, blocks } = core;
  const area = arena.areaOf(core.worker);
  arena.workers[area + RUN_FROM] = from;
  arena.workers[area + RUN_TO] = to;
  arena.turn(core.worker);
  Atomics.store(arena.workers, area + RUN_PHASE, 1);
  const last = (to - 1) >>> 9;
  let block = from >>> 9;
  while (block <= last && reserveCover(core, block, from, to)) block += 1;
  const fits = block > last;
  if (fits) Atomics.store(arena.workers, area + RUN_PHASE, 2);
  for (let held = from >>> 9; held < block; held += 1) {
    const begin = Math.max(from, held * BLOCK_FRAMES);
    const end = Math.min(to, (held + 1) * BLOCK_FRAMES);
    if (fits) for (let w = begin >>> 5; w <= (end - 1) >>> 5; w += 1) blocks.claim(w, coverOf(w, begin, end));
    releaseAs(core, held, fits ? end - begin : 0);
  }
  if (fits) {
    zone.addFree(from - to);
    arena.state.fill(body, from + 1, to);
    arena.state[from] = head;
  }
  Atomics.store(arena.workers, area + RUN_PHASE, 0);
  arena.turn(core.worker);
  return fits;
}

/** Reserves a block in which the part of a run must be free; false, and not reserved, if it is not. */
function reserveCover(core: Core, block: number, from: number, to: number): boolean {
  const { arena, blocks } = core;
  if (arena.groupMode(groupOfBlock(block)) === GROUP_WHOLE) blocks.splitGroup(groupOfBlock(block), core.worker);
  if (blocks.reserve(block, core.worker) === 0) return false;
  const begin = Math.max(from, block * BLOCK_FRAMES);
  const end = Math.min(to, (block + 1) * BLOCK_FRAMES);
  const enough = countOf(Atomics.load(arena.blocks, block)) >= end - begin;
  if (enough && !hasUsedBit(arena, begin, end)) return true;
  releaseAs(core, block, 0);
  return false;
}

/** Claims any one free frame of a zone; its dense number, or −1. */
export function claimAny(core: Core, zone: Zone, code: number): number {
  for (const stretch of stretchesOf(core.arena, zone, 0, PFN_LIMIT)) {
    for (let frame = firstFree(core.arena, stretch.from, stretch.to); frame < stretch.to;) {
      if (claimRun(core, frame, frame + 1, zone, code, code)) return frame;
      frame = firstFree(core.arena, frame + 1, stretch.to);
    }
  }
  return -1;
}

function releaseAs(core: Core, block: number, claimed: number): void {
  core.blocks.release(block, claimed, (Atomics.load(core.arena.blocks, block) >>> 13) & 511);
}

function hasUsedBit(arena: Arena, from: number, to: number): boolean {
  for (let word = from >>> 5; word <= (to - 1) >>> 5; word += 1) {
    if ((~Atomics.load(arena.bits, word) & coverOf(word, from, to)) !== 0) return true;
  }
  return false;
}

/** Frees dense frames `[from, to)` of one zone in the blocks; returns how many. Their state bytes become `code`. */
export function putRun(core: Core, from: number, to: number, zone: Zone, code: number): number {
  const { workers } = core.arena;
  const area = core.arena.areaOf(core.worker);
  core.arena.turn(core.worker);
  workers[area + RUN_FROM] = from;
  workers[area + RUN_TO] = to;
  Atomics.store(workers, area + RUN_PHASE, 4);
  core.arena.state.fill(code, from, to);
  let freed = 0;
  for (let word = from >>> 5; word <= (to - 1) >>> 5; word += 1) {
    const frames = Math.min(to, (word + 1) * 32) - Math.max(from, word * 32);
    Atomics.store(workers, area + DRAIN_INTENT, (word >>> 4) + 1);
    if (core.blocks.put(word, coverOf(word, from, to), frames) === 0) freed += frames;
  }
  Atomics.store(workers, area + DRAIN_INTENT, 0);
  zone.addFree(freed);
  Atomics.store(workers, area + RUN_PHASE, 0);
  core.arena.turn(core.worker);
  return freed;
}
