/*
 * After a worker died: gives its stacked frames back and ends what it had begun, while other workers go on. The intents in
 * its area say what that was; DESIGN.md argues, step by step, that they suffice.
 */
import {
  bitCount,
  classOf,
  countOf,
  COUNTS_OFF,
  FULL,
  GROUP_HANDED,
  GROUP_BREAKING,
  GROUP_JOINING,
  GROUP_SPLIT,
  GROUP_SPLITTING,
  GROUP_WHOLE,
  GROUPS_USED,
  HANDED,
  IN_GROUP,
  modeOf,
  ownerOf,
  PARTIAL,
  RESERVED,
  STACKED,
  WHOLE,
} from "./arena.ts";
import type { Core } from "./core.ts";
import { settleCounts } from "./counts.ts";
import { PmmError } from "./errors.ts";
import { isTakenByte } from "./marks.ts";
import { BLOCK_WORDS, GIVING_BACK, GROUP_BLOCKS, GROUP_WORDS, groupOf, TAKING, TOP_BITS } from "./layout.ts";
import { DRAIN_INTENT, REFILL_INTENT, REFILL_MASKS, RUN_FROM, RUN_PHASE, RUN_TO } from "./page-stacks.ts";
import { putRun } from "./runs.ts";
import { breakBlock, breakGroup } from "./splitting.ts";
import { BLOCK_FRAMES, GROUP_FRAMES } from "./units.ts";
import { coverOf } from "./word-runs.ts";

/** Looks that a recovery takes at a block which a living worker frees frames to just now. */
const PATIENCE = 1_000_000;

/** Gives everything back that dead worker `dead` held; returns how many frames came off its stacks. */
export function recoverWorker(core: Core, dead: number): number {
  const { geometry } = core.arena.layout;
  if (!Number.isInteger(dead) || dead < 0 || dead >= geometry.workers || dead === core.worker) {
    throw new PmmError("bad-argument", `There is no other worker ${dead}`);
  }
  core.refresh();
  endGroups(core, dead);
  endRun(core, dead);
  endBlocks(core, dead);
  const frames = unstack(core, dead);
  endDrain(core, dead);
  repairHints(core);
  const area = core.arena.areaOf(dead);
  core.arena.workers.fill(0, area, area + core.arena.workerWords);
  Atomics.add(core.arena.control, COUNTS_OFF, 1);
  settleCounts(core);
  return frames;
}

function word(core: Core, worker: number, index: number): number {
  return Atomics.load(core.arena.workers, core.arena.areaOf(worker) + index);
}

/** Splits and joins that stopped half-way, and a 1G group that never reached its taker. */
function endGroups(core: Core, dead: number): void {
  const { arena, blocks } = core;
  const used = Atomics.load(arena.control, GROUPS_USED);
  for (let group = 0; group < used; group += 1) {
    const at = group * GROUP_WORDS;
    const mode = Atomics.load(arena.groups, at);
    const first = group * GROUP_BLOCKS;
    if (mode === GROUP_SPLITTING + dead * 256) {
      if (Atomics.load(arena.blocks, first) === 0) {
        arena.bits.fill(-1, first * BLOCK_WORDS, (first + GROUP_BLOCKS) * BLOCK_WORDS);
      }
      blocks.finishSplit(group);
    } else if (mode === GROUP_BREAKING + dead * 256) {
      breakGroup(arena, group, dead);
    } else if (mode === GROUP_JOINING + dead * 256) {
      blocks.unjoin(group, first + GROUP_BLOCKS);
    } else if ((mode & 255) === GROUP_HANDED && neverArrived(core, dead, -1 - group, group * GROUP_FRAMES)) {
      blocks.giveGroup(group);
    }
  }
}

/** A run that was being claimed: what was claimed is free again. */
function endRun(core: Core, dead: number): void {
  const phase = word(core, dead, RUN_PHASE);
  const { arena } = core;
  const from = word(core, dead, RUN_FROM);
  if (phase === 3) {
    const state = Atomics.load(arena.blocks, from >>> 9);
    if (modeOf(state) === HANDED || (modeOf(state) === RESERVED && ownerOf(state) === dead)) {
      breakBlock(arena, from >>> 9, dead);
    }
  }
  const to = word(core, dead, RUN_TO);
  if (phase === 4) for (let at = from; at < to; at += 1) freeHeld(core, at, dead);
  if (phase !== 2) return;
  for (let block = from >>> 9; block <= (to - 1) >>> 9; block += 1) {
    const begin = Math.max(from, block * BLOCK_FRAMES);
    const end = Math.min(to, (block + 1) * BLOCK_FRAMES);
    const state = Atomics.load(arena.blocks, block);
    if (modeOf(state) !== RESERVED || ownerOf(state) !== dead) {
      putRun(core, begin, end, core.zoneOf(begin), STACKED + core.worker);
      continue;
    }
    for (let bits = begin >>> 5; bits <= (end - 1) >>> 5; bits += 1) {
      Atomics.or(arena.bits, bits, coverOf(bits, begin, end));
    }
    core.blocks.release(block, 0, classOf(state));
  }
}

/** Blocks that it had reserved, and 2M blocks that never reached their taker. */
function endBlocks(core: Core, dead: number): void {
  const { arena, blocks } = core;
  const used = Atomics.load(arena.control, GROUPS_USED) * GROUP_BLOCKS;
  const masks = arena.areaOf(dead) + REFILL_MASKS;
  for (let block = 0; block < used; block += 1) {
    const state = Atomics.load(arena.blocks, block);
    if (modeOf(state) === RESERVED && ownerOf(state) === dead) {
      if (word(core, dead, REFILL_INTENT) === block + 1) {
        for (let i = 0; i < BLOCK_WORDS; i += 1) {
          Atomics.or(arena.bits, block * BLOCK_WORDS + i, arena.workers[masks + i]!);
        }
      }
      blocks.release(block, 0, classOf(state));
    } else if (modeOf(state) === HANDED && neverArrived(core, dead, block + 1, block * BLOCK_FRAMES)) {
      blocks.giveWhole(block);
    }
  }
}

