/*
 * The lock-free heart: blocks of 512 frames, each a bit field and one word that decides.
 *
 *               put                 put (count 512)
 *      FULL ─────────────▶ PARTIAL ─────────────▶ WHOLE ◀────────▶ HANDED
 *        ▲                  │    ▲                 │    takeWhole / giveWhole
 *        │          reserve │    │ release         │ reserve
 *        └──────────────── RESERVED ◀──────────────┘
 *             release
 *
 * Every arrow is one compare-exchange of the block word. Invariants, argued in DESIGN.md:
 *   I1  count ≤ set bits, always; equal at rest.
 *   I2  Only the owner of a RESERVED block clears bits in it; anyone may set bits of frames that it holds.
 *   I3  At rest, a PARTIAL block is in the hint map of its class and a WHOLE one in the map of whole blocks.
 * Hints are added after the word that asks for them, and pruned only by searches, which look at the word again afterwards.
 */
import {
  bitCount,
  blockWord,
  classOf,
  countOf,
  FULL,
  GROUP_HANDED,
  GROUP_JOINING,
  GROUP_SPLIT,
  GROUP_SPLITTING,
  GROUP_WHOLE,
  HANDED,
  IN_GROUP,
  modeOf,
  NO_WORDS,
  PARTIAL,
  RANK_USED,
  RESERVED,
  WHOLE,
} from "./arena.ts";
import type { Arena } from "./arena.ts";
import type { HintMap } from "./hint-map.ts";
import { BLOCK_WORDS, GROUP_BLOCKS, GROUP_WORDS, groupOfBlock, TAKING } from "./layout.ts";
import { BLOCK_FRAMES } from "./units.ts";

/** The steps on blocks and groups that workers share. */
export class Blocks {
  readonly #arena: Arena;
  readonly #words: Int32Array = NO_WORDS;
  readonly #bits: Int32Array = NO_WORDS;
  readonly #groups: Int32Array = NO_WORDS;
  readonly #partial: readonly HintMap[];
  readonly #whole: HintMap;
  readonly #ranked: boolean = false;

  constructor(arena: Arena) {
    this.#arena = arena;
    this.#words = arena.blocks;
    this.#bits = arena.bits;
    this.#groups = arena.groups;
    this.#partial = arena.partial;
    this.#whole = arena.whole;
    this.#ranked = arena.layout.geometry.ranked;
  }

