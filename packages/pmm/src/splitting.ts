/* A taken block becomes frames that are taken one by one: what a memory manager needs that may later lose parts of a 2M page. */
import {
  blockWord,
  classOf,
  DOOMED,
  DOOMED_1G,
  DOOMED_2M,
  FULL,
  GROUP_BREAKING,
  GROUP_HANDED,
  GROUP_SPLIT,
  HANDED,
  LEAVING,
  modeOf,
  PINNED,
  RESERVED,
  TAKEN,
  TAKEN_1G,
  TAKEN_2M,
  TAKEN_DOOMED,
} from "./arena.ts";
import type { Arena } from "./arena.ts";
import type { Core } from "./core.ts";
import { PmmError } from "./errors.ts";
import { BLOCK_WORDS, GROUP_BLOCKS, GROUP_WORDS } from "./layout.ts";
import { RUN_BYTE, RUN_FROM, RUN_PHASE, RUN_TO } from "./page-stacks.ts";
import { BLOCK_FRAMES, GROUP_FRAMES, ORDER_1G, ORDER_2M } from "./units.ts";
import type { Pfn } from "./units.ts";

/** Turns a taken 2M block or 1G group into as many taken frames; free counts stay. What an evacuation waits for it goes on waiting for. Throws on misuse. */
export function splitTaken(core: Core, pfn: Pfn, order: number): void {
  const frame = core.arena.frameOf(pfn);
  if (frame < 0 || (order !== ORDER_2M && order !== ORDER_1G)) throw core.misuse(pfn, frame, order);
  const isBlock = order === ORDER_2M;
  const code = core.arena.state[frame]!;
  const kind = code & ~(PINNED | LEAVING);
  const isDoomed = kind === (isBlock ? DOOMED_2M : DOOMED_1G);
  if (!isDoomed && kind !== (isBlock ? TAKEN_2M : TAKEN_1G)) throw core.misuse(pfn, frame, order);
  const frames = isBlock ? BLOCK_FRAMES : GROUP_FRAMES;
  const next = takeInside(core, frame, frames, code);
  const area = core.arena.areaOf(core.worker);
  core.arena.workers[area + RUN_BYTE] = isDoomed ? TAKEN_DOOMED + (code & PINNED) : next;
  if (isBlock) splitBlock(core, frame / BLOCK_FRAMES);
  else splitGroup(core, frame / GROUP_FRAMES);
  const owner = core.tables.ownerOf(frame);
  if (core.tables.any) for (let at = frame + 1; at < frame + frames; at += 1) core.tables.taken(at, owner);
}

/**
 * Marks the frames behind a head as taken, and returns what the head is to be. A head is LEAVING for the sake of frames inside that are to be retired, which
 * then go by themselves, or else for an evacuation, which then waits for every frame.
 */
function takeInside(core: Core, head: number, frames: number, code: number): number {
  const { state } = core.arena;
  const pinned = code & PINNED;
  const inside = state.subarray(head + 1, head + frames);
  const doomed = (code & LEAVING) !== 0 && inside.includes(DOOMED);
  const next = TAKEN + pinned + (doomed ? 0 : code & LEAVING);
  for (let at = 0; at < inside.length; at += 1)
    inside[at] = doomed && inside[at] === DOOMED ? TAKEN_DOOMED + pinned : next;
  return next;
}

/** HANDED ──▶ RESERVED ──▶ FULL. The run's intent lets a recovery go on where a death stopped it: see `breakBlock`. */
function splitBlock(core: Core, block: number): void {
  const { arena, worker } = core;
  const area = arena.areaOf(worker);
  if (modeOf(Atomics.load(arena.blocks, block)) !== HANDED) {
    throw new PmmError("broken-invariant", "A taken block is not handed out");
  }
  arena.workers[area + RUN_FROM] = block * BLOCK_FRAMES;
  arena.workers[area + RUN_TO] = (block + 1) * BLOCK_FRAMES;
  Atomics.store(arena.workers, area + RUN_PHASE, 3);
  breakBlock(arena, block, worker);
  Atomics.store(arena.workers, area + RUN_PHASE, 0);
}

/** Makes of a handed block one in which nothing is free, for a worker. Nobody else changes it meanwhile; done twice it does no harm. */
export function breakBlock(arena: Arena, block: number, worker: number): void {
  arena.state[block * BLOCK_FRAMES] = arena.workers[arena.areaOf(worker) + RUN_BYTE]!;
  const cls = classOf(Atomics.load(arena.blocks, block));
  Atomics.store(arena.blocks, block, blockWord(BLOCK_FRAMES, RESERVED, cls, worker));
  arena.bits.fill(0, block * BLOCK_WORDS, (block + 1) * BLOCK_WORDS);
  Atomics.store(arena.blocks, block, blockWord(0, FULL, cls, 0));
}

/** GROUP_HANDED ──▶ GROUP_BREAKING ──▶ GROUP_SPLIT with blocks in which nothing is free. */
function splitGroup(core: Core, group: number): void {
  const { arena, worker } = core;
  const at = group * GROUP_WORDS;
  if ((Atomics.load(arena.groups, at) & 255) !== GROUP_HANDED) {
    throw new PmmError("broken-invariant", "A taken group is not handed out");
  }
  Atomics.store(arena.groups, at, GROUP_BREAKING + worker * 256);
  breakGroup(arena, group, worker);
}

/** Ends what `splitGroup` of a worker began: done twice it does no harm. */
export function breakGroup(arena: Arena, group: number, worker: number): void {
  const first = group * GROUP_BLOCKS;
  arena.state[group * GROUP_FRAMES] = arena.workers[arena.areaOf(worker) + RUN_BYTE]!;
  arena.bits.fill(0, first * BLOCK_WORDS, (first + GROUP_BLOCKS) * BLOCK_WORDS);
  for (let block = first; block < first + GROUP_BLOCKS; block += 1) {
    Atomics.store(arena.blocks, block, blockWord(0, FULL, 0, 0));
  }
  Atomics.store(arena.groups, group * GROUP_WORDS, GROUP_SPLIT);
}
