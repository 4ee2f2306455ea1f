import { endUse, measure, moveBlock, NO_ADDRESS, requireRequest } from "./allocator.ts";
import type { Allocator, HeapStats } from "./allocator.ts";
import { checkTags } from "./boundary-tags-check.ts";
import {
  carve,
  close,
  find,
  give,
  isUsed,
  letGo,
  markUsed,
  MIN_WORDS,
  open,
  PREVIOUS_FREE,
  resize,
  sizeOf,
  STARTS,
  take,
  walk,
} from "./boundary-tags.ts";
import { Chunks } from "./chunks.ts";
import type { Chunk, GrowthPolicy } from "./chunks.ts";
import { HeapError } from "./errors.ts";
import type { WordMemory } from "./ports.ts";

/** How a TLSF heap is built. */
export interface TlsfOptions extends GrowthPolicy {
  /** Makes the allocator's own arrays, zeroed; by default `new Int32Array(words)`. */
  readonly wordsFor?: (words: number) => Int32Array;
}

/** One past the largest size, and a number of free words that no heap has. */
const NOWHERE = 2 ** 30;
/** One past the last word that a block may start at: addresses are below 2 GiB. */
const END = 2 ** 29;
const PAGE_WORDS = 1024;

/** The words of a block that holds `size` bytes: an even number, and one of them is its header. */
function wordsFor(size: number): number {
  return Math.max(((size + 11) >>> 3) * 2, MIN_WORDS);
}

/** The header of a chunk's first block. */
function firstOf({ address }: Chunk): number {
  return address / 4 + 1;
}

/** The last word of a chunk, which is the header that ends it. */
function endOf({ address, bytes }: Chunk): number {
  return (address + bytes) / 4 - 1;
}

/**
 * Two-level segregated fit: every operation takes a bounded number of steps, free neighbours merge at once. Beside these are what a call to the source, a longer bitmap
 * for more memory and the copying of a moved block cost; a look at each chunk when memory is given back; and a misuse, whose message takes a walk.
 *
 * Its boundary tags are in band: 4 bytes before each block, so a block of 8k + 4 bytes wastes nothing. That takes a memory whose words can be reached (over plain numbers,
 * `OffsetAllocator` and `GeneralHeap` keep theirs elsewhere). A bitmap outside the heap knows where blocks start, one bit for each 8 bytes, so that misuse is
 * detected whatever was written into the heap. Blocks are aligned to 8.
 *
 * A heap holds blocks of up to 1 GiB, below address 2 GiB.
 */
export class Tlsf implements Allocator {
  readonly #memory: WordMemory;
  readonly #chunks: Chunks;
  readonly #arrayFor: (words: number) => Int32Array;
  /** Free blocks of so many words may be worth giving back: asks the policy. */
  readonly #surplus: number;
  /** All words of the memory: none any more where someone else has grown it. A block is known by its header, the word before its address. */
  #tags: Int32Array;
  /** Bins, magazines, bitmap. */
  #state: Int32Array;

  constructor(memory: WordMemory, options: TlsfOptions = {}) {
    const {
      clock,
      retainBytes = 2 ** 20,
      wordsFor: arrayFor = (words: number): Int32Array => new Int32Array(words),
    } = options;
    this.#memory = memory;
    this.#chunks = new Chunks(memory, options);
    this.#arrayFor = arrayFor;
    this.#surplus = clock === undefined ? NOWHERE : retainBytes / 4;
    this.#tags = memory.words;
    this.#state = arrayFor(STARTS);
  }

