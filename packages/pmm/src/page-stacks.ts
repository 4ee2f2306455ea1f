/*
 * The page stacks of one worker, in front of the shared blocks. A stack is LIFO; a quarter of it at a time moves between it and
 * the blocks. Only its worker touches it; after the worker's death, recover.ts does.
 *
 *   worker area   | attached | asked to drain | refill intent | drain intent | … | 16 refill masks | stack 0 | stack 1 | …
 *   page stack    | takes 20, top 11 | frame 0 | frame 1 | … | spare |        256 or 1024 frames (layout.ts)
 *
 * Intents say which block this worker works in at the moment, so that its death there loses nothing.
 *
 * An atomic operation costs as much as ten plain ones. Bits of a reserved block are read plainly: those that its count speaks of were
 * set before the count, and only the reserver clears any.
 */
import { bitCount, classOf, countOf, NO_BYTES, NO_WORDS, PINNED, STACKED, TAKEN } from "./arena.ts";
import type { Arena } from "./arena.ts";
import type { Blocks } from "./blocks.ts";
import { BATCH_PART, BLOCK_WORDS, GROUP_BLOCKS, TAKE_STEP, TOP_BITS, TOP_MASK, WORKER_HEADER } from "./layout.ts";
import { PmmError } from "./errors.ts";
import { BLOCK_FRAMES } from "./units.ts";
import type { Segment, Zone } from "./zone.ts";

/** Words of a worker's header. */
export const ATTACHED = 0;
/** Not 0 when the worker should drain its stacks at its next slow step. */
export const ASKED_TO_DRAIN = 1;
/** Block + 1 that the worker claims frames in, 0 for none. */
export const REFILL_INTENT = 2;
/** Block + 1 that the worker frees frames to, 0 for none. */
export const DRAIN_INTENT = 3;
/** What the worker does to a run of frames: 0 nothing, 1 reserves its blocks, 2 claims and marks it, 3 makes frames of a taken block, 4 frees it. */
export const RUN_PHASE = 4;
/** The run's first dense frame. */
export const RUN_FROM = 5;
/** One past the run's last dense frame. */
export const RUN_TO = 6;
/** The state byte that the head of a taken block gets when its frames are made. */
export const RUN_BYTE = 7;
/** Claimed bits of each of the block's 16 words. */
export const REFILL_MASKS = 8;

/** Blocks that a search for one colour looks into before it breaks a whole block. */
const COLOUR_TRIES = 32;
/** Workers look for whole blocks this far apart, so that their block words and hints lie on different cache lines. */
const OWN_BLOCKS = 64;
/** As many tries as there are blocks. */
const NO_LIMIT = 1 << 30;

/** One worker's stacks: nodes × kinds × colours. */
export class PageStacks {
  /** The worker's number. */
  readonly worker: number = 0;
  readonly #arena: Arena;
  readonly #blocks: Blocks;
  readonly #words: Int32Array = NO_WORDS;
  readonly #state: Uint8Array = NO_BYTES;
  readonly #bits: Int32Array = NO_WORDS;
  readonly #area: number = 0;
  readonly #mark: number = 0;
  readonly #colours: number = 1;
  /** Frames that a stack holds at most. */
  readonly room: number = 0;
  /** Frames that move at a time. */
  readonly batch: number = 0;
  readonly #stackWords: number = 0;
  #limit = 0;

  constructor(arena: Arena, blocks: Blocks, worker: number) {
    this.worker = worker;
    this.#arena = arena;
    this.#blocks = blocks;
    this.#words = arena.workers;
    this.#state = arena.state;
    this.#area = arena.areaOf(worker);
    this.#mark = STACKED + worker;
    this.#bits = arena.bits;
    this.#colours = arena.layout.geometry.colours;
    this.#stackWords = arena.stackWords;
    this.room = arena.layout.geometry.stackFrames;
    this.batch = this.room / BATCH_PART;
  }

