import { endUse, measure, moveBlock, NO_ADDRESS, requireRequest } from "./allocator.ts";
import type { Allocator, HeapSource, HeapStats } from "./allocator.ts";
import { Chunks, discard, releaseAll } from "./chunks.ts";
import type { Chunk, GrowthPolicy } from "./chunks.ts";
import { HeapError } from "./errors.ts";
import {
  carve,
  checkRanges,
  close,
  find,
  freeBefore,
  give,
  isFree,
  LEAST_WORDS,
  letGo,
  LIVE,
  open,
  resize,
  sizeOf,
  TAGS,
  take,
  walk,
} from "./ranges.ts";
import { CLASS_OF_UNITS, classFor, CLASSES, SLAB_BYTES, SMALL_BYTES } from "./size-classes.ts";
import { bitsWordOf, checkSlabs, fill, found, giveIdle, LIST_WORDS, relist, SLAB_WORDS, slotSizeOf } from "./slabs.ts";

/** How a general heap is built. */
export interface GeneralOptions extends GrowthPolicy {
  /** Makes the heap's own array, zeroed; by default `new Int32Array(words)`. */
  readonly wordsFor?: (words: number) => Int32Array;
}

/*
 * All state is in one array:
 *
 *      word 0 …                  9216 …                           9376 …             10752 …
 *      ┌───────────────────────┬────────────────────────────────┬──────────────────┬──────────────────────────────────┐
 *      │ the lists of slabs:   │ by size in 8 bytes, rounded    │ bins of free     │ one word for each granule: tags  │
 *      │ 4 lifetimes × 36      │ up: the first word of its list │ ranges           │ of ranges, records of slabs      │
 *      └───────────────────────┴────────────────────────────────┴──────────────────┴──────────────────────────────────┘
 */
/** End of the lists, start of the table of sizes. */
const SIZE_TABLE = 9216;
/** Bytes of a granule. */
const GRANULE = 128;
/** Granules of the largest heap: a source may give an eighth more than was asked for, and offsets have 32 bits. */
const MOST_GRANULES: number = Math.floor((2 ** 25 / 9) * 8);
const LARGEST: number = MOST_GRANULES * GRANULE;
const PAGE = 4096;

// The hot path spells out what `slabAt`, `bitsWordOf` and `listOf` say, and 9216 × 8 for the table of sizes: calls across modules, which are inlined but
// looked up each time, take 5 % of the time of an event.

/**
 * The general allocator: small blocks (up to 1 KiB) out of 4 KiB slabs of one size class each, larger ones out of ranges of 128-byte granules that
 * merge with their neighbours. All state is outside the blocks, 1/32 of the heap plus 42 KiB, so it works over any source and
 * nothing that is written into a block can harm it; a double or wild free is always detected.
 *
 * At most 3.5 GiB per heap; blocks are aligned to 8, from 1 KiB on to 128.
 */
export class GeneralHeap implements Allocator {
  readonly #source: HeapSource;
  readonly #policy: GrowthPolicy;
  readonly #chunks: Chunks;
  readonly #wordsFor: (words: number) => Int32Array;
  /** Free ranges of so many granules may be worth giving back: asks the policy. */
  readonly #surplus: number;
  #words: Int32Array;
  /** The address of granule 0 as the first chunk counts; where that chunk starts and ends from there, in 8 bytes, as far as 31 bits go. */
  #base = 0;
  #floor = 0;
  #limit = 0;
  /** Milliseconds: until then no pages are discarded. */
  #nextDiscard = 0;

  constructor(source: HeapSource, options: GeneralOptions = {}) {
    const { clock, retainBytes = 2 ** 20, wordsFor = (words: number): Int32Array => new Int32Array(words) } = options;
    this.#source = source;
    this.#policy = options;
    this.#chunks = new Chunks(source, options);
    this.#wordsFor = wordsFor;
    this.#surplus = clock === undefined ? Infinity : Math.ceil(retainBytes / GRANULE);
    this.#words = wordsFor(TAGS);
    this.reset();
  }

  /** Small: the top of a stack and one bit. Larger: one that was held back, or one range unlinked, its rest linked. */
  allocate(size: number, alignment = 0, hint = 0): number {
    if ((size & 0x3fffffff) !== size || alignment !== 0 || hint !== 0) return this.#allocateOdd(size, alignment, hint);
    return size > 1024 ? this.#allocateLarge(size) : this.#allocateSmall(this.#words[(size + (9216 * 8 + 7)) >>> 3]!);
  }

