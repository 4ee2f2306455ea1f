/*
 * The state itself: one typed array per field over one buffer. Nothing here decides anything.
 *
 *   block word   | 0 | owner 8 | home 8 | kind 1 | mode 3 | count 10 |     count = free frames that may be claimed
 *                     29     22  21   14     13     12  10  9      0
 *
 *   state byte   0        free in the blocks (or a leftover: the bit field decides)
 *                1 … 4    hole, retired, isolated, reserved at boot
 *                16 … 23  taken, order 0; +1 pinned, +2 wired, +4 leaving
 *                32 … 39  head of a taken 2M block; the same flags
 *                40 … 47  head of a taken 1G group; the same flags
 *                24, 25   taken, order 0, and being given back in bulk just now; +1 pinned
 *                48 … 55  taken out of the low zone, order 0; the same flags
 *                56 … 63  taken, order 0, to be retired when given back; the same flags
 *                64, 65   granted run: head, body; +4 to be retired when the run is released
 *                66       inside a 2M block or 1G group, to be retired when that is given back
 *                72 … 79  head of a taken 2M block, itself to be retired when given back; the same flags
 *                80 … 87  head of a taken 1G group, itself to be retired when given back; the same flags
 *                128 + w  on a page stack of worker w
 */
import { HintMap, hintWords } from "./hint-map.ts";
import {
  GROUP_BLOCKS,
  GROUP_WORDS,
  hintMaps,
  stackWords,
  TOP_MASK,
  TURN,
  GROUP_GIB,
  GROUP_NODE,
  groupOf,
  WORKER_HEADER,
  workerTallies,
  workerWords,
  ZONE_ROWS,
} from "./layout.ts";
import type { Layout } from "./layout.ts";
import { GROUP_FRAMES } from "./units.ts";
import type { Pfn } from "./units.ts";

/** State bytes. */
export const FREE = 0;
/** No RAM that is managed here. */
export const HOLE = 1;
/** Never used again. */
export const RETIRED = 2;
/** Held for an evacuation: neither free nor used. */
export const ISOLATED = 3;
/** Taken before the zones existed. */
export const BOOT = 4;
/** Taken, order 0, movable. */
export const TAKEN = 16;
/** Head of a taken 2M block. */
export const TAKEN_2M = 32;
/** Head of a taken 1G group. */
export const TAKEN_1G = 40;
/** Taken out of the low zone, order 0. */
export const TAKEN_LOW = 48;
/** Taken, order 0, in the list of a bulk give that is being checked. */
export const GIVING = 24;
/** Taken, order 0, to be retired when given back. */
export const TAKEN_DOOMED = 56;
/** First frame of a granted run. */
export const GRANT_HEAD = 64;
/** Further frames of a granted run. */
export const GRANT_BODY = 65;
/** Head of a taken 2M block, itself to be retired. */
export const DOOMED_2M = 72;
/** Head of a taken 1G group, itself to be retired. */
export const DOOMED_1G = 80;
/** Inside a taken block, to be retired when that is given back. */
export const DOOMED = 66;
/** On the page stack of worker `state − STACKED`. */
export const STACKED = 128;

/** Flags of the taken states. */
export const PINNED = 1;
/** May be neither given back nor moved. */
export const WIRED = 2;
/** Goes to the evacuation that waits for it when given back. */
export const LEAVING = 4;

/** Modes of a block. */
export const IN_GROUP = 0;
/** No free frame that may be claimed; in no hint map. */
export const FULL = 1;
/** Some free frames; in the hint map of its home and kind. */
export const PARTIAL = 2;
/** 512 free frames; in the hint map of whole blocks. */
export const WHOLE = 3;
/** One worker, the owner, claims frames in it. */
export const RESERVED = 4;
/** Given out as a 2M block. */
export const HANDED = 5;

/** The home of blocks of the low zone: they are in no hint map. */
export const LOW_HOME = 255;

/** Modes of a group. */
export const GROUP_ABSENT = 0;
/** Its blocks live on their own. */
export const GROUP_SPLIT = 1;
/** Free as one; its blocks are IN_GROUP and their bits not yet written. */
export const GROUP_WHOLE = 2;
/** Given out as a 1G page. */
export const GROUP_HANDED = 3;
/** A worker splits it or joins its blocks; bits 8 and up name the worker. */
export const GROUP_SPLITTING = 4;
/** A worker joins its whole blocks. */
export const GROUP_JOINING = 5;
/** A worker makes frames in use of a taken 1G page. */
export const GROUP_BREAKING = 6;

/** Frames that may be claimed in the block. */
export function countOf(word: number): number {
  return word & 1023;
}

