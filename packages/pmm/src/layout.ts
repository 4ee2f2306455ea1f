/*
 * Where the state lies. Frames are renumbered densely: a *group* is the part of one physical GiB that belongs to one
 * node, and group g holds the dense frames [g * 2^18, (g + 1) * 2^18); a hole of the map costs state only inside a group.
 * Dense numbers fit 31 bits, physical ones need 40.
 *
 *   dense frame   | group g (13 bits) | block in group (9 bits) | frame in block (9 bits) |
 *
 * One buffer, shared or not, holds every field, each as one typed array (see arena.ts):
 *
 *   control | groups | blocks | hint maps | workers | bits | rank of blocks | state byte of frames
 */
import { PmmError } from "./errors.ts";
import { hintWords } from "./hint-map.ts";
import type { FrameRange } from "./range.ts";
import { BLOCK_FRAMES, GROUP_FRAMES, GROUP_SHIFT, PFN_LIMIT } from "./units.ts";
import type { Pfn } from "./units.ts";

/** Blocks of a group. */
export const GROUP_BLOCKS: number = GROUP_FRAMES / BLOCK_FRAMES;
/** log2 of the blocks of a group. */
const GROUP_BLOCK_SHIFT: number = Math.log2(GROUP_BLOCKS);
/** Words of a block's bit field: 512 frames / 32. */
export const BLOCK_WORDS = 16;
/**
 * Frames that one page stack holds at most: many where memory is plenty; few where that would keep it from others, or where ranks matter: what
 * a stack serves again and again never goes to a busier rank.
 */
export const STACK_SIZES = { plenty: 1024, few: 256 } as const;
/** Of a stack's frames, the part that moves between it and the blocks at a time. */
export const BATCH_PART = 4;
/** Large stacks are for memory of which all stacks, filled, would hold at most this part. */
const STACKED_PART = 1 / 16;
/** Most workers: a state byte from 128 on names the worker whose stack holds the frame. */
export const WORKER_LIMIT = 120;
/** Most power ranks. */
export const RANK_LIMIT = 256;

/** Words at the start of a worker's area, before its page stacks; see page-stacks.ts. */
export const WORKER_HEADER = 27;
/** Of a worker's header, the word that is odd while the worker changes blocks and the sums over them. */
export const TURN = 24;
/** Of a worker's header, the block + 1, or −1 − group, that it takes as one, until its state byte says so; else 0. */
export const TAKING = 25;
/** Of a worker's header, the block + 1, or −1 − group, that it gives back as one, until its word says so; else 0. */
export const GIVING_BACK = 26;
/** Words of a cache line of 64 bytes. */
const LINE_WORDS = 16;
/**
 * The first word of a page stack: `| takes 20 | top 11 |`. Counting takes in the word that changes anyway costs nothing; before
 * they run over (the word is negative then) they are moved to the tallies.
 */
export const TOP_BITS = 11;
/** The bits of a stack's first word that say how many frames it holds. */
export const TOP_MASK: number = 2 ** TOP_BITS - 1;
/** What a take adds to the word: one take more, one frame less. */
export const TAKE_STEP: number = 2 ** TOP_BITS - 1;

/** The sizes that fix a layout. Plain data: it travels to workers by `postMessage`. */
export interface Geometry {
  /** Dense groups that there is room for. */
  readonly groups: number;
  /** Physical GiB that frame numbers may lie in. */
  readonly gibs: number;
  /** Node numbers, ascending; node *index* is the place in this list. */
  readonly nodes: readonly number[];
  /** Frames below belong to the low zone; a multiple of 512. */
  readonly lowEnd: Pfn;
  /** Page-stack owners. */
  readonly workers: number;
  /** Cache colours, a power of two from 1 to 64. */
  readonly colours: number;
  /** Page stacks of a worker: nodes × 2 kinds × colours. */
  readonly stacks: number;
  /** Frames that a page stack holds at most. */
  readonly stackFrames: number;
  /** True when use is counted per power rank. */
  readonly ranked: boolean;
}

/** Byte offset and element count of each field. */
export interface Layout {
  readonly geometry: Geometry;
  readonly control: number;
  readonly groups: number;
  readonly gibs: number;
  readonly blocks: number;
  readonly hints: number;
  readonly tallies: number;
  readonly workers: number;
  readonly bits: number;
  readonly ranks: number;
  readonly state: number;
  /** Bytes altogether. */
  readonly bytes: number;
}

/** Words of the control area: epoch, group count, then free, present and retired frames per zone and use per rank. */
export const CONTROL_WORDS: number = 64 + 3 * 256 + RANK_LIMIT;
/** Words of a group's record: its mode, then the two below. */
export const GROUP_WORDS = 3;
/** Of a group's record, the physical GiB that its frames lie in. */
export const GROUP_GIB = 1;
/** Of a group's record, the index of its node. */
export const GROUP_NODE = 2;

/** The group of a dense frame. */
export function groupOf(frame: number): number {
  return frame >>> GROUP_SHIFT;
}

/** The group of a block. */
export function groupOfBlock(block: number): number {
  return block >>> GROUP_BLOCK_SHIFT;
}

/** Words of one page stack: top and takes, then its frames. One spare word keeps a take that died half-way visible. */
export function stackWords(geometry: Geometry): number {
  return geometry.stackFrames + 2;
}

