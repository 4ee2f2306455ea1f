/* Walks everything and says which sentence about the state does not hold. Workers must be at rest. */
import {
  bitCount,
  classOf,
  countOf,
  FULL,
  GIVING,
  GROUP_HANDED,
  GROUP_SPLIT,
  GROUP_WHOLE,
  GROUPS_USED,
  HANDED,
  LOW_HOME,
  modeOf,
  PARTIAL,
  PINNED,
  STACKED,
  WHOLE,
} from "./arena.ts";
import type { Core } from "./core.ts";
import { settleCounts } from "./counts.ts";
import { PmmError } from "./errors.ts";
import { BLOCK_WORDS, GROUP_BLOCKS, GROUP_NODE, GROUP_WORDS } from "./layout.ts";
import { useOf } from "./misuse.ts";
import { stackedFrames } from "./stats.ts";
import { BLOCK_FRAMES, GROUP_FRAMES } from "./units.ts";

/** What the walk has counted, per zone index. */
interface Counts {
  readonly free: number[];
  readonly retired: number[];
  readonly present: number[];
  /** Frames that say they are on a page stack. */
  stacked: number;
}

/** Throws `broken-invariant` with the first sentence that does not hold. Cost: O(frames of split groups). */
export function checkAll(core: Core): void {
  core.refresh();
  settleCounts(core);
  const { arena } = core;
  const zeros = (): number[] => core.zones.map(() => 0);
  const counts: Counts = { free: zeros(), retired: zeros(), present: zeros(), stacked: 0 };
  const used = Atomics.load(arena.control, GROUPS_USED);
  for (let group = 0; group < used; group += 1) checkGroup(core, group, counts);
  const stacked = checkStacks(core);
  holds(stacked === counts.stacked, `${counts.stacked} frames say they are on a page stack, ${stacked} are`);
  for (const zone of core.zones) {
    const { index, name } = zone;
    const free = counts.free[index] ?? 0;
    holds(
      free === zone.depotFrames,
      `Zone ${name} has ${free} free frames in its blocks and counts ${zone.depotFrames}`,
    );
    const retired = counts.retired[index] ?? 0;
    holds(
      retired === zone.retiredFrames,
      `Zone ${name} has ${retired} retired frames and counts ${zone.retiredFrames}`,
    );
    const present = counts.present[index] ?? 0;
    holds(present === zone.presentFrames, `Zone ${name} has ${present} frames and counts ${zone.presentFrames}`);
  }
}

function holds(truth: boolean, sentence: string): void {
  if (!truth) throw new PmmError("broken-invariant", sentence);
}

function add(list: number[], index: number, amount: number): void {
  list[index] = (list[index] ?? 0) + amount;
}

function checkGroup(core: Core, group: number, counts: Counts): void {
  const { arena } = core;
  const mode = arena.groupMode(group);
  const node = arena.groups[group * GROUP_WORDS + GROUP_NODE]!;
  if (mode === GROUP_WHOLE || mode === GROUP_HANDED) {
    add(counts.present, node, GROUP_FRAMES);
    if (mode === GROUP_WHOLE) {
      add(counts.free, node, GROUP_FRAMES);
      holds(arena.wholeGroups.has(group), `Whole group ${group} is in the hint map of whole groups`);
    }
    return;
  }
  holds(mode === GROUP_SPLIT, `Group ${group} rests in a mode of rest, not ${mode}`);
  let whole = 0;
  for (let block = group * GROUP_BLOCKS; block < (group + 1) * GROUP_BLOCKS; block += 1) {
    if (checkBlock(core, block, counts)) whole += 1;
  }
  holds(whole < GROUP_BLOCKS || arena.joinable.has(group), `Group ${group}, all of whole blocks, is known as joinable`);
}

/** Checks one block of a split group; true if it is whole. */
function checkBlock(core: Core, block: number, counts: Counts): boolean {
  const { arena } = core;
  const word = Atomics.load(arena.blocks, block);
  const count = countOf(word);
  const mode = modeOf(word);
  const zone = core.zoneOf(block * BLOCK_FRAMES).index;
  let bits = 0;
  for (let i = 0; i < BLOCK_WORDS; i += 1) bits += bitCount(arena.bits[block * BLOCK_WORDS + i]!);
  holds(bits === count, `Block ${block} has ${bits} set bits and counts ${count}`);
  const wanted = count === 0 ? FULL : count === BLOCK_FRAMES ? WHOLE : PARTIAL;
  holds(
    mode === wanted || (mode === HANDED && count === BLOCK_FRAMES),
    `Block ${block} of ${count} is in mode ${mode}`,
  );
  if (mode === HANDED) {
    add(counts.present, zone, BLOCK_FRAMES);
    return false;
  }
  add(counts.free, zone, count);
  if (mode === WHOLE) {
    add(counts.present, zone, BLOCK_FRAMES);
    holds(arena.whole.has(block), `Whole block ${block} is in the hint map of whole blocks`);
    return true;
  }
  if (mode === PARTIAL && classOf(word) >>> 1 !== LOW_HOME) {
    const listed = arena.partial[classOf(word)]?.has(block) === true;
    holds(listed, `Partial block ${block} is in the hint map of its class ${classOf(word)}`);
  }
  checkFrames(core, block, zone, counts);
  return false;
}

function checkFrames(core: Core, block: number, zone: number, counts: Counts): void {
  const { arena } = core;
  for (let frame = block * BLOCK_FRAMES; frame < (block + 1) * BLOCK_FRAMES; frame += 1) {
    const code = arena.state[frame]!;
    if (code === 1) continue;
    add(counts.present, zone, 1);
    if ((arena.bits[frame >>> 5]! & (1 << (frame & 31))) !== 0) continue;
    if (code >= STACKED) counts.stacked += 1;
    else if (code === 2) add(counts.retired, zone, 1);
    else holds(isAtRest(core, frame, code), `Frame ${arena.pfnOf(frame)} is neither free nor used: state ${code}`);
  }
}

function isAtRest(core: Core, frame: number, code: number): boolean {
  return code !== 0 && (code & ~PINNED) !== GIVING && useOf(core.arena, frame) !== "stacked";
}

/** Checks that every stacked frame is stacked once, by the worker it names; returns how many there are. */
function checkStacks(core: Core): number {
  const { arena } = core;
  const { geometry } = arena.layout;
  const seen = new Set<number>();
  for (let worker = 0; worker < geometry.workers; worker += 1) {
    for (let stack = 0; stack < geometry.stacks; stack += 1) {
      const base = arena.stackOf(worker, stack);
      for (let i = 1; i <= arena.topOf(base); i += 1) {
        const frame = arena.workers[base + i]!;
        holds(!seen.has(frame), `Frame ${arena.pfnOf(frame)} is on one page stack, once`);
        holds(arena.state[frame] === STACKED + worker, `Frame ${arena.pfnOf(frame)} names worker ${worker}`);
        const free = (arena.bits[frame >>> 5]! & (1 << (frame & 31))) !== 0;
        holds(!free, `Frame ${arena.pfnOf(frame)} is on a page stack and so not free in its block`);
        seen.add(frame);
      }
    }
  }
  let counted = 0;
  geometry.nodes.forEach((_, node) => (counted += stackedFrames(core, node)));
  holds(counted === seen.size, `The stacks hold ${seen.size} frames and their tops say ${counted}`);
  return seen.size;
}