  #allocateSmall(list: number): number {
    const words = this.#words;
    const count = words[list]!;
    if (count === 0) return this.#refill(list);
    words[list] = count - 1;
    const unit = words[list + count]!;
    const word = ((unit >>> 4) & -32) + 8 + ((unit >>> 5) & 15);
    words[word] = words[word]! | (1 << unit);
    return unit < this.#limit ? (unit << 3) + this.#base : this.#addressAt(unit * 8);
  }

  #refill(list: number): number {
    if (!fill(this.#words, this.#words, list)) {
      const slab = this.#takeSlowly(SLAB_WORDS, SLAB_BYTES);
      if (slab === 0) return NO_ADDRESS;
      this.#words[slab + 7] = sizeOf(this.#words, slab);
      found(this.#words, this.#words, list, slab);
    }
    return this.#allocateSmall(list);
  }

  #allocateLarge(size: number): number {
    const range = take(this.#words, (size + 127) >>> 7);
    return range !== 0 && range << 4 < this.#limit ? (range << 7) + this.#base : this.#allocateSlowly(size, 0, range);
  }

  /** Aligned, or beyond the first chunk, or when nothing free is large enough. */
  #allocateSlowly(size: number, alignment: number, taken: number): number {
    if (size > LARGEST) return NO_ADDRESS;
    const range = taken || this.#takeSlowly(Math.max((size + 127) >>> 7, LEAST_WORDS), Math.max(alignment, GRANULE));
    return range === 0 ? NO_ADDRESS : this.#addressAt(range * GRANULE);
  }

  /** With an alignment, a hint, or an argument out of range. */
  #allocateOdd(size: number, alignment: number, hint: number): number {
    requireRequest(size, alignment);
    if (size > SMALL_BYTES || alignment > SMALL_BYTES) return this.#allocateSlowly(size, alignment, 0);
    return this.#allocateSmall(((hint & 3) * CLASSES + classFor(size, alignment)) * LIST_WORDS);
  }

  /** Takes an aligned range: a free one, or out of what was held back, or of new memory, with room to align in if there is so much. @returns its first granule, or 0. */
  #takeSlowly(granules: number, alignment: number): number {
    const room = alignment > GRANULE ? granules + alignment / GRANULE + LEAST_WORDS : granules;
    return (
      this.#takeFree(granules, room, alignment)
      || (this.#letGo() && this.#takeFree(granules, room, alignment))
      || (this.#grow(room) && this.#takeFree(granules, room, alignment))
      || (this.#grow(granules) && this.#takeFree(granules, room, alignment))
      || 0
    );
  }

  #takeFree(granules: number, room: number, alignment: number): number {
    return (
      this.#takeFrom(find(this.#words, granules), granules, alignment)
      || this.#takeFrom(find(this.#words, room), granules, alignment)
    );
  }

  /** Takes the first aligned granules of a free range, or of none. @returns the first, or 0 where the range is too short. */
  #takeFrom(range: number, granules: number, alignment: number): number {
    // Chunks start at multiples of a slab, as offsets and as addresses.
    const address = alignment > SLAB_BYTES ? this.#addressAt(range * GRANULE) : range * GRANULE;
    let start = range + (-address & (alignment - 1)) / GRANULE;
    while (start !== range && start - range < LEAST_WORDS) start += alignment / GRANULE;
    if (range === 0 || start + granules > range + sizeOf(this.#words, range)) return 0;
    carve(this.#words, range, start, granules);
    return start;
  }

  /** Small: one bit and the top of a stack. Larger: held back, or merged with both neighbours. */
  free(address: number): void {
    const words = this.#words;
    const unit = this.#unitOf(address);
    const slab = (unit >>> 4) & -32;
    const header = words[slab]!;
    if (header < 0) {
      const word = slab + 8 + ((unit >>> 5) & 15);
      const bits = words[word]!;
      const bit = 1 << unit;
      if ((bits & bit) === 0) this.#throwMisuse(address);
      words[word] = bits ^ bit;
      const list = (header << 4) & 0x3fc0;
      const count = words[list]!;
      if (count === 61) relist(words, words, slab);
      else {
        words[list] = count + 1;
        words[list + count + 1] = unit;
      }
    } else if ((unit & 15) !== 0 || words[unit >>> 4]! < LIVE) this.#throwMisuse(address);
    else if (give(words, unit >>> 4, 7) >= this.#surplus) this.#giveSurplus();
  }

  /** Slow, for the message: what is no slot, or in a live block, was never freed. */
  #throwMisuse(address: number): never {
    const unit = this.#unitOf(address);
    const header = this.#words[(unit >>> 4) & -32]!;
    let isDouble = unit > 0 && (header >= 0 || ((unit * 8) % SLAB_BYTES) % slotSizeOf(header) === 0);
    this.walk((start, bytes) => (isDouble &&= address < start || address >= start + bytes));
    throw new HeapError(isDouble ? "double-free" : "wild-free", address);
  }

  /** In place within its class or into free neighbours, else by moving. */
  resize(address: number, size: number, alignment = 0, hint = 0): number {
    const usable = this.usableSize(address);
    requireRequest(size, alignment);
    const isEnough =
      usable <= SMALL_BYTES
        ? size <= usable && (size * 2 > usable || usable <= 32)
        : size > SMALL_BYTES && size <= LARGEST && this.#resizeRange(this.#unitOf(address) >>> 4, (size + 127) >>> 7);
    if (isEnough) return address;
    const to = moveBlock(this, this.#source, address, usable, size, alignment, hint);
    // What cannot move stays larger than it has to be.
    return to === NO_ADDRESS && size <= usable ? address : to;
  }

  /** Where it is, growing the heap if it is the last range. */
  #resizeRange(range: number, granules: number): boolean {
    if (resize(this.#words, range, granules)) return true;
    const size = sizeOf(this.#words, range);
    return (
      range + size + this.#tail() === this.#end() && this.#grow(granules - size) && resize(this.#words, range, granules)
    );
  }

  /** The size class, or the granules of the range. */
  usableSize(address: number): number {
    const unit = this.#unitOf(address);
    if (!this.#isLive(unit)) this.#throwMisuse(address);
    const header = this.#words[(unit >>> 4) & -32]!;
    return header < 0 ? slotSizeOf(header) : sizeOf(this.#words, unit >>> 4) * GRANULE;
  }

  /** Exact. */
  owns(address: number): boolean {
    return this.#isLive(this.#unitOf(address));
  }

  #isLive(unit: number): boolean {
    const words = this.#words;
    return words[(unit >>> 4) & -32]! < 0
      ? (words[bitsWordOf(unit)]! & (1 << unit)) !== 0
      : (unit & 15) === 0 && words[unit >>> 4]! >= LIVE;
  }

  /** The offset / 8 of an address that lies in a chunk and is a multiple of 8, or 0, where nothing is live. */
  #unitOf(address: number): number {
    const unit = (address - this.#base) >>> 3;
    return unit >= this.#floor && unit < this.#limit && (unit << 3) + this.#base === address
      ? unit
      : this.#farUnitOf(address);
  }

  /** Beyond the first chunk, or beyond 2 GiB. */
  #farUnitOf(address: number): number {
    for (const { address: first, bytes, start } of this.#chunks.list) {
      const within = address - first;
      if (within >= 0 && within < bytes && within % 8 === 0) return start * 16 + within / 8;
    }
    return 0;
  }

  #addressAt(offset: number): number {
    for (const { address, bytes, start } of this.#chunks.list) {
      const within = offset - start * GRANULE;
      if (within < bytes) return address + within;
    }
    return NO_ADDRESS;
  }

  #lists(): Int32Array {
    return this.#words.subarray(0, SIZE_TABLE);
  }

  /** Merges the ranges that are held back, and gives up magazines and slabs that are not in use. @returns whether there was anything. */
  #letGo(): boolean {
    const any = giveIdle(this.#words, this.#lists(), (slab) => give(this.#words, slab, 0));
    return letGo(this.#words) || any;
  }

  /** Takes memory from the source so that the last chunk ends in so much that is free. First what it lacks; where that does not follow it, all. @returns whether there is more. */
  #grow(granules: number): boolean {
    return this.#extend(Math.max(granules - this.#tail(), 1)) && (this.#tail() >= granules || this.#extend(granules));
  }

  /** Granules that are free at the end of the last chunk. */
  #tail(): number {
    return freeBefore(this.#words, this.#end());
  }

  #extend(granules: number): boolean {
    const { list } = this.#chunks;
    const before = list.at(-1);
    const end = this.#end();
    if (end + granules > MOST_GRANULES) return false;
    const taken = this.#chunks.grow(granules * GRANULE, SLAB_BYTES, SLAB_BYTES);
    const chunk = list.at(-1);
    if (taken === 0 || chunk === undefined) return false;
    // Slabs are aligned among the words, too.
    if (chunk !== before) chunk.start = (end | (SLAB_WORDS - 1)) + 1;
    const words = this.#words;
    if (endOf(chunk) >= words.length) {
      this.#words = this.#wordsFor(endOf(chunk) + SLAB_WORDS);
      this.#words.set(words);
    }
    if (chunk === before) open(this.#words, end, endOf(chunk));
    else this.#open(chunk);
    this.#findFirst();
    return true;
  }

  /** Makes a chunk free. */
  #open(chunk: Chunk): void {
    this.#words[chunk.start] = 0;
    open(this.#words, chunk.start, endOf(chunk));
  }

  /** The granule after the last chunk. */
  #end(): number {
    const last = this.#chunks.list.at(-1);
    return last === undefined ? TAGS - 1 : endOf(last);
  }

  #findFirst(): void {
    const [first] = this.#chunks.list;
    this.#limit = this.#floor = 0;
    if (first === undefined) return;
    this.#base = first.address - first.start * GRANULE;
    this.#floor = first.start * 16;
    this.#limit = Math.min(endOf(first) * 16, 2 ** 28 - 1);
  }

  /** Gives free memory at the ends of the chunks back, and discards pages, as far as the policy says so. */
  #giveSurplus(): void {
    if (!this.#chunks.isDue()) return;
    const { clock, retainMs = 1000 } = this.#policy;
    const free = this.#chunks.list.reduce((sum, chunk) => sum + freeBefore(this.#words, endOf(chunk)), 0);
    this.#giveBack((free - this.#surplus) * GRANULE);
    // Not what stays at the end, up to a slab more than is retained; and not at every free, as that looks at all ranges.
    const now = clock?.now() ?? 0;
    if (now < this.#nextDiscard) return;
    this.#nextDiscard = now + retainMs;
    this.#discard(this.#surplus + SLAB_WORDS);
  }

  /** Discards the pages of free ranges of more than `keep` granules. */
  #discard(keep: number): void {
    this.#walkRanges((range, size, header) => {
      const address = this.#addressAt(range * GRANULE);
      const from = Math.ceil(address / PAGE) * PAGE;
      const to = Math.floor((address + size * GRANULE) / PAGE) * PAGE;
      if (isFree(header) && size > keep && to - from >= 8 * PAGE) discard(this.#chunks, this.#source, from, to - from);
    });
  }

  /** Gives up to `most` free bytes at the ends of the chunks back, from the last chunk on. */
  #giveBack(most: number): void {
    for (const chunk of [...this.#chunks.list].reverse()) {
      const end = endOf(chunk);
      const start = end - freeBefore(this.#words, end);
      // Down to a whole slab, and nothing stays that is too small to be a range.
      let to = Math.ceil(Math.max(start, end - most / GRANULE) / SLAB_WORDS) * SLAB_WORDS;
      if (to !== start && to - start < LEAST_WORDS) to += SLAB_WORDS;
      if (to >= end) continue;
      close(this.#words, end, to);
      this.#chunks.shrink(chunk, (end - to) * GRANULE);
      most -= (end - to) * GRANULE;
    }
    this.#findFirst();
  }

  /** Gives free memory at the ends of the chunks back to the source, and discards the pages of large free ranges. */
  trim(): void {
    this.#letGo();
    this.#giveBack(Infinity);
    this.#discard(0);
  }

  #walkRanges(visit: (range: number, size: number, header: number) => void): void {
    for (const chunk of this.#chunks.list) walk(this.#words, chunk.start, endOf(chunk), visit);
  }

  /** A snapshot, by walking the heap. */
  stats(): HeapStats {
    return measure(this, this.#chunks.bytes, this.#words.length * 4, this.#chunks.calls);
  }

  /** Walks ranges, bins, slabs and lists. */
  check(): void {
    checkRanges(
      this.#words,
      this.#chunks.list.map((chunk) => [chunk.start, endOf(chunk)]),
    );
    const slabs: number[] = [];
    this.#walkRanges((range, _size, header) => {
      if (header < 0) slabs.push(range);
    });
    checkSlabs(this.#words, this.#lists(), slabs);
  }

  /** In address order within each chunk. */
  walk(visit: (address: number, bytes: number) => void): void {
    this.#walkRanges((range, size, header) => {
      const bytes = header < 0 ? slotSizeOf(header) : size * GRANULE;
      const end = (range + size) * GRANULE;
      for (let offset = range * GRANULE; offset + bytes <= end; offset += bytes)
        if (this.#isLive(offset / 8)) visit(this.#addressAt(offset), bytes);
    });
  }

  /** Every chunk becomes one free range. */
  reset(): void {
    this.#words.fill(0);
    CLASS_OF_UNITS.forEach((list, units) => (this.#words[SIZE_TABLE + units] = list * LIST_WORDS));
    for (const chunk of this.#chunks.list) this.#open(chunk);
  }

  /** Gives every chunk back. */
  destroy(): void {
    releaseAll(this.#chunks);
    this.reset();
    this.#findFirst();
    endUse(this);
  }
}

/** The granule after a chunk. */
function endOf({ start, bytes }: Chunk): number {
  return start + bytes / GRANULE;
}