/** The mode of the block. */
export function modeOf(word: number): number {
  return (word >>> 10) & 7;
}

/** Kind (bit 0) and home (bits 1 to 8) of the block, the number of its hint map. */
export function classOf(word: number): number {
  return (word >>> 13) & 511;
}

/** The worker that has reserved the block, or was handed it. */
export function ownerOf(word: number): number {
  return (word >>> 22) & 255;
}

/** A block word. */
export function blockWord(count: number, mode: number, cls: number, owner: number): number {
  return count | (mode << 10) | (cls << 13) | (owner << 22);
}

/** Set bits of a 32-bit word. */
export function bitCount(word: number): number {
  let n = word - ((word >>> 1) & 0x5555_5555);
  n = (n & 0x3333_3333) + ((n >>> 2) & 0x3333_3333);
  return Math.imul((n + (n >>> 4)) & 0x0f0f_0f0f, 0x0101_0101) >>> 24;
}

/** Words of the control area. */
export const EPOCH = 0;
/** Dense groups in use. */
export const GROUPS_USED = 1;
/** Clients that were named at run time, by any worker. */
export const CLIENTS_NAMED = 2;
/** Not 0 when a death may have left sums wrong; see counts.ts. */
export const COUNTS_OFF = 3;
/** Free frames in the blocks, per zone. */
export const ZONE_FREE = 64;
/** In-use frames per rank. */
export const RANK_USED = 320;
/** Frames that are there, retired ones included, per zone. */
export const ZONE_PRESENT = 576;
/** Retired frames per zone. */
export const ZONE_RETIRED = 832;

/*
 * The first values of fields that hold typed arrays and are set in a constructor. A declared field without one starts as
 * undefined, and V8 then checks its type at every use: take + give costs twice as much (9.3 instead of 4.8 ns, Node 20).
 */
/** No words yet. */
export const NO_WORDS: Int32Array = new Int32Array(0);
/** No bytes yet. */
export const NO_BYTES: Uint8Array = new Uint8Array(0);
/** No floats yet. */
export const NO_FLOATS: Float64Array = new Float64Array(0);

/** Views of every field; see the drawing at the top of layout.ts. */
export class Arena {
  readonly layout: Layout;
  readonly buffer: ArrayBufferLike;
  /** Epoch, group count, per-zone and per-rank counts. */
  readonly control: Int32Array = NO_WORDS;
  /** Per group: mode, physical GiB, node index. */
  readonly groups: Int32Array = NO_WORDS;
  /** Physical GiB → dense group + 1; 0 for none, −1 where several nodes share it. */
  readonly gibs: Int32Array = NO_WORDS;
  /** A word per block. */
  readonly blocks: Int32Array = NO_WORDS;
  /** 16 words per block, bit 1 = free. */
  readonly bits: Int32Array = NO_WORDS;
  /** Power rank per block. */
  readonly ranks: Uint8Array = NO_BYTES;
  /** A byte per frame. */
  readonly state: Uint8Array = NO_BYTES;
  /** The same bytes four at a time, for comparisons only: their order in a word is the processor's. */
  readonly stateWords: Int32Array = NO_WORDS;
  /**
   * Two numbers per page stack, changed on slow paths only: t, so that frames taken = t + the takes in the stack's first word,
   * and f, so that frames given = frames taken + f + top. Then rows for what goes through no page stack: see traffic.ts.
   */
  readonly tallies: Float64Array = NO_FLOATS;
  /** Worker areas. */
  readonly workers: Int32Array = NO_WORDS;
  /** Words per page stack. */
  readonly stackWords: number = 0;
  /** Words per worker area. */
  readonly workerWords: number = 0;
  /** Numbers per worker's tallies. */
  readonly workerTallies: number = 0;
  /** Partial blocks by class (home × 2 + kind). */
  readonly partial: readonly HintMap[];
  /** Whole blocks. */
  readonly whole: HintMap;
  /** Whole groups. */
  readonly wholeGroups: HintMap;
  /** Split groups whose blocks are all whole. */
  readonly joinable: HintMap;