/** True for a handed block or group (`what`, as in `TAKING`) that the dead worker was just taking or giving back: not taken by its byte. */
function neverArrived(core: Core, dead: number, what: number, head: number): boolean {
  if (word(core, dead, TAKING) !== what && word(core, dead, GIVING_BACK) !== what) return false;
  return !isTakenByte(core.arena.state[head]!);
}

/** Frames on its stacks, the place above each top included: a take or give may have stopped there. */
function unstack(core: Core, dead: number): number {
  const { arena } = core;
  let frames = 0;
  for (let stack = 0; stack < arena.layout.geometry.stacks; stack += 1) {
    const base = arena.stackOf(dead, stack);
    arena.tallies[arena.tallyOf(dead, stack)]! += arena.workers[base]! >>> TOP_BITS;
    arena.tallies[arena.tallyOf(dead, stack) + 1]! += arena.topOf(base);
    for (let i = 1; i <= arena.topOf(base) + 1; i += 1) {
      const frame = arena.workers[base + i]!;
      if (freeHeld(core, frame, dead)) frames += 1;
    }
  }
  return frames;
}

/** Frees a frame if the dead worker held it; true if it did. */
function freeHeld(core: Core, frame: number, dead: number): boolean {
  if (!isHeld(core, frame, dead)) return false;
  putRun(core, frame, frame + 1, core.zoneOf(frame), STACKED + core.worker);
  return true;
}

/** True for a frame that the dead worker held: marked as its own, not free, and not just being taken by another. */
function isHeld(core: Core, frame: number, dead: number): boolean {
  const { arena } = core;
  const bit = 1 << (frame & 31);
  const isMarked = (): boolean =>
    arena.state[frame] === STACKED + dead && arena.groupMode(groupOf(frame)) === GROUP_SPLIT;
  const isFree = (): boolean => (Atomics.load(arena.bits, frame >>> 5) & bit) !== 0;
  const block = Atomics.load(arena.blocks, frame >>> 9);
  if (!isMarked() || modeOf(block) === HANDED || isFree()) return false;
  for (let worker = 0; worker < arena.layout.geometry.workers; worker += 1) {
    if (worker === dead) continue;
    const masks = arena.areaOf(worker) + REFILL_MASKS;
    const inBlock = word(core, worker, REFILL_INTENT) === (frame >>> 9) + 1;
    if (inBlock && (arena.workers[masks + ((frame >>> 5) & 15)]! & bit) !== 0) return false;
    if (word(core, worker, RUN_PHASE) === 2) {
      if (frame >= word(core, worker, RUN_FROM) && frame < word(core, worker, RUN_TO)) return false;
    }
  }
  return isMarked() && !isFree();
}

/** Frames whose bits were set but that were not counted yet. A block that was handed out whole had all of them counted. */
function endDrain(core: Core, dead: number): void {
  const block = word(core, dead, DRAIN_INTENT) - 1;
  if (block < 0) return;
  const { arena, blocks } = core;
  Atomics.store(arena.workers, arena.areaOf(dead) + DRAIN_INTENT, 0);
  for (let look = 0; look < PATIENCE; look += 1) {
    const reserved = blocks.reserve(block, core.worker) > 0;
    const before = Atomics.load(arena.blocks, block);
    if (modeOf(before) === HANDED || modeOf(before) === IN_GROUP) return;
    if (!reserved && modeOf(before) !== FULL) continue;
    arena.turn(core.worker);
    const quiet = !isDrainedTo(core, block);
    let bits = 0;
    for (let i = 0; i < BLOCK_WORDS; i += 1) bits += bitCount(Atomics.load(arena.bits, block * BLOCK_WORDS + i));
    const missing = bits - countOf(before);
    const settled = quiet && !isDrainedTo(core, block) && Atomics.load(arena.blocks, block) === before;
    if (reserved) blocks.release(block, settled ? -missing : 0, classOf(before));
    else if (settled && missing > 0) blocks.countUp(block, missing);
    if (settled && missing > 0) core.zoneOf(block * BLOCK_FRAMES).addFree(missing);
    arena.turn(core.worker);
    if (settled) return;
  }
  throw new PmmError("broken-invariant", `Block ${block} came to no rest during a recovery`);
}

function isDrainedTo(core: Core, block: number): boolean {
  for (let worker = 0; worker < core.arena.layout.geometry.workers; worker += 1) {
    if (word(core, worker, DRAIN_INTENT) === block + 1) return true;
  }
  return false;
}

/** Hints that were due when the worker died. */
function repairHints(core: Core): void {
  const { arena } = core;
  const used = Atomics.load(arena.control, GROUPS_USED);
  for (let block = 0; block < used * GROUP_BLOCKS; block += 1) {
    const state = Atomics.load(arena.blocks, block);
    if (modeOf(state) === PARTIAL) arena.partial[classOf(state)]?.add(block);
    else if (modeOf(state) === WHOLE) arena.whole.add(block);
  }
  for (const map of arena.partial) map.repair();
  arena.whole.repair();
  for (let group = 0; group < used; group += 1) {
    const mode = arena.groupMode(group);
    if (mode === GROUP_WHOLE) arena.wholeGroups.add(group);
    else if (mode === GROUP_SPLIT && arena.whole.hasAll(group * GROUP_BLOCKS, GROUP_BLOCKS)) arena.joinable.add(group);
  }
  arena.wholeGroups.repair();
  arena.joinable.repair();
}