  /** O(1): a look into a bitmap, one block unlinked, its rest linked. */
  allocate(size: number, alignment = 0): number {
    // Whole, not negative, and below 2^30: what the hot path can count in 31 bits.
    if ((size & 0x3fffffff) !== size || alignment !== 0 || this.#tags.length === 0)
      return this.#allocateSlowly(size, alignment);
    const block = take(this.#tags, this.#state, wordsFor(size));
    return block === 0 ? this.#allocateSlowly(size, 0) : (block << 2) + 4;
  }

  /** Aligned, out of range, or when nothing free is large enough. */
  #allocateSlowly(size: number, alignment: number): number {
    requireRequest(size, alignment);
    if (size >= NOWHERE) return NO_ADDRESS;
    this.#refresh();
    const words = wordsFor(size);
    const isAligned = alignment > 8;
    const step = alignment >> 2;
    const needed = isAligned ? words + step + MIN_WORDS : words;
    // Out of what is free; of what was held back; of new memory, first what the free end lacks, then, where that does not follow it, all.
    for (let attempt = 0; attempt < 4; attempt++) {
      if (attempt === 1) letGo(this.#tags, this.#state);
      else if (attempt > 1) this.#extend(attempt === 2 ? needed - this.#tail() : needed);
      const block = find(this.#tags, this.#state, needed);
      if (block === 0) continue;
      let start = isAligned ? block + ((-(block * 4 + 4) & (alignment - 1)) >> 2) : block;
      if (start !== block && start - block < MIN_WORDS) start += step;
      carve(this.#tags, this.#state, block, start, words);
      markUsed(this.#state, start >> 1);
      return start * 4 + 4;
    }
    return NO_ADDRESS;
  }

  /** O(1): held back, or merged with both neighbours. */
  free(address: number): void {
    this.#refresh();
    const words = (address & -8) === address ? give(this.#tags, this.#state, (address >> 2) - 1) : 0;
    if (words === 0) this.#throwMisuse(address);
    if (words >= this.#surplus) this.#giveSurplus();
  }

  /** In place where the block's tail can be returned or what follows it is free, else by moving. */
  resize(address: number, size: number, alignment = 0): number {
    const usable = this.usableSize(address);
    requireRequest(size, alignment);
    if (size >= NOWHERE) return NO_ADDRESS;
    return this.#resizeInPlace((address >> 2) - 1, wordsFor(size))
      ? address
      : moveBlock(this, this.#memory, address, usable, size, alignment);
  }

  /** Grows the heap if the block is its last. */
  #resizeInPlace(block: number, words: number): boolean {
    if (resize(this.#tags, this.#state, block, words)) return true;
    const size = sizeOf(this.#tags, block);
    const tail = this.#tail();
    const last = this.#chunks.list.at(-1);
    if (last === undefined || block + size + tail !== endOf(last)) return false;
    this.#extend(words - size - tail);
    return resize(this.#tags, this.#state, block, words);
  }

  /** The block less its header. */
  usableSize(address: number): number {
    this.#refresh();
    if (!this.owns(address)) this.#throwMisuse(address);
    return sizeOf(this.#tags, (address >> 2) - 1) * 4 - 4;
  }

  /** Exact: asks the bitmap. */
  owns(address: number): boolean {
    return (address & -8) === address && isUsed(this.#state, (address >> 3) - 1);
  }

  /** Takes the memory's words anew where their array is no longer valid. */
  #refresh(): void {
    if (this.#tags.length === 0) this.#tags = this.#memory.words;
  }

  /** Says what is wrong with an address where no block starts. Slow: what lies in a free block was freed before. */
  #throwMisuse(address: number): never {
    let freed = 0;
    this.#walk((block, words, isLive) => {
      if (!isLive && address > block * 4 && address <= (block + words) * 4) freed++;
    });
    throw new HeapError(freed > 0 ? "double-free" : "wild-free", address);
  }

  /** Words that are free at the end of a chunk, the last one by default: no more than it has, whatever was written over its last word. */
  #tail(chunk: Chunk | undefined = this.#chunks.list.at(-1)): number {
    if (chunk === undefined) return 0;
    const end = endOf(chunk);
    return this.#tags[end]! & PREVIOUS_FREE ? Math.min(this.#tags[end - 1]! >>> 0, end - firstOf(chunk)) : 0;
  }

  /** Takes memory for at least so many words from the source, as far as there is any; it may follow the last chunk. */
  #extend(words: number): void {
    const before = this.#chunks.list.at(-1);
    const end = before === undefined ? 0 : endOf(before);
    // A new chunk has two words that are no block's.
    const bytes = this.#chunks.grow((Math.max(words, MIN_WORDS) + 2) * 4, 8, 8);
    const chunk = this.#chunks.list.at(-1);
    if (bytes === 0 || chunk === undefined) return;
    if (endOf(chunk) >= END) {
      this.#chunks.shrink(chunk, bytes);
      return;
    }
    this.#tags = this.#memory.words;
    const needed = STARTS + (endOf(chunk) >>> 6) + 1;
    if (needed > this.#state.length) {
      const state = this.#arrayFor(needed + ((needed - STARTS) >>> 3));
      state.set(this.#state);
      this.#state = state;
    }
    if (chunk === before) open(this.#tags, this.#state, end, endOf(chunk));
    else this.#openAll(chunk);
  }

  /** Makes a chunk one free block. */
  #openAll(chunk: Chunk): void {
    this.#tags[firstOf(chunk)] = 0;
    open(this.#tags, this.#state, firstOf(chunk), endOf(chunk));
  }

  /** Gives free memory at the ends of the chunks back as far as the policy says so. */
  #giveSurplus(): void {
    const free = this.#chunks.list.reduce((sum, chunk) => sum + this.#tail(chunk), 0);
    this.#giveBack(this.#chunks.surplus(free * 4));
  }

  /** Gives up to `most` free bytes at the ends of the chunks back, from the last chunk on; a chunk's first header goes with the last of it. */
  #giveBack(most: number): void {
    for (const chunk of [...this.#chunks.list].reverse()) {
      const end = endOf(chunk);
      const tail = this.#tail(chunk);
      let words = Math.min(tail, Math.floor(most / 8) * 2);
      if (words < tail && tail - words < MIN_WORDS) words -= MIN_WORDS;
      if (words <= 0) continue;
      close(this.#tags, this.#state, end, end - words);
      const bytes = end - words === firstOf(chunk) ? chunk.bytes : words * 4;
      this.#chunks.shrink(chunk, bytes);
      most -= bytes;
    }
  }

  /** Gives free memory at the ends of the chunks back to the source, and discards the pages of large free blocks. */
  trim(): void {
    this.#refresh();
    letGo(this.#tags, this.#state);
    this.#giveBack(Infinity);
    this.#walk((block, words, isLive) => {
      // The tags of a free block stay: its first three words and its last.
      const from = Math.ceil((block + 3) / PAGE_WORDS) * PAGE_WORDS;
      const to = Math.floor((block + words - 1) / PAGE_WORDS) * PAGE_WORDS;
      if (!isLive && to - from >= 8 * PAGE_WORDS) this.#chunks.discard(from * 4, (to - from) * 4);
    });
  }

  /** Visits the blocks of all chunks, by their headers. */
  #walk(visit: (block: number, words: number, isLive: boolean) => void): void {
    this.#refresh();
    for (const chunk of this.#chunks.list) walk(this.#tags, this.#state, firstOf(chunk), endOf(chunk), visit);
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

  /** Walks blocks, bins and bitmaps. */
  check(): void {
    this.#refresh();
    const chunks = this.#chunks.list.map((chunk) => [firstOf(chunk), endOf(chunk)] as const);
    checkTags(this.#tags, this.#state, chunks);
  }

  /** Every chunk becomes one free block. */
  reset(): void {
    this.#refresh();
    this.#state.fill(0);
    for (const chunk of this.#chunks.list) this.#openAll(chunk);
  }

  /** Gives every chunk back. */
  destroy(): void {
    this.#chunks.releaseAll();
    this.#state.fill(0);
    endUse(this);
  }
}
