/* Giving back what the fast path does not: blocks, groups, borrowed, leaving and doomed frames, lists; and saying why not. */
import {
  DOOMED,
  DOOMED_1G,
  DOOMED_2M,
  FREE,
  GIVING,
  ISOLATED,
  LEAVING,
  PINNED,
  TAKEN,
  TAKEN_1G,
  TAKEN_2M,
  TAKEN_DOOMED,
  TAKEN_LOW,
} from "./arena.ts";
import type { Core } from "./core.ts";
import { claimRun } from "./runs.ts";
import { retireFrame } from "./retirement.ts";
import { noteFrameGiven, notePageGiven } from "./traffic.ts";
import { BLOCK_FRAMES, GROUP_FRAMES, ORDER_1G, ORDER_2M } from "./units.ts";
import type { Pfn } from "./units.ts";

/**
 * Gives a frame or block back that the fast path refused. Returns its state byte when it is a plain frame after all, which
 * the caller pushes on a page stack, else −1. Throws on misuse.
 */
export function giveSlow(core: Core, pfn: Pfn, frame: number, order: number): number {
  if (frame < 0) throw core.misuse(pfn, frame, order);
  const code = core.arena.state[frame]!;
  if (order === ORDER_2M) return giveLarge(core, pfn, frame, code, ORDER_2M);
  if (order === ORDER_1G) return giveLarge(core, pfn, frame, code, ORDER_1G);
  if (order !== 0) throw core.misuse(pfn, frame, order);
  const kind = code & ~(PINNED | LEAVING);
  if ((code & 2) !== 0 || (kind !== TAKEN && kind !== TAKEN_LOW && kind !== TAKEN_DOOMED)) {
    throw core.misuse(pfn, frame, order);
  }
  if (core.tables.countOf(frame) > 1) {
    throw core.error("counted", `The frame has ${core.tables.countOf(frame)} users`, pfn, frame);
  }
  core.tables.countGiven(core.tables.ownerOf(frame), 1);
  const leaves = (code & LEAVING) !== 0;
  if (kind === TAKEN && !leaves) return code;
  noteFrameGiven(core, frame);
  if (kind === TAKEN_DOOMED) core.setRetired(frame);
  else if (leaves) core.arena.state[frame] = ISOLATED;
  else core.giver.putOne(frame, core.zoneOf(frame));
  return -1;
}

/** Gives a 2M block or 1G group back; then retires what was doomed inside, or isolates a block that an evacuation wants. */
function giveLarge(core: Core, pfn: Pfn, frame: number, code: number, order: number): number {
  const isBlock = order === ORDER_2M;
  const kind = code & ~(PINNED | LEAVING);
  const isDoomed = kind === (isBlock ? DOOMED_2M : DOOMED_1G);
  if (!isDoomed && kind !== (isBlock ? TAKEN_2M : TAKEN_1G)) throw core.misuse(pfn, frame, order);
  if (core.tables.countOf(frame) > 1) {
    throw core.error("counted", `The block has ${core.tables.countOf(frame)} users`, pfn, frame);
  }
  const isLeaving = (code & LEAVING) !== 0;
  const dying = isLeaving ? doomedInside(core, frame, isBlock ? BLOCK_FRAMES : GROUP_FRAMES) : NO_FRAMES;
  const zone = core.zoneOf(frame);
  const owner = core.tables.ownerOf(frame);
  const given = isBlock ? core.giver.giveBlock(frame, zone) : core.giver.giveGroup(frame, zone);
  if (!given) throw core.error("double-free", "The block was given back by two workers at once", pfn, frame);
  core.tables.countGiven(owner, isBlock ? BLOCK_FRAMES : GROUP_FRAMES);
  notePageGiven(core, frame, order);
  if (isDoomed) retireFrame(core, frame);
  for (const inner of dying) retireFrame(core, inner);
  const isolates = isBlock && isLeaving && !isDoomed && dying.length === 0;
  if (isolates) claimRun(core, frame, frame + BLOCK_FRAMES, zone, ISOLATED, ISOLATED);
  return -1;
}

const NO_FRAMES: readonly number[] = [];

/** The doomed frames behind a block's head; they lose their mark. */
function doomedInside(core: Core, head: number, frames: number): number[] {
  const { state } = core.arena;
  const doomed: number[] = [];
  for (let frame = head + 1; frame < head + frames; frame += 1) {
    if (state[frame] !== DOOMED) continue;
    state[frame] = FREE;
    doomed.push(frame);
  }
  return doomed;
}

/**
 * Gives a list of frames back through `push`: first all are checked and marked, so that a bad frame, or one listed twice,
 * throws before any is given.
 */
export function giveListed(
  core: Core,
  frames: Float64Array,
  count: number,
  push: (frame: number, code: number) => void,
): void {
  const { arena } = core;
  const { state } = arena;
  /* Borrowed, leaving and doomed frames: their bytes cannot be marked as given. Mostly there are none. */
  let rare: Set<number> | null = null;
  for (let i = 0; i < count; i += 1) {
    const pfn = frames[i]!;
    const frame = arena.frameOf(pfn);
    const code = frame < 0 ? 0 : state[frame]!;
    const plain = (code & ~PINNED) === TAKEN && core.tables.countOf(frame) <= 1;
    if (plain) {
      state[frame] = code - TAKEN + GIVING;
      continue;
    }
    const listedTwice = (code & ~PINNED) === GIVING || rare?.has(frame) === true;
    if (!listedTwice && isGivable(core, frame, code)) {
      if (rare === null) rare = new Set();
      rare.add(frame);
      continue;
    }
    unmark(core, frames, i);
    if (listedTwice) throw core.error("double-free", "The list names the frame twice", pfn, frame);
    giveSlow(core, pfn, frame, 0);
  }
  for (let i = 0; i < count; i += 1) {
    const frame = arena.frameOf(frames[i]!);
    const code = state[frame]!;
    if ((code & ~PINNED) === GIVING) {
      state[frame] = code - GIVING + TAKEN;
      core.tables.countGiven(core.tables.ownerOf(frame), 1);
      push(frame, code - GIVING + TAKEN);
    } else {
      giveSlow(core, frames[i]!, frame, 0);
    }
  }
}

/** True for a frame that is not plain, yet may be given back with order 0. */
function isGivable(core: Core, frame: number, code: number): boolean {
  const kind = code & ~(PINNED | LEAVING);
  const known = kind === TAKEN || kind === TAKEN_LOW || kind === TAKEN_DOOMED;
  return frame >= 0 && known && core.tables.countOf(frame) <= 1;
}

/** Takes back the marks of the first `count` frames of a list. */
export function unmark(core: Core, frames: Float64Array, count: number): void {
  const { arena } = core;
  for (let i = 0; i < count; i += 1) {
    const frame = arena.frameOf(frames[i]!);
    const code = arena.state[frame]!;
    if ((code & ~PINNED) === GIVING) arena.state[frame] = code - GIVING + TAKEN;
  }
}
