import { endUse, measure, moveBlock, NO_ADDRESS, requireRequest } from "./allocator.ts";
import type { Allocator, HeapStats } from "./allocator.ts";
import {
  binOf,
  HEADS,
  COUNTS,
  BITS,
  markBin,
  markUsed,
  USED,
  place,
  insert,
  remove,
  find,
  give,
  isUsed,
  letGo,
  MIN_WORDS,
  merge,
  PREVIOUS_FREE,
  resize,
  sizeOf,
  STARTS,
  take,
} from "./boundary-tags.ts";
import { Chunks } from "./chunks.ts";
import type { Chunk, GrowthPolicy } from "./chunks.ts";
import { HeapError } from "./errors.ts";
import type { WordMemory } from "./ports.ts";

/** One past the largest size, and a number of free words that no heap has. */
const NOWHERE = 2 ** 30;

/** The words of a block that holds `size` bytes: an even number, and one of them is its header. */
function wordsFor(size: number): number {
  return Math.max(((size + 11) >>> 3) * 2, MIN_WORDS);
}

/** The last word of a chunk, which is the header that ends it; below all words where there is none. */
function endOf(chunk: Chunk | undefined): number {
  return chunk ? (chunk.address + chunk.bytes) / 4 - 1 : -1;
}

/**
 * Two-level segregated fit: every operation takes a bounded number of steps, free neighbours merge at once. Beside these are what a call to the source, a longer bitmap
 * for more memory and the copying of a moved block cost; a look at each chunk when memory is given back; and a misuse, whose message takes a walk.
 *
 * Its boundary tags are in band: 4 bytes before each block, so a block of 8k + 4 bytes wastes nothing. That takes a memory whose words can be reached (over plain numbers,
 * `OffsetAllocator` and `GeneralHeap` keep theirs elsewhere). A bitmap outside the heap knows where blocks start, one bit for each 8 bytes, so that misuse is
 * detected whatever was written into the heap. Blocks are aligned to 8.
 *
 * Memory is given back from the ends of the chunks; none is discarded, as the pages of an array of words cannot be taken away.
 *
 * A heap holds blocks of up to 1 GiB, below address 2 GiB.
 */
export class Tlsf implements Allocator {
  readonly #memory: WordMemory;
  readonly #chunks: Chunks;
  /** Free words at the ends of chunks that stay when memory is given back by the policy. */
  readonly #retained: number;
  /** All words of the memory: none any more where someone else has grown it. A block is known by its header, the word before its address. */
  #tags: Int32Array;
  /** Bins, magazines, bitmap. */
  #state: Int32Array = new Int32Array(STARTS);

  constructor(memory: WordMemory, options: GrowthPolicy = {}) {
    this.#memory = memory;
    this.#chunks = new Chunks(memory, options);
    this.#retained = options.clock ? (options.retainBytes ?? 2 ** 20) / 4 : NOWHERE;
    this.#tags = this.#memory.words;
  }