  constructor(layout: Layout, buffer: ArrayBufferLike) {
    const { geometry } = layout;
    const blocks = geometry.groups * GROUP_BLOCKS;
    const ints = (offset: number, length: number): Int32Array => new Int32Array(buffer, offset, length);
    this.layout = layout;
    this.buffer = buffer;
    this.control = ints(layout.control, (layout.groups - layout.control) / 4);
    this.groups = ints(layout.groups, geometry.groups * GROUP_WORDS);
    this.gibs = ints(layout.gibs, geometry.gibs);
    this.blocks = ints(layout.blocks, blocks);
    this.bits = ints(layout.bits, blocks * 16);
    this.ranks = new Uint8Array(buffer, layout.ranks, blocks);
    this.state = new Uint8Array(buffer, layout.state, geometry.groups * GROUP_FRAMES);
    this.stateWords = ints(layout.state, geometry.groups * (GROUP_FRAMES / 4));
    this.tallies = new Float64Array(buffer, layout.tallies, geometry.workers * workerTallies(geometry));
    this.stackWords = stackWords(geometry);
    this.workerWords = workerWords(geometry);
    this.workerTallies = workerTallies(geometry);
    this.workers = ints(layout.workers, geometry.workers * this.workerWords);
    const hints = ints(layout.hints, (layout.tallies - layout.hints) / 4);
    const perMap = hintWords(blocks);
    const maps = hintMaps(geometry);
    const partial: HintMap[] = [];
    for (let map = 0; map < maps - 1; map += 1) partial.push(new HintMap(hints, map * perMap, blocks));
    this.partial = partial;
    this.whole = new HintMap(hints, (maps - 1) * perMap, blocks);
    this.wholeGroups = new HintMap(hints, maps * perMap, geometry.groups);
    this.joinable = new HintMap(hints, maps * perMap + hintWords(geometry.groups), geometry.groups);
  }

  /** First word of a worker's area. */
  areaOf(worker: number): number {
    return worker * this.workerWords;
  }

  /** First word of a worker's page stack: its takes and top; the frames follow. */
  stackOf(worker: number, stack: number): number {
    return worker * this.workerWords + WORKER_HEADER + stack * this.stackWords;
  }

  /** Frames on the page stack whose first word is `base`. */
  topOf(base: number): number {
    return this.workers[base]! & TOP_MASK;
  }

  /** First number of a page stack's tallies. */
  tallyOf(worker: number, stack: number): number {
    return worker * this.workerTallies + stack * 2;
  }

  /** First number (taken, then given) of a zone's row, 0 to 3, for what goes through no page stack. */
  zoneTallyOf(worker: number, zone: number, row: number): number {
    return this.tallyOf(worker, this.layout.geometry.stacks + zone * ZONE_ROWS + row);
  }

  /** First number (taken, then given) of a colour's row for frames that go through no page stack. */
  colourTallyOf(worker: number, colour: number): number {
    const { stacks, nodes } = this.layout.geometry;
    return this.tallyOf(worker, stacks + nodes.length * 2 * ZONE_ROWS + colour);
  }

  /** Says that a worker begins to change blocks and the sums over them, or has done both. See counts.ts. */
  turn(worker: number): void {
    this.workers[worker * this.workerWords + TURN]! += 1;
  }

  /** Sets a word of a worker's header. */
  intend(worker: number, word: number, value: number): void {
    this.workers[worker * this.workerWords + word] = value;
  }

  /** A worker's turn: odd while blocks and sums may not agree. */
  turnOf(worker: number): number {
    return Atomics.load(this.workers, worker * this.workerWords + TURN);
  }

  /** The mode of a group, without the worker that works on it. */
  groupMode(group: number): number {
    return Atomics.load(this.groups, group * GROUP_WORDS) & 255;
  }

  /** The node index of a dense frame's group. */
  nodeIndexOf(frame: number): number {
    return this.groups[groupOf(frame) * GROUP_WORDS + GROUP_NODE]!;
  }

  /** The frame number of a dense frame. */
  pfnOf(frame: number): Pfn {
    return this.groups[groupOf(frame) * GROUP_WORDS + GROUP_GIB]! * GROUP_FRAMES + (frame & (GROUP_FRAMES - 1));
  }

  /** The dense frame of a frame number, or −1 where no RAM is managed. */
  frameOf(pfn: Pfn): number {
    const gib = Math.floor(pfn / GROUP_FRAMES);
    const group = this.gibs[gib];
    if (group !== undefined && group > 0) {
      const frame = (group - 1) * GROUP_FRAMES + (pfn - gib * GROUP_FRAMES);
      return this.state[frame] === HOLE || frame !== Math.floor(frame) ? -1 : frame;
    }
    return group === -1 ? this.#frameInShared(pfn, gib) : -1;
  }

  /** Where several nodes share a GiB: the group in which the frame is no hole. */
  #frameInShared(pfn: Pfn, gib: number): number {
    const used = Atomics.load(this.control, GROUPS_USED);
    for (let group = 0; group < used; group += 1) {
      const frame = group * GROUP_FRAMES + (pfn - gib * GROUP_FRAMES);
      if (this.groups[group * GROUP_WORDS + GROUP_GIB] === gib && this.state[frame] !== HOLE) {
        return frame === Math.floor(frame) ? frame : -1;
      }
    }
    return -1;
  }
}