  /** Reserves a PARTIAL or WHOLE block for a worker; returns how many frames it may claim there, 0 if it is not to be had. */
  reserve(block: number, worker: number): number {
    let word = this.#words[block]!;
    while (modeOf(word) === PARTIAL || modeOf(word) === WHOLE) {
      const next = blockWord(countOf(word), RESERVED, classOf(word), worker);
      const seen = Atomics.compareExchange(this.#words, block, word, next);
      if (seen === word) return countOf(word);
      word = seen;
    }
    return 0;
  }

  /** Ends a reservation in which the owner has cleared the bits of `claimed` frames; the block gets class `cls`. */
  release(block: number, claimed: number, cls: number): void {
    let word = this.#words[block]!;
    let next = settled(countOf(word) - claimed, cls);
    for (;;) {
      const seen = Atomics.compareExchange(this.#words, block, word, next);
      if (seen === word) break;
      word = seen;
      next = settled(countOf(word) - claimed, cls);
    }
    if (this.#ranked) this.#useRank(block, claimed);
    this.#list(block, next);
  }

  /** Clears the bits of `mask`, all of them set and in a block reserved by the caller. */
  claim(bitWord: number, mask: number): void {
    Atomics.and(this.#bits, bitWord, ~mask);
  }

  /**
   * Frees the frames of `mask` in one bit word. Returns 0, or the frames of the mask that were free before: then the
   * structure had been told twice, and the caller reports it.
   */
  put(bitWord: number, mask: number, frames: number): number {
    const doubled = this.set(bitWord, mask);
    const fresh = doubled === 0 ? frames : bitCount(mask & ~doubled);
    if (fresh > 0) this.countUp(bitWord >>> 4, fresh);
    return doubled;
  }

  /** The first half of `put`: sets the bits; the caller counts them up. Returns those of the mask that were set before. */
  set(bitWord: number, mask: number): number {
    return Atomics.or(this.#bits, bitWord, mask) & mask;
  }

  /** Takes a whole block in `[from, end)` by its hint: its number, or −1. The caller writes the state byte, then clears `TAKING`. */
  takeWhole(from: number, end: number, worker: number): number {
    let block = this.#whole.next(from, end);
    while (block >= 0) {
      const word = this.#words[block]!;
      if (modeOf(word) !== WHOLE) {
        if (modeOf(word) !== RESERVED) this.#prune(this.#whole, block, WHOLE, -1);
        block = this.#whole.next(block + 1, end);
        continue;
      }
      this.#arena.intend(worker, TAKING, block + 1);
      const next = blockWord(BLOCK_FRAMES, HANDED, classOf(word), worker);
      if (Atomics.compareExchange(this.#words, block, word, next) === word) {
        if (this.#ranked) this.#useRank(block, BLOCK_FRAMES);
        return block;
      }
    }
    return -1;
  }

  /** Gives a handed block back; false if it is not handed. */
  giveWhole(block: number): boolean {
    const word = this.#words[block]!;
    if (modeOf(word) !== HANDED) return false;
    const next = blockWord(BLOCK_FRAMES, WHOLE, classOf(word), 0);
    if (Atomics.compareExchange(this.#words, block, word, next) !== word) return false;
    if (this.#ranked) this.#useRank(block, -BLOCK_FRAMES);
    this.#list(block, next);
    return true;
  }

  /** Reserves a partial block of class `cls` in `[from, end)` by its hint: its number, or −1. */
  reservePartial(cls: number, from: number, end: number, worker: number): number {
    const map = this.#partial[cls];
    if (map === undefined) return -1;
    let block = map.next(from, end);
    while (block >= 0) {
      const word = this.#words[block]!;
      const mode = modeOf(word);
      if (mode === PARTIAL && classOf(word) === cls) {
        if (this.reserve(block, worker) > 0) return block;
      } else if (mode !== RESERVED) {
        this.#prune(map, block, PARTIAL, cls);
      }
      block = map.next(block + 1, end);
    }
    return -1;
  }

  /** Reserves a whole block in `[from, end)` by its hint: its number, or −1. */
  reserveWhole(from: number, end: number, worker: number): number {
    let block = this.#whole.next(from, end);
    while (block >= 0) {
      const mode = modeOf(this.#words[block]!);
      if (mode === WHOLE) {
        if (this.reserve(block, worker) > 0) return block;
      } else if (mode !== RESERVED) {
        this.#prune(this.#whole, block, WHOLE, -1);
      }
      block = this.#whole.next(block + 1, end);
    }
    return -1;
  }

  /** Splits a whole group into 512 whole blocks; false if it is not whole. Costs a few µs, once per 512 blocks. */
  splitGroup(group: number, worker: number): boolean {
    const at = group * GROUP_WORDS;
    const mine = GROUP_SPLITTING + worker * 256;
    if (Atomics.compareExchange(this.#groups, at, GROUP_WHOLE, mine) !== GROUP_WHOLE) return false;
    const first = group * GROUP_BLOCKS;
    this.#bits.fill(-1, first * BLOCK_WORDS, (first + GROUP_BLOCKS) * BLOCK_WORDS);
    this.finishSplit(group);
    return true;
  }

  /** The second half of a split: makes blocks that are still in the group whole. Idempotent. */
  finishSplit(group: number): void {
    const first = group * GROUP_BLOCKS;
    const next = blockWord(BLOCK_FRAMES, WHOLE, 0, 0);
    for (let block = first; block < first + GROUP_BLOCKS; block += 1) {
      Atomics.compareExchange(this.#words, block, IN_GROUP, next);
    }
    this.#whole.addAll(first, GROUP_BLOCKS);
    this.#arena.joinable.add(group);
    Atomics.store(this.#groups, group * GROUP_WORDS, GROUP_SPLIT);
  }

  /** Takes a whole group, or joins the whole blocks of one; `[from, end)` are groups. Its number, or −1. The caller goes on as above. */
  takeGroup(from: number, end: number, worker: number): number {
    const map = this.#arena.wholeGroups;
    const handed = GROUP_HANDED + worker * 256;
    for (let group = map.next(from, end); group >= 0; group = map.next(group + 1, end)) {
      const at = group * GROUP_WORDS;
      this.#arena.intend(worker, TAKING, -1 - group);
      if (Atomics.compareExchange(this.#groups, at, GROUP_WHOLE, handed) === GROUP_WHOLE) {
        if (this.#ranked) this.#useRanks(group, BLOCK_FRAMES);
        return group;
      }
      this.pruneGroup(group);
    }
    const joinable = this.#arena.joinable;
    for (let group = joinable.next(from, end); group >= 0; group = joinable.next(group + 1, end)) {
      if (this.#join(group, worker)) return group;
    }
    return -1;
  }

  /** Removes the hint of a group that was not whole; puts it back if the group is whole by now. */
  pruneGroup(group: number): void {
    this.#arena.wholeGroups.remove(group);
    if (Atomics.load(this.#groups, group * GROUP_WORDS) === GROUP_WHOLE) this.#arena.wholeGroups.add(group);
  }

  /** Gives a handed group back; false if it is not handed. */
  giveGroup(group: number): boolean {
    const at = group * GROUP_WORDS;
    const word = Atomics.load(this.#groups, at);
    if ((word & 255) !== GROUP_HANDED) return false;
    if (Atomics.compareExchange(this.#groups, at, word, GROUP_WHOLE) !== word) return false;
    if (this.#ranked) this.#useRanks(group, -BLOCK_FRAMES);
    this.#arena.wholeGroups.add(group);
    return true;
  }

  /** Undoes a join that stopped half-way: blocks in the group become whole again. */
  unjoin(group: number, end: number): void {
    const first = group * GROUP_BLOCKS;
    const whole = blockWord(BLOCK_FRAMES, WHOLE, 0, 0);
    for (let block = first; block < end; block += 1) {
      if (Atomics.compareExchange(this.#words, block, IN_GROUP, whole) === IN_GROUP) this.#whole.add(block);
    }
    Atomics.store(this.#groups, group * GROUP_WORDS, GROUP_SPLIT);
    this.#listJoinable(group);
  }

  #join(group: number, worker: number): boolean {
    const at = group * GROUP_WORDS;
    const mine = GROUP_JOINING + worker * 256;
    const isSplit = Atomics.load(this.#groups, at) === GROUP_SPLIT;
    if (
      !isSplit
      || this.#hasObstacle(group)
      || Atomics.compareExchange(this.#groups, at, GROUP_SPLIT, mine) !== GROUP_SPLIT
    ) {
      this.#pruneJoinable(group);
      return false;
    }
    const first = group * GROUP_BLOCKS;
    for (let block = first; block < first + GROUP_BLOCKS; block += 1) {
      const word = this.#words[block]!;
      if (modeOf(word) === WHOLE && Atomics.compareExchange(this.#words, block, word, IN_GROUP) === word) continue;
      this.unjoin(group, block);
      return false;
    }
    this.#arena.intend(worker, TAKING, -1 - group);
    Atomics.store(this.#groups, at, GROUP_HANDED + worker * 256);
    if (this.#ranked) this.#useRanks(group, BLOCK_FRAMES);
    return true;
  }

  /** True when a block of the group is not whole; its hint, if stale, is removed. */
  #hasObstacle(group: number): boolean {
    const first = group * GROUP_BLOCKS;
    for (let block = first; block < first + GROUP_BLOCKS; block += 1) {
      const mode = modeOf(this.#words[block]!);
      if (mode === WHOLE) continue;
      if (mode !== RESERVED) this.#prune(this.#whole, block, WHOLE, -1);
      return true;
    }
    return false;
  }

  /** Counts frames whose bits the caller has set. */
  countUp(block: number, frames: number): void {
    let word = this.#words[block]!;
    let next = counted(word, frames);
    for (;;) {
      const seen = Atomics.compareExchange(this.#words, block, word, next);
      if (seen === word) break;
      word = seen;
      next = counted(word, frames);
    }
    if (this.#ranked) this.#useRank(block, -frames);
    if (modeOf(next) !== modeOf(word)) this.#list(block, next);
  }

  /** Adds the hint that a block's new word asks for. */
  #list(block: number, word: number): void {
    if (modeOf(word) === PARTIAL) {
      const map = this.#partial[classOf(word)];
      if (map !== undefined && !map.has(block)) map.add(block);
    } else if (modeOf(word) === WHOLE && !this.#whole.has(block)) this.#listWhole(block);
  }

  /** Adds a whole block's hint; the one that completes a group makes it joinable. */
  #listWhole(block: number): void {
    const word = this.#whole.add(block);
    const inWord = GROUP_BLOCKS < 32 ? ((1 << GROUP_BLOCKS) - 1) << (block & 31 & -GROUP_BLOCKS) : -1;
    if ((word & inWord) !== inWord) return;
    this.#listJoinable(groupOfBlock(block));
  }

  /** Adds the hint of a split group all of whose blocks have theirs. */
  #listJoinable(group: number): void {
    if (Atomics.load(this.#groups, group * GROUP_WORDS) !== GROUP_SPLIT) return;
    if (this.#whole.hasAll(group * GROUP_BLOCKS, GROUP_BLOCKS)) this.#arena.joinable.add(group);
  }

  /** Removes a hint that looked stale; puts it back if the block asks for it by now. */
  #prune(map: HintMap, block: number, mode: number, cls: number): void {
    map.remove(block);
    const word = Atomics.load(this.#words, block);
    if (modeOf(word) !== mode || (cls >= 0 && classOf(word) !== cls)) return;
    if (mode === WHOLE) this.#listWhole(block);
    else map.add(block);
  }

  #pruneJoinable(group: number): void {
    this.#arena.joinable.remove(group);
    this.#listJoinable(group);
  }

  #useRanks(group: number, frames: number): void {
    const first = group * GROUP_BLOCKS;
    for (let block = first; block < first + GROUP_BLOCKS; block += 1) this.#useRank(block, frames);
  }

  #useRank(block: number, frames: number): void {
    Atomics.add(this.#arena.control, RANK_USED + this.#arena.ranks[block]!, frames);
  }
}

/** The word of an unreserved block with `count` free frames. */
function settled(count: number, cls: number): number {
  return blockWord(count, count === 0 ? FULL : count === BLOCK_FRAMES ? WHOLE : PARTIAL, cls, 0);
}

/** The word after `frames` more frames became free. */
function counted(word: number, frames: number): number {
  const count = countOf(word) + frames;
  const mode = modeOf(word);
  if (mode === FULL || mode === PARTIAL) return settled(count, classOf(word));
  return word + frames;
}
