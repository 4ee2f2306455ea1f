import { requireInvariant } from "./allocator.ts";

/*
 * Two-level segregated fit over words. A block is a run of words; its state lives in its first words and, while it is
 * free, in its last one:
 *
 *      block                                             next block
 *      ┌────────┬──────────┬──────────┬─ ─ ─ ─┬────────┐ ┌────────
 *      │ header │   next   │ previous │       │ words  │ │ header …
 *      └────────┴──────────┴──────────┴─ ─ ─ ─┴────────┘ └────────
 *        always └──────── only while it is free ───────┘   bit 1: the block before me is free
 *
 *      header   31 ………………………………… 2 │ 1             │ 0
 *               words of the block  │ previous free │ used
 *
 * A header with bit 31 set is a used block whose words the owner uses for purposes of its own (a slab of the general heap); its size is in word 7.
 * Every region ends in a used header of 0 words, so that no block ever merges across its end. Word 0 is never a block: links use 0 for "none".
 *
 * Sizes are sorted into 832 bins, 32 to a power of two, exact below 64 words; a two-level bitmap names those that are not empty. Taking and
 * giving touch a constant number of words, whatever the heap looks like.
 *
 * In front of the bins, up to `depth` blocks of each exact size below 64 words are held back as they are given: still used to their neighbours, linked through
 * their first link word, no start in the bitmap. Most blocks that a program frees are asked for again before any neighbour is. They are let go, merged and binned, before the
 * heap grows, when a neighbour wants to grow into one, and when memory is given back.
 *
 * Masmano, Ripoll, Crespo, Real: TLSF: a New Dynamic Memory Allocator for Real-Time Systems (2004).
 */

const USED = 1;
const PREVIOUS_FREE = 2;
const FLAGS = 3;

/** Words of the smallest block: header, two links, footer. */
export const MIN_WORDS = 4;
/** Words of the largest block: what a header's 29 bits can say. */
export const MAX_WORDS: number = 2 ** 29 - 1;

/** Where a block whose header has bit 31 set keeps its size. */
export const OWNED_SIZE = 7;

const BINS = 832;
const GROUPS = BINS / 32;
/** State: word 0 names the groups with a bin that is not empty, words 1 … 26 the bins of a group, then each bin's first block. */
const HEADS = 1 + GROUPS;
/** Then, for each size below 64 words, the first block held back, and how many more may be. */
const HELD = HEADS + BINS;
const HELD_SIZES = 64;
const ROOM = HELD + HELD_SIZES;
const STATE_WORDS = ROOM + HELD_SIZES;

/** The bin of blocks of `words`. */
function binOf(words: number): number {
  const shift = Math.max(26 - Math.clz32(words), 0);
  return (shift << 5) + (words >>> shift);
}

/** Two-level segregated fit over an array of words that its owner holds and may replace. */
export class BoundaryTags {
  /** The words; replaced by {@link replace}. */
  #tags: Int32Array;
  /** One bit per unit: a used block starts here. In words of 32 units. */
  #starts: Int32Array;
  readonly #state: Int32Array;
  /** log2 of the words between two places where a block can start. */
  readonly #unitShift: number;
  /** How many blocks of one size are held back. */
  readonly #depth: number;
  /** Start and end word of each region, in the order in which they came. */
  readonly regions: { start: number; end: number }[] = [];

  constructor(
    tags: Int32Array,
    unitShift: number,
    depth: number,
    wordsFor: (words: number) => Int32Array = (words) => new Int32Array(words),
  ) {
    this.#tags = tags;
    this.#unitShift = unitShift;
    this.#state = wordsFor(STATE_WORDS);
    this.#starts = new Int32Array(0);
    this.#depth = depth;
    this.#state.fill(depth, ROOM);
  }

  /** Goes on with another array, which must start with the same words. */
  replace(tags: Int32Array): void {
    this.#tags = tags;
  }

  /** Own state, in bytes. */
  get bytes(): number {
    return STATE_WORDS * 4 + this.#starts.length * 4;
  }

  /**
   * Takes a block of at least `words` words.
   *
   * @returns its first word, or 0 where no free block is large enough.
   */
  take(words: number): number {
    const block = words < HELD_SIZES ? this.#takeHeld(words) : 0;
    return block === 0 ? this.#takeFree(words) : block;
  }