  /** O(1): a look into a bitmap, one block unlinked, its rest linked. */
  allocate(size: number, alignment = 0): number {
    // Whole, not negative, and below 2^30: what the hot path can count in 31 bits.
    const isPlain = (size & 0x3fffffff) === size && alignment === 0 && this.#tags.length > 0;
    const block = isPlain ? take(this.#tags, this.#state, wordsFor(size)) : 0;
    return block === 0 ? this.#allocateSlowly(size, alignment) : (block << 2) + 4;
  }

  /** Aligned, out of range, or when nothing free is large enough. */
  #allocateSlowly(size: number, alignment: number): number {
    requireRequest(size, alignment);
    if (size >= NOWHERE) return NO_ADDRESS;
    this.#refresh();
    const words = wordsFor(size);
    const step = alignment >> 2 || 1;
    // A block may start up to a step later, and two words after that where what is left before it would be no block.
    const needed = step > 2 ? words + step + 2 : words;
    // Out of what is free; of what was held back; of new memory, first what the free end lacks, then, where that does not follow it, all.
    for (let attempt = 0; attempt < 4; attempt++) {
      if (attempt === 1) letGo(this.#tags, this.#state);
      if (attempt === 2) this.#extend(needed - this.#tail());
      if (attempt === 3) this.#extend(needed);
      const block = find(this.#tags, this.#state, needed);
      if (block === 0) continue;
      // The address after the header is the one that is aligned.
      let start = block + (~block & (step - 1));
      if (start - block === 2) start += step;
      place(this.#tags, this.#state, block, remove(this.#tags, this.#state, block), start, start + words);
      return start * 4 + 4;
    }
    return NO_ADDRESS;
  }

  /** O(1): held back, or merged with both neighbours. */
  free(address: number): void {
    const block = this.#blockAt(address);
    const words = give(this.#tags, this.#state, block);
    if (words > this.#retained && this.#chunks.isDue()) this.#giveBack(this.#retained);
  }

  /** In place where the block's tail can be returned or what follows it is free, else by moving. */
  resize(address: number, size: number, alignment = 0): number {
    const block = this.#blockAt(address);
    const usable = sizeOf(this.#tags, block) * 4 - 4;
    requireRequest(size, alignment);
    if (size < NOWHERE) {
      const stop = block + wordsFor(size);
      if (resize(this.#tags, this.#state, block, stop)) return address;
      const end = block + sizeOf(this.#tags, block) + this.#tail();
      if (end === endOf(this.#chunks.list.at(-1))) this.#extend(stop - end);
      if (resize(this.#tags, this.#state, block, stop)) return address;
    }
    return moveBlock(this, this.#memory, address, usable, size, alignment);
  }

  /** The block less its header. */
  usableSize(address: number): number {
    const block = this.#blockAt(address);
    return sizeOf(this.#tags, block) * 4 - 4;
  }

  /** The first word of the live block at an address. */
  #blockAt(address: number): number {
    if (!this.#tags.length) this.#refresh();
    if (!this.owns(address)) this.#throwMisuse(address);
    return (address >> 2) - 1;
  }

  /** Exact: asks the bitmap. */
  owns(address: number): boolean {
    return (address & -8) === address && isUsed(this.#state, (address >> 2) - 1);
  }

  /** Takes the memory's words anew where their array is no longer valid. */
  #refresh(): Int32Array {
    return (this.#tags = this.#memory.words);
  }

  /** Says what is wrong with an address where no block starts. Slow: what lies in a free block was freed before. */
  #throwMisuse(address: number): never {
    const at = address / 4 - 1;
    this.#walk((block, words, isLive) => {
      if (!isLive && at >= block && at < block + words) throw new HeapError("double-free", address);
    });
    throw new HeapError("wild-free", address);
  }

  /** Words that are free before the end of a chunk, by default the last; none where header and footer contradict each other. */
  #tail(end: number = endOf(this.#chunks.list.at(-1))): number {
    const words = this.#tags[end - 1]!;
    return this.#tags[end]! & PREVIOUS_FREE && this.#tags[end - words] === words << 2 ? words : 0;
  }

  /** Takes memory for at least so many words from the source, as far as there is any; it may follow the last chunk. */
  #extend(words: number): void {
    // A new chunk has two words that are no block's.
    const bytes = this.#chunks.grow((Math.max(words, MIN_WORDS) + 2) * 4, 8, 8);
    const chunk = this.#chunks.list.at(-1);
    if (!chunk || !bytes) return;
    const end = endOf(chunk);
    // Addresses are below 2 GiB.
    if (end >= NOWHERE / 2) {
      this.#chunks.shrink(chunk, bytes);
      return;
    }
    this.#refresh();
    const last = STARTS + (end >>> 6);
    if (last >= this.#state.length) {
      const state = new Int32Array(last * 1.125);
      state.set(this.#state);
      this.#state = state;
    }
    this.#open(chunk, bytes);
  }

  /** Makes the last `bytes` of a chunk free: from what was its end on, or, of a whole chunk, from its second word on. */
  #open(chunk: Chunk, bytes: number): void {
    const end = endOf(chunk);
    let start = end - bytes / 4;
    if (bytes === chunk.bytes) this.#tags[(start += 2)] = 0;
    this.#tags[start] = ((end - start) << 2) | (this.#tags[start]! & PREVIOUS_FREE);
    this.#tags[end] = USED;
    merge(this.#tags, this.#state, start);
  }

  /** Gives free memory at the ends of the chunks back but for `keep` words of it. */
  #giveBack(keep: number): void {
    for (const chunk of [...this.#chunks.list]) {
      const end = endOf(chunk);
      const tail = this.#tail(end);
      const left = Math.min(Math.max(keep, 0) & -MIN_WORDS, tail);
      keep -= left;
      const bytes = (tail - left) * 4;
      if (bytes === 0) continue;
      const block = end - tail;
      remove(this.#tags, this.#state, block);
      this.#tags[block + left] = USED;
      if (left) insert(this.#tags, this.#state, block, block + left);
      // The two words of a chunk that are no block's go with its last block.
      this.#chunks.shrink(chunk, chunk.bytes - bytes > 8 ? bytes : chunk.bytes);
    }
  }

  /** Gives free memory at the ends of the chunks back to the source. */
  trim(): void {
    this.#refresh();
    letGo(this.#tags, this.#state);
    this.#giveBack(0);
  }

  /** Visits the blocks of all chunks, by their headers, and then their ends, which have no words. @throws HeapError `corrupt` where headers make no sense. */
  #walk(visit: (block: number, words: number, isLive: boolean) => void): void {
    this.#refresh();
    for (const chunk of this.#chunks.list) {
      const end = endOf(chunk);
      let block = chunk.address / 4 + 1;
      for (let words = 1; words && block <= end; block += words) {
        words = sizeOf(this.#tags, block);
        visit(block, words, isUsed(this.#state, block));
      }
      if (block !== end) throw new HeapError("corrupt", block);
    }
  }

  /** In address order within each chunk. */
  walk(visit: (address: number, bytes: number) => void): void {
    this.#walk((block, words, isLive) => {
      if (isLive) visit(block * 4 + 4, words * 4 - 4);
    });
  }

  /** A snapshot, by walking the heap. */
  stats(): HeapStats {
    return measure(this, this.#chunks.bytes, this.#state.length * 4, this.#chunks.calls);
  }

  /** Builds from the blocks what bins, magazines and bitmap should be, and compares. */
  check(): void {
    const tags = this.#refresh();
    const state = this.#state;
    const seen = new Int32Array(state.length);
    let flags = 0;
    this.#walk((block, words, isLive) => {
      const header = tags[block]!;
      let holds = (header & PREVIOUS_FREE) === flags;
      flags = 0;
      if (header & USED) {
        if (isLive) markUsed(seen, block);
        else if (words) {
          holds &&= state.indexOf(block, words * 8) < words * 8 + state[COUNTS + words]!;
          seen[COUNTS + words]!++;
        }
      } else {
        const bin = binOf(words);
        const next = tags[block + 1]!;
        holds &&=
          header === words << 2
          && tags[block + words - 1] === words
          && (!next || (tags[next + 2] === block && binOf(tags[next]! >>> 2) === bin));
        if (state[HEADS + bin] === block) seen[HEADS + bin] = block;
        else holds &&= tags[tags[block + 2]! + 1] === block;
        markBin(seen, bin);
        flags = PREVIOUS_FREE;
      }
      if (!holds) throw new HeapError("corrupt", block);
    });
    if (seen.some((word, at) => at >= BITS && word !== state[at])) throw new HeapError("corrupt", 0);
  }

  /** Every chunk becomes one free block. */
  reset(): void {
    this.#refresh();
    this.#state.fill(0);
    for (const chunk of this.#chunks.list) this.#open(chunk, chunk.bytes);
  }

  /** Gives every chunk back. */
  destroy(): void {
    this.reset();
    this.#giveBack(0);
    endUse(this);
  }
}