  /** First word of the stack for a node index, a kind (0 movable, 1 pinned) and a colour. */
  baseOf(node: number, kind: number, colour: number): number {
    return this.#area + WORKER_HEADER + ((node * 2 + kind) * this.#colours + colour) * this.#stackWords;
  }

  /** Takes the frame given last: its dense number, or −1 where the stack is empty. Two reads, two writes. */
  pop(base: number, code: number): number {
    const words = this.#words;
    if (words[base]! < 0) this.#fold(base);
    const word = words[base]!;
    const top = word & TOP_MASK;
    if (top === 0) return -1;
    const frame = words[base + top]!;
    words[base] = word + TAKE_STEP;
    if (this.#state[frame] !== this.#mark) return this.#strayFrame(frame);
    this.#state[frame] = code;
    return frame;
  }

  /** Puts a taken frame on top; the caller has checked that it is taken. Two writes, one more to count. */
  push(base: number, frame: number, zone: Zone): void {
    const words = this.#words;
    if ((words[base]! & TOP_MASK) === this.room) this.drain(base, this.batch, zone);
    const word = words[base]!;
    words[base + (word & TOP_MASK) + 1] = frame;
    this.#state[frame] = this.#mark;
    words[base] = word + 1;
  }

  /** Puts a taken frame at the cold end: it is taken last and drained first. */
  pushCold(base: number, frame: number, zone: Zone): void {
    this.push(base, frame, zone);
    const top = this.#words[base]! & TOP_MASK;
    this.#words.copyWithin(base + 2, base + 1, base + top);
    this.#words[base + 1] = frame;
  }

  /** Takes the frame at the cold end, or −1. */
  popCold(base: number, code: number): number {
    const words = this.#words;
    const top = words[base]! & TOP_MASK;
    if (top === 0) return -1;
    const coldest = words[base + 1]!;
    words.copyWithin(base + 1, base + 2, base + top + 1);
    words[base + top] = coldest;
    return this.pop(base, code);
  }

  /**
   * Fills a stack with up to `limit` frames of a zone's blocks; returns the frames gained, 0 when there are none for it.
   * Partial blocks of the kind come first, then a whole block; blocks of the other kind are the last resort, so that pinned
   * frames stay together. A rank that is busy is used up before another.
   */
  refill(base: number, zone: Zone, kind: number, colour: number, limit: number): number {
    this.#limit = Math.min(limit, this.batch);
    if (this.#limit <= 0) return 0;
    const exact = this.#colours > 1;
    const places = zone.places();
    for (const { segments } of places) {
      const gained = this.#refillPartial(base, zone, segments, kind, colour, exact ? COLOUR_TRIES : NO_LIMIT);
      if (gained > 0) return gained;
      const broken = this.#refillWhole(base, zone, segments, kind, colour);
      if (broken > 0) return broken;
    }
    for (const { segments } of places) {
      const searched = exact ? this.#refillPartial(base, zone, segments, kind, colour, NO_LIMIT) : 0;
      if (searched > 0) return searched;
      const mixed = this.#refillPartial(base, zone, segments, 1 - kind, colour, NO_LIMIT);
      if (mixed > 0) return mixed;
    }
    return 0;
  }

  /**
   * Moves the `count` coldest frames of a stack to the blocks: word by word of the bit fields, one count per run of words of a
   * block. Reports a double free seen here after doing the rest.
   */
  drain(base: number, count: number, zone: Zone): void {
    const words = this.#words;
    const end = base + count;
    this.#arena.turn(this.worker);
    let stray = -1;
    let drained = 0;
    let block = -1;
    let fresh = 0;
    for (let i = base + 1; i <= end;) {
      const frame = words[i]!;
      i += 1;
      if (this.#state[frame] !== this.#mark) {
        stray = frame;
        continue;
      }
      const bitWord = frame >>> 5;
      let mask = 1 << (frame & 31);
      let run = 1;
      for (; i <= end; i += 1) {
        const next = words[i]!;
        const bit = 1 << (next & 31);
        if (next >>> 5 !== bitWord || (mask & bit) !== 0 || this.#state[next] !== this.#mark) break;
        mask |= bit;
        run += 1;
      }
      if (bitWord >>> 4 !== block) {
        if (fresh > 0) this.#blocks.countUp(block, fresh);
        block = bitWord >>> 4;
        fresh = 0;
        Atomics.store(words, this.#area + DRAIN_INTENT, block + 1);
      }
      const doubled = this.#blocks.set(bitWord, mask);
      if (doubled !== 0) {
        stray = bitWord * 32 + 31 - Math.clz32(doubled);
        run -= bitCount(doubled);
      }
      fresh += run;
      drained += run;
    }
    if (fresh > 0) this.#blocks.countUp(block, fresh);
    Atomics.store(words, this.#area + DRAIN_INTENT, 0);
    const top = words[base]! & TOP_MASK;
    words.copyWithin(base + 1, base + 1 + count, base + 1 + top);
    words[base] = words[base]! - count;
    this.#arena.tallies[this.#tallyOf(base) + 1]! += count;
    zone.addFree(drained);
    this.#arena.turn(this.worker);
    if (stray >= 0) this.#strayFrame(stray);
  }

  /** Moves every frame of the stacks of a node to the blocks; returns how many. */
  drainNode(node: number, zone: Zone): number {
    let drained = 0;
    for (let stack = 0; stack < 2 * this.#colours; stack += 1) {
      const base = this.baseOf(node, 0, 0) + stack * this.#stackWords;
      const top = this.#words[base]! & TOP_MASK;
      if (top > 0) this.drain(base, top, zone);
      drained += top;
    }
    return drained;
  }

  /** First number of the stack's tallies. */
  #tallyOf(base: number): number {
    return this.#arena.tallyOf(this.worker, (base - this.#area - WORKER_HEADER) / this.#stackWords);
  }

  /** Moves the takes of the stack's first word to the tallies before they run over. */
  #fold(base: number): void {
    const word = this.#words[base]!;
    this.#arena.tallies[this.#tallyOf(base)]! += word >>> TOP_BITS;
    this.#words[base] = word & TOP_MASK;
  }

  #strayFrame(frame: number): never {
    throw new PmmError("double-free", "The frame was given back by two workers at once; one of the two is now void", {
      pfn: this.#arena.pfnOf(frame),
    });
  }

  /** Partial blocks whose kind is `blockKind`, of every home, this worker's first. */
  #refillPartial(
    base: number,
    zone: Zone,
    segments: readonly Segment[],
    blockKind: number,
    colour: number,
    tries: number,
  ): number {
    const homes = this.#arena.layout.geometry.workers;
    let left = tries;
    for (let turn = 0; turn < homes; turn += 1) {
      const cls = ((this.worker + turn) % homes) * 2 + blockKind;
      for (const { first, end } of segments) {
        let block = this.#blocks.reservePartial(cls, first, end, this.worker);
        while (block >= 0) {
          const gained = this.#claimIn(block, base, zone, colour, -1);
          if (gained > 0) return gained;
          left -= 1;
          if (left === 0) return 0;
          block = this.#blocks.reservePartial(cls, block + 1, end, this.worker);
        }
      }
    }
    return 0;
  }

  /** A whole block, made this worker's own; of a whole group, if there is no other. */
  #refillWhole(base: number, zone: Zone, segments: readonly Segment[], kind: number, colour: number): number {
    const cls = this.worker * 2 + kind;
    for (const { first, end } of segments) {
      const from = first + ((this.worker * OWN_BLOCKS) % (end - first));
      let block = this.#blocks.reserveWhole(from, end, this.worker);
      if (block < 0 && from > first) block = this.#blocks.reserveWhole(first, from, this.worker);
      if (block >= 0) return this.#claimIn(block, base, zone, colour, cls);
    }
    for (const { first, end } of segments) {
      if (!this.splitOne(first, end)) continue;
      const block = this.#blocks.reserveWhole(first, end, this.worker);
      if (block >= 0) return this.#claimIn(block, base, zone, colour, cls);
    }
    return 0;
  }