  /** A block of exactly this size that was held back, or 0: four reads, four writes. */
  #takeHeld(words: number): number {
    const state = this.#state;
    const block = state[HELD + words]!;
    if (block === 0) return 0;
    state[HELD + words] = this.#tags[block + 1]!;
    state[ROOM + words] = state[ROOM + words]! + 1;
    const unit = block >>> this.#unitShift;
    this.#starts[unit >>> 5] = this.#starts[unit >>> 5]! | (1 << unit);
    return block;
  }

  #takeFree(words: number): number {
    const tags = this.#tags;
    const state = this.#state;
    const shift = Math.max(26 - Math.clz32(words), 0);
    let bin = (shift << 5) + (words >>> shift);
    let block = state[HEADS + bin]!;
    // The bin of the size itself may hold blocks that are smaller; any later bin fits.
    if (block === 0 || tags[block]! >>> 2 < words) {
      bin = this.#nextBin(bin + 1);
      if (bin < 0) return 0;
      block = state[HEADS + bin]!;
    }
    const size = tags[block]! >>> 2;
    this.#unlinkFirst(block, bin);
    const rest = size - words;
    if (rest < MIN_WORDS) {
      tags[block] = (size << 2) | USED;
      tags[block + size] = tags[block + size]! & ~PREVIOUS_FREE;
    } else {
      tags[block] = (words << 2) | USED;
      this.#insert(block + words, rest);
    }
    this.#mark(block);
    return block;
  }

  /**
   * Takes a block whose first word plus its phase is a multiple of `alignment` words (a power of two).
   *
   * @param phaseOf the distance of a block's address from its word, in words.
   * @returns its first word, or 0.
   */
  takeAligned(words: number, alignment: number, phaseOf: (block: number) => number): number {
    const slack = words + alignment + MIN_WORDS;
    for (let attempt = 0; attempt < 3; attempt++) {
      const bin = attempt === 0 ? binOf(words) : this.#nextBin(binOf(attempt === 1 ? words : slack) + 1);
      if (bin < 0) return 0;
      const block = this.#state[HEADS + bin]!;
      if (block === 0) continue;
      const size = this.#tags[block]! >>> 2;
      let start = block + (-(block + phaseOf(block)) & (alignment - 1));
      while (start !== block && start - block < MIN_WORDS) start += alignment;
      if (start + words > block + size) continue;
      this.#unlinkFirst(block, bin);
      this.#carve(block, size, start, words);
      return start;
    }
    return 0;
  }

  /** Makes `[start, start + words)` of an unlinked free block used and the rest free. */
  #carve(block: number, size: number, start: number, words: number): void {
    const tags = this.#tags;
    const before = start - block;
    if (before > 0) this.#insert(block, before);
    const rest = size - before - words;
    const flags = before > 0 ? USED | PREVIOUS_FREE : USED;
    if (rest < MIN_WORDS) {
      tags[start] = ((words + rest) << 2) | flags;
      tags[block + size] = tags[block + size]! & ~PREVIOUS_FREE;
    } else {
      tags[start] = (words << 2) | flags;
      this.#insert(start + words, rest);
    }
    this.#mark(start);
  }

  /** Whether a used block starts at this word. */
  isUsed(block: number): boolean {
    const unit = block >>> this.#unitShift;
    return (this.#starts[unit >>> 5]! & (1 << unit)) !== 0;
  }

  /** The words of a used block. */
  wordsOf(block: number): number {
    const header = this.#tags[block]!;
    return header < 0 ? this.#tags[block + OWNED_SIZE]! : header >>> 2;
  }

  /**
   * Gives a used block back: it is held back, or merged with its free neighbours.
   *
   * @returns the words of the free block that it is now part of; 0 where no used block started there and nothing has changed.
   */
  give(block: number): number {
    const unit = block >>> this.#unitShift;
    const starts = this.#starts[unit >>> 5]!;
    if ((starts & (1 << unit)) === 0) return 0;
    this.#starts[unit >>> 5] = starts & ~(1 << unit);
    const header = this.#tags[block]!;
    const size = header >>> 2;
    // A header of a slab is below 0 and reads as a large size.
    if (size >= HELD_SIZES || this.#state[ROOM + size]! === 0) return this.#merge(block, header);
    this.#state[ROOM + size] = this.#state[ROOM + size]! - 1;
    this.#tags[block + 1] = this.#state[HELD + size]!;
    this.#state[HELD + size] = block;
    return size;
  }

  /** Lets go of every block that is held back. @returns whether there was one. At most 64 × depth blocks. */
  letGo(): boolean {
    const state = this.#state;
    let any = false;
    for (let size = MIN_WORDS; size < HELD_SIZES; size++) {
      // Counted, so that links that were overwritten cannot make it loop.
      for (let left = this.#depth - state[ROOM + size]!; left > 0; left--) {
        const block = state[HELD + size]!;
        state[HELD + size] = this.#tags[block + 1]!;
        this.#merge(block, this.#tags[block]!);
        any = true;
      }
      state[HELD + size] = 0;
      state[ROOM + size] = this.#depth;
    }
    return any;
  }

  /** Makes a block that has no start in the bitmap free, and merges it. @returns the words of the whole. */
  #merge(block: number, header: number): number {
    const tags = this.#tags;
    let size = header < 0 ? tags[block + OWNED_SIZE]! : header >>> 2;
    let start = block;
    const next = tags[block + size]!;
    if ((next & USED) === 0) {
      this.#unlink(block + size, next >>> 2);
      tags[block + size] = 0;
      size += next >>> 2;
    }
    tags[start + size] = tags[start + size]! | PREVIOUS_FREE;
    if ((header & PREVIOUS_FREE) !== 0) {
      const before = tags[block - 1]!;
      start = block - before;
      this.#unlink(start, before);
      tags[block] = 0;
      size += before;
    }
    this.#insert(start, size);
    return size;
  }

  /**
   * Makes a used block `words` long where it is: returns its tail, or takes from the free block after it.
   *
   * @returns whether that was possible; if not, nothing has changed.
   */
  resize(block: number, words: number): boolean {
    const tags = this.#tags;
    const size = tags[block]! >>> 2;
    if (words > size && (tags[block + size]! & USED) !== 0 && !this.isUsed(block + size)) this.letGo();
    const flags = tags[block]! & FLAGS;
    const next = tags[block + size]!;
    const free = (next & USED) === 0 ? next >>> 2 : 0;
    if (words > size + free) return false;
    if (free === 0 ? size - words < MIN_WORDS : words === size) return true;
    if (free > 0) {
      this.#unlink(block + size, free);
      tags[block + size] = 0;
    }
    const rest = size + free - words;
    if (rest < MIN_WORDS) {
      tags[block] = ((size + free) << 2) | flags;
      tags[block + size + free] = tags[block + size + free]! & ~PREVIOUS_FREE;
    } else {
      tags[block] = (words << 2) | flags;
      tags[block + size + free] = tags[block + size + free]! | PREVIOUS_FREE;
      this.#insert(block + words, rest);
    }
    return true;
  }

  /** Makes `[start, end)` one free block and its end. */
  addRegion(start: number, end: number): void {
    this.regions.push({ start, end });
    this.#reach(end);
    this.#tags[end - 1] = USED | PREVIOUS_FREE;
    this.#insert(start, end - 1 - start);
  }

  /** Moves the end of the region that ends at `end` up. */
  extendRegion(end: number, newEnd: number): void {
    for (const region of this.regions) if (region.end === end) region.end = newEnd;
    this.#reach(newEnd);
    const tags = this.#tags;
    tags[end - 1] = ((newEnd - end) << 2) | (tags[end - 1]! & FLAGS);
    tags[newEnd - 1] = USED;
    this.#merge(end - 1, tags[end - 1]!);
  }

  /** Words that are free at the end of the region. */
  freeTail(region: { start: number; end: number }): number {
    return (this.#tags[region.end - 1]! & PREVIOUS_FREE) === 0 ? 0 : this.#tags[region.end - 2]!;
  }

  /**
   * Moves the end of a region down by `words`, all of them free, and takes the region out of the list where nothing is left.
   * Of the free block there, nothing or at least {@link MIN_WORDS} must stay.
   */
  cutRegion(region: { start: number; end: number }, words: number): void {
    const size = this.freeTail(region);
    const block = region.end - 1 - size;
    this.#unlink(block, size);
    region.end -= words;
    if (region.end - 1 === region.start) this.regions.splice(this.regions.indexOf(region), 1);
    this.#tags[region.end - 1] = size === words ? USED : USED | PREVIOUS_FREE;
    if (size > words) this.#insert(block, size - words);
  }

  /** Makes every region one free block again. */
  reset(): void {
    this.#state.fill(0, 0, ROOM);
    this.#state.fill(this.#depth, ROOM);
    this.#starts.fill(0);
    for (const { start, end } of this.regions) {
      this.#tags[end - 1] = USED | PREVIOUS_FREE;
      this.#insert(start, end - 1 - start);
    }
  }

  /** Visits the blocks of all regions region by region. Ends early where headers make no sense. */
  walk(visit: (block: number, words: number, used: boolean) => void): void {
    for (const { start, end } of this.regions) {
      for (let block = start; block < end - 1;) {
        const header = this.#tags[block]!;
        const size = header < 0 ? this.#tags[block + OWNED_SIZE]! : header >>> 2;
        if (size < 1) return;
        visit(block, size, this.isUsed(block));
        block += size;
      }
    }
  }

  /** Whether a word lies in a free block. Slow: walks all blocks. */
  isFreeAt(word: number): boolean {
    const holders: boolean[] = [];
    this.walk((block, words, used) => {
      if (word >= block && word < block + words) holders.push(!used);
    });
    return holders[0] ?? false;
  }

  /** Free blocks of at least `words`, largest bins first, until `visit` returns false. For giving memory back. */
  walkLarge(words: number, visit: (block: number, size: number) => void): void {
    for (let bin = BINS - 1; bin >= binOf(words); bin--) {
      for (let block = this.#state[HEADS + bin]!; block !== 0; block = this.#tags[block + 1]!)
        visit(block, this.#tags[block]! >>> 2);
    }
  }

  /** Walks all blocks and all bins. @throws HeapError `corrupt`. */
  check(): void {
    let used = 0;
    let free = 0;
    let held = 0;
    for (const { start, end } of this.regions) {
      let beforeFree = false;
      let block = start;
      while (block < end - 1) {
        const header = this.#tags[block]!;
        const size = header < 0 ? this.#tags[block + OWNED_SIZE]! : header >>> 2;
        const isUsed = (header & USED) !== 0;
        requireInvariant(size >= MIN_WORDS && block + size < end, block, "a block lies within its region");
        requireInvariant(
          ((header & PREVIOUS_FREE) !== 0) === beforeFree,
          block,
          "a header knows whether the block before it is free",
        );
        requireInvariant(isUsed || !this.isUsed(block), block, "the bitmap of starts names no free block");
        if (this.isUsed(block)) used++;
        else if (isUsed) held++;
        else {
          free++;
          requireInvariant(!beforeFree, block, "no two free blocks touch");
          requireInvariant(this.#tags[block + size - 1] === size, block, "a free block ends in its size");
        }
        beforeFree = !isUsed;
        block += size;
      }
      requireInvariant(
        this.#tags[end - 1] === (beforeFree ? USED | PREVIOUS_FREE : USED),
        end,
        "a region ends in a used header of no words",
      );
    }
    let bits = 0;
    for (const word of this.#starts) for (let left = word; left !== 0; left &= left - 1) bits++;
    requireInvariant(bits === used, bits, "the bitmap of starts names no other blocks");
    this.#checkHeld(held);
    this.#checkBins(free);
  }

  #checkHeld(held: number): void {
    let listed = 0;
    for (let size = 0; size < HELD_SIZES; size++) {
      let block = this.#state[HELD + size]!;
      for (let left = this.#depth - this.#state[ROOM + size]!; left > 0; left--) {
        const header = this.#tags[block] ?? 0;
        requireInvariant(
          block !== 0 && header >>> 2 === size && (header & USED) !== 0 && !this.isUsed(block),
          block,
          "a block that is held back has its size and no start",
        );
        listed++;
        block = this.#tags[block + 1]!;
      }
      requireInvariant(block === 0, block, "a list of blocks held back is as long as it is counted");
    }
    requireInvariant(listed === held, held, "every used block without a start is held back");
  }

  #checkBins(free: number): void {
    let listed = 0;
    for (let bin = 0; bin < BINS; bin++) {
      const first = this.#state[HEADS + bin]!;
      const bit = (this.#state[1 + (bin >>> 5)]! & (1 << bin)) !== 0;
      requireInvariant(bit === (first !== 0), bin, "a bin's bit is set exactly where it holds a block");
      let before = 0;
      for (let block = first; block !== 0; block = this.#tags[block + 1]!) {
        const header = this.#tags[block] ?? USED;
        requireInvariant(++listed <= free, block, "the bins hold every free block once");
        requireInvariant(
          (header & USED) === 0 && binOf(header >>> 2) === bin,
          block,
          "a bin holds free blocks of its sizes",
        );
        requireInvariant(this.#tags[block + 2] === before, block, "a free block knows the one before it in its bin");
        before = block;
      }
    }
    requireInvariant(listed === free, listed, "the bins hold every free block");
    for (let group = 0; group < GROUPS; group++) {
      const bit = (this.#state[0]! & (1 << group)) !== 0;
      requireInvariant(
        bit === (this.#state[1 + group] !== 0),
        group,
        "a group's bit is set exactly where one of its bins holds a block",
      );
    }
  }

  /** The first bin from `bin` on that is not empty, or −1. */
  #nextBin(bin: number): number {
    const state = this.#state;
    let group = bin >>> 5;
    let bits = state[1 + group]! & (-1 << bin);
    if (bits === 0 || group >= GROUPS) {
      const groups = state[0]! & (-2 << group);
      if (groups === 0) return -1;
      group = 31 - Math.clz32(groups & -groups);
      bits = state[1 + group]!;
    }
    return (group << 5) + 31 - Math.clz32(bits & -bits);
  }

  /** Makes `[block, block + size)` free and puts it first into its bin. The flags of neighbours are the caller's. */
  #insert(block: number, size: number): void {
    const tags = this.#tags;
    const state = this.#state;
    const shift = Math.max(26 - Math.clz32(size), 0);
    const bin = (shift << 5) + (size >>> shift);
    const first = state[HEADS + bin]!;
    tags[block] = size << 2;
    tags[block + 1] = first;
    tags[block + 2] = 0;
    tags[block + size - 1] = size;
    state[HEADS + bin] = block;
    if (first !== 0) tags[first + 2] = block;
    else {
      state[1 + (bin >>> 5)] = state[1 + (bin >>> 5)]! | (1 << bin);
      state[0] = state[0]! | (1 << (bin >>> 5));
    }
  }

  #unlinkFirst(block: number, bin: number): void {
    const next = this.#tags[block + 1]!;
    this.#state[HEADS + bin] = next;
    if (next !== 0) this.#tags[next + 2] = 0;
    else this.#clearBin(bin);
  }

  #unlink(block: number, size: number): void {
    const tags = this.#tags;
    const next = tags[block + 1]!;
    const before = tags[block + 2]!;
    if (before === 0) this.#unlinkFirst(block, binOf(size));
    else {
      tags[before + 1] = next;
      if (next !== 0) tags[next + 2] = before;
    }
  }

  #clearBin(bin: number): void {
    const state = this.#state;
    const bits = state[1 + (bin >>> 5)]! & ~(1 << bin);
    state[1 + (bin >>> 5)] = bits;
    if (bits === 0) state[0] = state[0]! & ~(1 << (bin >>> 5));
  }

  #mark(block: number): void {
    const unit = block >>> this.#unitShift;
    this.#starts[unit >>> 5] = this.#starts[unit >>> 5]! | (1 << unit);
  }

  /** Makes the bitmap of starts cover the words up to `end`, an eighth more than needed. */
  #reach(end: number): void {
    const needed = ((end - 1) >>> (this.#unitShift + 5)) + 1;
    if (needed <= this.#starts.length) return;
    const starts = new Int32Array(needed + (this.#starts.length === 0 ? 0 : needed >>> 3));
    starts.set(this.#starts);
    this.#starts = starts;
  }
}
