import { endUse, measure, moveBlock } from "./allocator.ts";
import type { Allocator, HeapSource, HeapStats } from "./allocator.ts";
import { checkTags } from "./boundary-tags-check.ts";
import {
  binAfter,
  binOf,
  BINS,
  carve,
  close,
  HEADS,
  letGo,
  markUsed,
  MAX_WORDS,
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

/** How a heap with boundary tags is built. */
export interface TaggedOptions extends GrowthPolicy {
  /** Makes the allocator's own arrays, zeroed; by default `new Int32Array(words)`. */
  readonly wordsFor?: (words: number) => Int32Array;
}

/** Chunks in parallel start at multiples of so many words, so that granule 0 is never a block and slabs are aligned. */
const START_WORDS = 32;
/** A source may give an eighth more than was asked for, and a size must still fit a header. */
const MOST_WORDS: number = Math.floor((MAX_WORDS / 9) * 8);
const PAGE = 4096;

/**
 * What the heaps with boundary tags share: memory from the source and back, addresses, the state in common. The tags are in parallel, unless a subclass
 * says otherwise: each chunk has granules, and an origin, of its own.
 */
export abstract class TaggedHeap implements Allocator {
  /** The words with the blocks' tags. */
  protected tags: Int32Array;
  /** Bins, magazines, bitmap. */
  protected state: Int32Array;
  /** Bytes of a granule, the unit of addresses and sizes. */
  protected readonly granule: number;
  /** log2 of the words of tags for each granule. */
  protected readonly shift: number;
  /** The address of granule 0 as the first chunk counts; at which distance from there that starts and ends, as far as 31 bits go. */
  protected base = 0;
  protected floor = 0;
  protected limit = 0;
  /** Free blocks of so many granules may be worth giving back: asks the policy. */
  protected readonly surplus: number;
  protected readonly chunks: Chunks;
  protected readonly wordsFor: (words: number) => Int32Array;
  readonly #source: HeapSource;
  readonly #unit: number;
  /** Of the tags, the first that is no word of the heap's own. */
  readonly #firstWord: number;
  readonly #spare: number;

  /**
   * @param unit what is taken from the source is a multiple of this, and aligned to it.
   * @param ownWords how many of the first words of tags are the heap's own.
   * @param spare how many granules of a new chunk may be no block's.
   */
  protected constructor(
    source: HeapSource,
    options: TaggedOptions,
    granule: number,
    shift: number,
    unit: number,
    ownWords: number,
    spare: number,
  ) {
    const { clock, retainBytes = 2 ** 20, wordsFor = (words: number): Int32Array => new Int32Array(words) } = options;
    this.#source = source;
    this.granule = granule;
    this.shift = shift;
    this.#unit = unit;
    this.#firstWord = ownWords;
    this.#spare = spare;
    this.wordsFor = wordsFor;
    this.chunks = new Chunks(source, options);
    this.tags = wordsFor(ownWords);
    this.state = wordsFor(STARTS);
    this.surplus = clock === undefined ? 2 ** 30 : Math.ceil(retainBytes / granule);
  }

  abstract allocate(size: number, alignment?: number, hint?: number): number;
  abstract free(address: number): void;
  abstract resize(address: number, size: number): number;
  abstract usableSize(address: number): number;
  abstract owns(address: number): boolean;
  abstract walk(visit: (address: number, bytes: number) => void): void;

  /** Numbers the granules of a chunk, new or longer, and makes sure that there are tags for all of them, and for what follows. */
  protected number(chunk: Chunk, isNew: boolean): void {
    const { shift, tags } = this;
    if (isNew) {
      const before = this.chunks.list.at(-2);
      const end = before === undefined ? this.#firstWord : this.endOf(before) << shift;
      chunk.start = chunk.first = ((end | (START_WORDS - 1)) + 1) >>> shift;
    }
    const words = ((this.endOf(chunk) << shift) | (START_WORDS - 1)) + 1;
    if (words > tags.length) {
      this.tags = this.wordsFor(words);
      this.tags.set(tags);
    }
  }

  /** Takes the tags anew where their array is no longer valid. */
  protected refresh(): void {}

  /** Words of the heap's own. */
  protected get ownWords(): number {
    return this.state.length + this.tags.length;
  }

  /** The granule after a chunk. */
  protected endOf({ start, bytes }: Chunk): number {
    return start + bytes / this.granule;
  }

  /** The address of a granule. */
  protected addressOf(granule: number): number {
    for (const { address, bytes, start } of this.chunks.list) {
      const offset = (granule - start) * this.granule;
      if (offset < bytes) return address + offset;
    }
    return -1;
  }

  /** The granule of an address, or −1. */
  protected granuleAt(address: number): number {
    for (const chunk of this.chunks.list) {
      const granule = chunk.start + (address - chunk.address) / this.granule;
      if (granule >= chunk.start && granule < this.endOf(chunk) && granule % 1 === 0) return granule;
    }
    return -1;
  }

  /** Lets go of what is held back for speed. @returns whether there was anything. */
  protected letGo(): boolean {
    return letGo(this.tags, this.state, this.shift);
  }

  /** Takes a block whose address is a multiple of `alignment`. @returns its first granule, or 0. */
  protected takeAligned(granules: number, alignment: number): number {
    const { granule, shift, state, tags } = this;
    const words = granules << shift;
    const aligned = (alignment / granule) << shift;
    const own = binOf(words);
    const slack = Math.min(binOf(words + aligned + MIN_WORDS), BINS);
    // The first block of the size's own bin may do, or of the next one that is not empty; then the same with the most slack that may be
    // needed: of that bin, where the heap has just grown by so much, and of the next, which does.
    for (const bin of [own, binAfter(state, own), slack, binAfter(state, slack)]) {
      const block = state[HEADS + bin]!;
      let start = block + (((-this.addressOf(block >>> shift) & (alignment - 1)) / granule) << shift);
      while (start !== block && start - block < MIN_WORDS) start += aligned;
      if (block === 0 || start + words > block + (tags[block]! >>> 2)) continue;
      carve(tags, state, block, start, words);
      markUsed(state, start >> shift);
      return start >> shift;
    }
    return 0;
  }

  /** A block when there was none: out of what was held back, else of new memory. Alignments up to a granule need none. @returns its granule, or 0. */
  protected takeSlowly(granules: number, alignment: number): number {
    let taken = this.#attempt(granules, alignment);
    if (taken === 0 && this.letGo()) taken = this.#attempt(granules, alignment);
    if (taken !== 0) return taken;
    this.grow(alignment > this.granule ? granules + alignment / this.granule + MIN_WORDS : granules);
    return this.#attempt(granules, alignment);
  }

  #attempt(granules: number, alignment: number): number {
    return alignment > this.granule
      ? this.takeAligned(granules, alignment)
      : take(this.tags, this.state, this.shift, granules);
  }

  /** Makes a block `granules` long where it is, growing the heap if the block is its last. @returns whether that was possible. */
  protected resizeInPlace(granule: number, granules: number): boolean {
    const { tags, shift } = this;
    if (resize(tags, this.state, shift, granule, granules)) return true;
    const size = sizeOf(tags, shift, granule);
    const last = this.chunks.list.at(-1);
    if (last === undefined || granule + size + this.#tail() !== this.endOf(last)) return false;
    this.grow(granules - size);
    return resize(this.tags, this.state, shift, granule, granules);
  }

  /** Takes memory from the source so that a block of `granules` fits, as far as there is any. */
  protected grow(granules: number): void {
    // First what the free end lacks; where that does not follow it, all. (An end that is large enough was not the first of its bin: more makes it so.)
    this.#extend(Math.max(granules - this.#tail(), 1 + 2 * this.#spare));
    if (this.#tail() < granules) this.#extend(granules + this.#spare);
  }

  #extend(granules: number): void {
    const { granule, shift } = this;
    const { list } = this.chunks;
    const before = list.at(-1);
    const end = before === undefined ? 0 : this.endOf(before);
    // Written so that nonsense, out of tags that were written over, ends here too.
    if (!(end + granules <= MOST_WORDS >>> shift) || this.chunks.grow(granules * granule, this.#unit, this.#unit) === 0)
      return;
    const chunk = list.at(-1);
    if (chunk === undefined) return;
    this.number(chunk, chunk !== before);
    if (chunk !== before) this.tags[chunk.first << shift] = 0;
    this.#open(chunk, chunk === before ? end : chunk.first);
  }

  /** Makes a chunk free from a granule on. */
  #open(chunk: Chunk, from: number): void {
    const end = this.endOf(chunk);
    const { state } = this;
    const needed = STARTS + (end >>> 5) + 1;
    if (needed > state.length) {
      this.state = this.wordsFor(needed + ((needed - STARTS) >>> 3));
      this.state.set(state);
    }
    open(this.tags, this.state, this.shift, from << this.shift, end << this.shift);
    this.#findFirst();
  }

  #findFirst(): void {
    const [first] = this.chunks.list;
    this.limit = this.floor = 0;
    if (first === undefined) return;
    this.base = first.address - first.start * this.granule;
    this.floor = first.first * this.granule;
    this.limit = Math.min(this.endOf(first) * this.granule, 2 ** 31 - 1);
  }

  /** Granules that are free at the end of a chunk, the last one by default: no more than it has, whatever was written over its last word. */
  #tail(chunk: Chunk | undefined = this.chunks.list.at(-1)): number {
    if (chunk === undefined) return -this.#spare;
    const granules = this.endOf(chunk) - chunk.first;
    const end = (chunk.first + granules) << this.shift;
    return this.tags[end]! & PREVIOUS_FREE ? Math.min(this.tags[end - 1]! >>> this.shift, granules) : 0;
  }

  /** Gives free memory at the ends of the chunks back as far as the policy says so. */
  protected giveSurplus(): void {
    const free = this.chunks.list.reduce((sum, chunk) => sum + this.#tail(chunk), 0);
    this.#giveBack(this.chunks.surplus(free * this.granule));
  }

  /** Gives up to `most` bytes at the ends of the chunks back, from the last chunk on. */
  #giveBack(most: number): void {
    const least = this.chunks.bytes - most;
    for (const chunk of [...this.chunks.list].reverse()) this.#cut(chunk, this.chunks.bytes - least);
  }

  /** Gives up to `most` free bytes at the end of a chunk back. */
  #cut(chunk: Chunk, most: number): void {
    const { granule, shift } = this;
    const tail = this.#tail(chunk);
    const end = this.endOf(chunk);
    let granules = Math.min(tail, Math.floor(most / granule));
    if (granules < tail && tail - granules < MIN_WORDS) granules -= MIN_WORDS;
    if (granules <= 0) return;
    close(this.tags, this.state, end << shift, granules << shift);
    // In band a chunk's first granule holds the header of its first block, and goes with the last of them.
    this.chunks.shrink(chunk, end - granules === chunk.first ? chunk.bytes : granules * granule);
    this.#findFirst();
  }

  /** Gives free memory at the ends of the chunks back to the source, and discards the pages of large free blocks. */
  trim(): void {
    this.refresh();
    this.letGo();
    this.#giveBack(Infinity);
    this.walkAll((at, granules, isUsed) => {
      // The tags of a free block in band stay: its first three words and its last.
      const address = this.addressOf(at);
      const from = Math.ceil((address + 16) / PAGE) * PAGE;
      const to = Math.floor((address + granules * this.granule - 16) / PAGE) * PAGE;
      if (!isUsed && to - from >= 8 * PAGE) this.chunks.discard(from, to - from);
    });
  }

  /** Moves a block that can hold `usable` to one of `size`. */
  protected move(address: number, usable: number, size: number): number {
    return moveBlock(this, this.#source, address, usable, size);
  }

  /** Says what is wrong with an address where no block starts. Slow: what is in no live block was freed before. */
  protected throwMisuse(address: number, isSlot: boolean = this.granuleAt(address) >= 0): never {
    let isDouble = isSlot;
    this.walk((start, bytes) => (isDouble &&= address < start || address >= start + bytes));
    throw new HeapError(isDouble ? "double-free" : "wild-free", address);
  }

  /** Visits the blocks of all chunks. */
  protected walkAll(visit: (granule: number, granules: number, isUsed: boolean) => void): void {
    this.refresh();
    for (const chunk of this.chunks.list)
      walk(this.tags, this.state, this.shift, chunk.first, this.endOf(chunk), visit);
  }

  /** A snapshot, by walking the heap. */
  stats(): HeapStats {
    return measure(this, this.chunks.bytes, this.ownWords * 4, this.chunks.calls);
  }

  /** Walks blocks, bins and bitmaps. */
  check(): void {
    this.refresh();
    const chunks = this.chunks.list.map((chunk) => [chunk.first, this.endOf(chunk)] as const);
    checkTags(this.tags, this.state, this.shift, chunks);
  }

  /** Every chunk becomes one free block. */
  reset(): void {
    this.refresh();
    this.state.fill(0);
    for (const chunk of this.chunks.list) {
      this.tags[chunk.first << this.shift] = 0;
      this.#open(chunk, chunk.first);
    }
  }

  /** Gives every chunk back. */
  destroy(): void {
    this.chunks.releaseAll();
    this.reset();
    this.#findFirst();
    endUse(this);
  }
}
