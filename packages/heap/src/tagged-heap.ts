import { endUse, measure, moveBlock } from "./allocator.ts";
import type { Allocator, HeapSource, HeapStats } from "./allocator.ts";
import { checkTags } from "./boundary-tags-check.ts";
import { BoundaryTags, MAX_WORDS, MIN_WORDS } from "./boundary-tags.ts";
import { Chunks } from "./chunks.ts";
import type { GrowthPolicy } from "./chunks.ts";
import type { WordMemory } from "./ports.ts";
import { addressOf } from "./regions.ts";
import type { Geometry } from "./regions.ts";

/** How a heap with boundary tags is built. */
export interface TaggedOptions extends GrowthPolicy {
  /** Makes the allocator's own arrays, zeroed; by default `new Int32Array(words)`. */
  readonly wordsFor?: (words: number) => Int32Array;
}

/** Regions in parallel start at multiples of so many words, so that word 0 is never a block and slabs are aligned. */
const START_WORDS = 32;
/** A source may give an eighth more than was asked for, and a size must still fit a header. */
const MOST_WORDS: number = Math.floor((MAX_WORDS / 9) * 8);
const PAGE = 4096;

/** What the heaps with boundary tags share: memory from the source and back, addresses, the state in common. */
export abstract class TaggedHeap implements Allocator {
  protected readonly core: BoundaryTags;
  protected readonly granule: number;
  /** The address of granule 0 of the first region, and from which distance on an address is not in it. */
  protected base = 0;
  protected limit = 0;
  /** Free blocks from this size on may be worth giving back: asks the policy. */
  protected readonly surplusWords: number;
  readonly #source: HeapSource;
  readonly #chunks: Chunks;
  /** The memory with the tags in it, or null where they are in parallel. */
  readonly #inBand: WordMemory | null;
  readonly #wordsFor: (words: number) => Int32Array;
  readonly #chunkUnit: number;
  readonly #ownWords: number;

  /**
   * @param chunkUnit what is taken from the source is a multiple of this, and aligned to it.
   * @param ownWords how many of the first words in parallel are the heap's own.
   */
  protected constructor(
    source: HeapSource,
    options: TaggedOptions,
    geometry: Geometry,
    chunkUnit: number,
    inBand: WordMemory | null,
    ownWords = 0,
  ) {
    this.#source = source;
    this.granule = geometry.granule;
    this.#inBand = inBand;
    this.#chunkUnit = chunkUnit;
    this.#ownWords = ownWords;
    this.#chunks = new Chunks(source, options);
    this.#wordsFor = options.wordsFor ?? ((words) => new Int32Array(words));
    this.core = new BoundaryTags(inBand?.words ?? this.#wordsFor(ownWords + START_WORDS), geometry, this.#wordsFor);
    const { clock, retainBytes = 2 ** 20 } = options;
    this.surplusWords = clock === undefined ? Infinity : (retainBytes / this.granule) * 2 ** geometry.unitShift;
  }

  abstract allocate(size: number, alignment?: number, hint?: number): number;
  abstract free(address: number): void;
  abstract resize(address: number, size: number): number;
  abstract usableSize(address: number): number;
  abstract owns(address: number): boolean;
  abstract walk(visit: (address: number, bytes: number) => void): void;

  /** Moves a block that can hold `usable` to one of `size`. */
  protected move(address: number, usable: number, size: number): number {
    return moveBlock(this, this.#source, address, usable, size);
  }

  /** Lets go of what is held back for speed. @returns whether there was anything. */
  protected letGo(): boolean {
    return this.core.letGo();
  }

  /** Is told when the words are replaced. */
  protected onTags(_tags: Int32Array): void {}

  /** A block when there was none: out of what was held back, else of new memory. Alignments up to a granule need none. @returns 0 for none. */
  protected takeSlowly(words: number, alignment: number): number {
    const { core, granule } = this;
    const aligned = alignment > granule ? ((alignment / granule) << core.geometry.unitShift) + MIN_WORDS : 0;
    for (let attempt = 0; attempt < 3; attempt++) {
      if (attempt === 1 && !this.letGo()) continue;
      if (attempt === 2) this.grow(words + aligned);
      const block = aligned > 0 ? core.takeAligned(words, alignment) : core.take(words);
      if (block !== 0) return block;
    }
    return 0;
  }

  /** Makes a block `words` long where it is, growing the heap if the block is its last. @returns whether that was possible. */
  protected resizeInPlace(block: number, words: number): boolean {
    const { core } = this;
    if (core.resize(block, words)) return true;
    const last = core.regions.at(-1);
    const size = core.wordsOf(block);
    if (last === undefined || block + size + core.freeTail(last) !== last.end - 1) return false;
    this.grow(words - size);
    return core.resize(block, words);
  }

  /** Takes memory from the source so that a block of `words` fits, as far as there is any. */
  protected grow(words: number): void {
    const { header, unitShift } = this.core.geometry;
    // A new region in band needs a granule for the header of its first block.
    const whole = words + (header << unitShift);
    const tail = this.#tail();
    // First what the free end lacks; where that does not follow it, all. (An end that is large enough was not the first of its bin: more makes it so.)
    const lacking = tail < 0 || tail >= words ? whole : words - tail;
    if (this.#extend(lacking) || this.#tail() >= words) return;
    this.#extend(whole);
  }

  /** Words that are free at the end of the last region, or −1 where there is none. */
  #tail(): number {
    const last = this.core.regions.at(-1);
    return last === undefined ? -1 : this.core.freeTail(last);
  }

  /** @returns whether the new memory follows the last region, or there is none. */
  #extend(words: number): boolean {
    const { core, granule } = this;
    const { unitShift } = core.geometry;
    const end = core.regions.at(-1)?.end ?? this.#ownWords;
    // Written so that nonsense, out of tags that were written over, ends here too.
    if (!(end + words <= MOST_WORDS)) return true;
    const added = this.#chunks.grow((words >>> unitShift) * granule, this.#chunkUnit, this.#chunkUnit);
    const chunk = this.#chunks.list.at(-1);
    if (added === 0 || chunk === undefined) return true;
    const isNew = chunk.bytes === added;
    if (this.#inBand !== null) {
      core.tags = this.#inBand.words;
      core.grow(isNew ? (chunk.address + granule) / 4 - 1 : end - 1, (chunk.address + chunk.bytes) / 4, 0);
    } else {
      const start = isNew ? (Math.floor(end / START_WORDS) + 1) * START_WORDS : end - 1;
      const newEnd = start + ((added / granule) << unitShift) + 1;
      this.#reach(newEnd);
      core.grow(start, newEnd, chunk.address - (start >>> unitShift) * granule);
    }
    this.#findFirst();
    return !isNew;
  }

  /** Makes the tags in parallel cover the words up to `end`. */
  #reach(end: number): void {
    if (end <= this.core.tags.length) return;
    const tags = this.#wordsFor(Math.ceil(end / START_WORDS) * START_WORDS);
    tags.set(this.core.tags);
    this.core.tags = tags;
    this.onTags(tags);
  }