  /** Splits the first whole group inside the blocks `[first, end)`; false if there is none. */
  splitOne(first: number, end: number): boolean {
    const groups = this.#arena.wholeGroups;
    const from = Math.ceil(first / GROUP_BLOCKS);
    const to = Math.floor(end / GROUP_BLOCKS);
    for (let group = groups.next(from, to); group >= 0; group = groups.next(group + 1, to)) {
      if (this.#blocks.splitGroup(group, this.worker)) return true;
      this.#blocks.pruneGroup(group);
    }
    return false;
  }

  /** Claims up to a batch of frames in a block reserved by this worker, releases it, and stacks the frames. */
  #claimIn(block: number, base: number, zone: Zone, colour: number, newClass: number): number {
    const words = this.#words;
    const word = Atomics.load(this.#arena.blocks, block);
    const cls = newClass < 0 ? classOf(word) : newClass;
    const room = Math.min(countOf(word), this.#limit, this.room - (words[base]! & TOP_MASK));
    const claimed = this.#chooseMasks(block, room, colour);
    if (claimed === 0) {
      this.#blocks.release(block, 0, cls);
      return 0;
    }
    this.#arena.turn(this.worker);
    Atomics.store(words, this.#area + REFILL_INTENT, block + 1);
    this.#claimMasks(block, base, claimed);
    this.#blocks.release(block, claimed, cls);
    Atomics.store(words, this.#area + REFILL_INTENT, 0);
    zone.addFree(-claimed);
    this.#arena.turn(this.worker);
    return claimed;
  }

  /** Writes the masks of the lowest `room` free frames of a colour; returns how many there are. */
  #chooseMasks(block: number, room: number, colour: number): number {
    const masks = this.#area + REFILL_MASKS;
    let left = room;
    for (let word = 0; word < BLOCK_WORDS; word += 1) {
      let mask = 0;
      if (left > 0) {
        mask = this.#bits[block * BLOCK_WORDS + word]! & this.#colourMask(word, colour);
        let frames = bitCount(mask);
        if (frames > left) {
          mask = lowestBits(mask, left);
          frames = left;
        }
        left -= frames;
      }
      this.#words[masks + word] = mask;
    }
    return room - left;
  }

  /** Clears the chosen bits and stacks their frames, the lowest on top. */
  #claimMasks(block: number, base: number, claimed: number): void {
    const words = this.#words;
    const masks = this.#area + REFILL_MASKS;
    let at = base + (words[base]! & TOP_MASK) + 1;
    for (let word = BLOCK_WORDS - 1; word >= 0; word -= 1) {
      let mask = words[masks + word]!;
      if (mask === 0) continue;
      this.#blocks.claim(block * BLOCK_WORDS + word, mask);
      const first = block * BLOCK_FRAMES + word * 32;
      while (mask !== 0) {
        const bit = 31 - Math.clz32(mask);
        mask &= ~(1 << bit);
        words[at] = first + bit;
        this.#state[first + bit] = this.#mark;
        at += 1;
      }
    }
    words[base] = words[base]! + claimed;
    this.#arena.tallies[this.#tallyOf(base) + 1]! -= claimed;
  }

  /** The bits of a block's word whose frames have the colour; all where there is one colour only. */
  #colourMask(word: number, colour: number): number {
    const colours = this.#colours;
    if (colours === 1) return -1;
    if (colours === 64) return (word & 1) === colour >>> 5 ? 1 << (colour & 31) : 0;
    let mask = 0;
    for (let bit = colour; bit < 32; bit += colours) mask |= 1 << bit;
    return mask;
  }
}

/** The lowest `count` set bits of a word. */
export function lowestBits(word: number, count: number): number {
  if (bitCount(word) <= count) return word;
  let mask = 0;
  let rest = word;
  for (let i = 0; i < count; i += 1) {
    const bit = rest & -rest;
    mask |= bit;
    rest &= ~bit;
  }
  return mask;
}

/** True for the state of a frame taken with order 0 that may be given back at once. */
export function isPlainTaken(code: number): boolean {
  return (code & ~PINNED) === TAKEN;
}