/** Words of one worker's area, a whole number of cache lines and one to spare: no two workers write one line. */
export function workerWords(geometry: Geometry): number {
  return (Math.ceil((WORKER_HEADER + geometry.stacks * stackWords(geometry)) / LINE_WORDS) + 1) * LINE_WORDS;
}

/** Rows of a zone's tallies for what goes through no page stack: frames one by one, 2M blocks, 1G groups, runs. */
export const ZONE_ROWS = 4;

/** Numbers of one worker's tallies, two per page stack, row of a zone and colour (see traffic.ts), on cache lines of their own as well. */
export function workerTallies(geometry: Geometry): number {
  const rows = geometry.stacks + geometry.nodes.length * 2 * ZONE_ROWS + geometry.colours;
  return (Math.ceil((rows * 2) / (LINE_WORDS / 2)) + 1) * (LINE_WORDS / 2);
}

/** Hint maps: one per worker and kind for partial blocks, one for whole blocks; two over groups. */
export function hintMaps(geometry: Geometry): number {
  return geometry.workers * 2 + 1;
}

/** Lays the fields out one after another, each aligned to 64 bytes. */
export function layoutOf(geometry: Geometry): Layout {
  let bytes = 0;
  const place = (length: number): number => {
    const offset = bytes;
    bytes += Math.ceil(length / 64) * 64;
    return offset;
  };
  const { groups, workers } = geometry;
  const blocks = groups * GROUP_BLOCKS;
  const hints = hintMaps(geometry) * hintWords(blocks) + 2 * hintWords(groups);
  return {
    geometry,
    control: place(CONTROL_WORDS * 4),
    groups: place(groups * GROUP_WORDS * 4),
    gibs: place(geometry.gibs * 4),
    blocks: place(blocks * 4),
    hints: place(hints * 4),
    tallies: place(workers * workerTallies(geometry) * 8),
    workers: place(workers * workerWords(geometry) * 4),
    bits: place(blocks * BLOCK_WORDS * 4),
    ranks: place(blocks),
    state: place(groups * GROUP_FRAMES),
    bytes,
  };
}

/** What the geometry follows from. */
export interface GeometryWishes {
  readonly ranges: readonly FrameRange[];
  readonly lowEnd: Pfn;
  readonly workers: number;
  readonly colours: number;
  readonly spareFrames: number;
  readonly pfnLimit: Pfn;
  readonly nodes: readonly number[];
  readonly ranked: boolean;
}

/** The node and the physical GiB that a range has frames in, as one key per pair. */
function groupKeys(range: FrameRange, keys: Set<string>): void {
  const last = Math.floor((range.end - 1) / GROUP_FRAMES);
  for (let gib = Math.floor(range.start / GROUP_FRAMES); gib <= last; gib += 1) keys.add(`${range.node}/${gib}`);
}

/** Checks the wishes and derives the geometry. Throws `bad-argument`. */
export function geometryOf(wishes: GeometryWishes): Geometry {
  const { workers, colours, lowEnd } = wishes;
  const refuse = (message: string): never => {
    throw new PmmError("bad-argument", message);
  };
  if (!Number.isInteger(workers) || workers < 1 || workers > WORKER_LIMIT) {
    refuse(`workers must be an integer from 1 to ${WORKER_LIMIT}, not ${workers}`);
  }
  if (![1, 2, 4, 8, 16, 32, 64].includes(colours)) {
    refuse(`colours must be a power of two from 1 to 64, not ${colours}`);
  }
  if (!Number.isInteger(lowEnd / BLOCK_FRAMES) || lowEnd < 0) {
    refuse(`lowZoneEnd must be a multiple of ${BLOCK_FRAMES} frames, not ${lowEnd}`);
  }
  const keys = new Set<string>();
  const nodes = new Set<number>(wishes.nodes);
  let end = lowEnd;
  for (const range of wishes.ranges) {
    groupKeys(range, keys);
    nodes.add(range.node);
    end = Math.max(end, range.end);
  }
  if (nodes.size === 0) nodes.add(0);
  if (nodes.size > 120) refuse(`There is room for 120 nodes, not ${nodes.size}`);
  const spare = Math.ceil(wishes.spareFrames / GROUP_FRAMES) + (wishes.spareFrames > 0 ? 1 : 0);
  const groups = Math.max(1, keys.size + spare);
  if (groups > 8191) refuse("More than 8191 GiB of RAM do not fit 31-bit dense frame numbers");
  const limit = Math.min(PFN_LIMIT, Math.max(end, wishes.pfnLimit, 1));
  const stacks = nodes.size * 2 * colours;
  const frames = wishes.ranges.reduce((sum, range) => sum + range.end - range.start, 0);
  const isPlenty = !wishes.ranked && workers * stacks * STACK_SIZES.plenty <= frames * STACKED_PART;
  return {
    groups,
    gibs: Math.ceil(limit / GROUP_FRAMES),
    nodes: [...nodes].sort((a, b) => a - b),
    lowEnd,
    workers,
    colours,
    stacks,
    stackFrames: isPlenty ? STACK_SIZES.plenty : STACK_SIZES.few,
    ranked: wishes.ranked,
  };
}