  #findFirst(): void {
    const [first] = this.core.regions;
    this.base = first?.base ?? 0;
    this.limit =
      this.#inBand === null ? (((first?.end ?? 1) - 1) >>> this.core.geometry.unitShift) * this.granule : 2 ** 31 - 1;
  }

  /** Gives free memory at the end of the heap back as far as the policy says so. */
  protected giveSurplus(): void {
    const at = this.core.regions.length - 1;
    const last = this.core.regions[at];
    if (last !== undefined) this.#cut(at, this.#chunks.surplus(this.#bytesOf(this.core.freeTail(last))));
  }

  #bytesOf(words: number): number {
    return (words >>> this.core.geometry.unitShift) * this.granule;
  }

  /** Gives up to `most` free bytes at the end of a region back. */
  #cut(at: number, most: number): void {
    const { core } = this;
    const chunk = this.#chunks.list[at];
    const region = core.regions[at];
    if (chunk === undefined || region === undefined) return;
    const tail = core.freeTail(region);
    let words = Math.min(tail, Math.floor(most / this.granule) * 2 ** core.geometry.unitShift);
    if (words < tail && tail - words < MIN_WORDS) words -= MIN_WORDS;
    if (words <= 0) return;
    // In band a chunk's first granule holds the header of its first block, and goes with the last of them.
    const isWhole = words === region.end - 1 - region.start;
    core.cut(region, words);
    this.#chunks.shrink(chunk, isWhole ? chunk.bytes : this.#bytesOf(words));
    this.#findFirst();
  }

  /** Gives free memory at the ends of the chunks back to the source, and discards the pages of large free blocks. */
  trim(): void {
    const { core } = this;
    this.letGo();
    for (let at = core.regions.length - 1; at >= 0; at--) this.#cut(at, Infinity);
    core.walk((block, words, isUsed) => {
      // The tags of a free block in band stay: its first three words and its last.
      const address = addressOf(core, block);
      const slack = 8 * core.geometry.header;
      const from = Math.ceil((address + slack) / PAGE) * PAGE;
      const to = Math.floor((address + this.#bytesOf(words) - slack) / PAGE) * PAGE;
      if (!isUsed && to - from >= 8 * PAGE) this.#chunks.discard(from, to - from);
    });
  }

  /** Own state besides the tags, in bytes. */
  protected get ownBytes(): number {
    return 0;
  }

  /** A snapshot, by walking the heap. */
  stats(): HeapStats {
    const { core } = this;
    const tags = this.#inBand === null ? core.tags.length * 4 : 0;
    return measure(this, this.#chunks.bytes, core.bytes + tags + this.ownBytes, this.#chunks.calls);
  }

  /** Walks blocks, bins and bitmaps. */
  check(): void {
    checkTags(this.core);
  }

  /** Every chunk becomes one free block. */
  reset(): void {
    this.core.reset();
  }

  /** Gives every chunk back. */
  destroy(): void {
    this.#chunks.releaseAll();
    this.core.regions = [];
    this.reset();
    this.#findFirst();
    endUse(this);
  }
}
