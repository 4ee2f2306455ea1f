import { endUse, measure, moveBlock } from "./allocator.ts";
import type { Allocator, HeapSource, HeapStats } from "./allocator.ts";
import { checkTags } from "./boundary-tags-check.ts";
import { BoundaryTags, MAX_WORDS, MIN_WORDS } from "./boundary-tags.ts";
import { Chunks } from "./chunks.ts";
import type { Chunk, GrowthPolicy } from "./chunks.ts";
import type { WordMemory } from "./ports.ts";

/** How a heap with boundary tags is built. */
export interface TaggedOptions extends GrowthPolicy {
  /** Makes the allocator's own arrays, zeroed; by default `new Int32Array(words)`. */
  readonly wordsFor?: (words: number) => Int32Array;
}

/** What kind of heap with boundary tags it is. */
export interface TaggedKind {
  /** Bytes of a granule, the unit of addresses and sizes; a power of two. */
  readonly granule: number;
  /** log2 of the words of tags for each granule. */
  readonly shift: number;
  /** The memory that the tags are in, one word before each block; absent where they are in parallel. */
  readonly inBand?: WordMemory | undefined;
  /** What is taken from the source is a multiple of this, and aligned to it; a granule by default. */
  readonly chunkUnit?: number;
  /** How many of the first words in parallel are the heap's own. */
  readonly ownWords?: number;
}

/** Chunks in parallel start at multiples of so many words, so that granule 0 is never a block and slabs are aligned. */
const START_WORDS = 32;
/** A source may give an eighth more than was asked for, and a size must still fit a header. */
const MOST_WORDS: number = Math.floor((MAX_WORDS / 9) * 8);
const PAGE = 4096;

/**
 * What the heaps with boundary tags share: memory from the source and back, addresses, the state in common.
 *
 * In band a block's header is the word before its address: granule n is at (n + 1) × granule, and the tags are the memory's words but for the first few. So the first granule of
 * a chunk holds the header of its first block. In parallel each chunk has granules, and an origin, of its own.
 */
export abstract class TaggedHeap implements Allocator {
  protected readonly core: BoundaryTags;
  protected readonly granule: number;
  /** The address of granule 0 as the first chunk counts, and from which distance on an address is not in it. */
  protected base: number;
  protected limit: number;
  /** Free blocks of so many granules may be worth giving back: asks the policy. */
  protected readonly surplus: number;
  readonly #source: HeapSource;
  readonly #chunks: Chunks;
  readonly #kind: TaggedKind;

  protected constructor(source: HeapSource, options: TaggedOptions, kind: TaggedKind) {
    this.#source = source;
    const { granule, shift, inBand, ownWords = 0 } = kind;
    const { clock, retainBytes = 2 ** 20, wordsFor = (words: number): Int32Array => new Int32Array(words) } = options;
    this.granule = granule;
    this.#kind = kind;
    this.#chunks = new Chunks(source, options);
    const tags = inBand === undefined ? wordsFor(ownWords + START_WORDS) : this.#inBand(inBand);
    this.core = new BoundaryTags(tags, this.#chunks.list, granule, shift, wordsFor);
    this.surplus = clock === undefined ? 2 ** 30 : Math.ceil(retainBytes / granule);
    this.base = inBand === undefined ? 0 : granule;
    this.limit = inBand === undefined ? 0 : 2 ** 31 - 1;
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

  /** The words of the memory from the first that can be the header of granule 0. */
  #inBand({ words }: WordMemory): Int32Array {
    return words.subarray(this.granule / 4 - 1);
  }

  /** Lets go of what is held back for speed. @returns whether there was anything. */
  protected letGo(): boolean {
    return this.core.letGo();
  }

  /** Is told when the words are replaced. */
  protected onTags(_tags: Int32Array): void {}

  /** A block when there was none: out of what was held back, else of new memory. Alignments up to a granule need none. @returns its granule, or 0. */
  protected takeSlowly(granules: number, alignment: number): number {
    const { core, granule } = this;
    const slack = alignment > granule ? alignment / granule + MIN_WORDS : 0;
    for (let attempt = 0; attempt < 3; attempt++) {
      if (attempt === 1 && !this.letGo()) continue;
      if (attempt === 2) this.grow(granules + slack);
      const taken = slack > 0 ? core.takeAligned(granules, alignment) : core.take(granules);
      if (taken !== 0) return taken;
    }
    return 0;
  }

  /** Makes a block `granules` long where it is, growing the heap if the block is its last. @returns whether that was possible. */
  protected resizeInPlace(granule: number, granules: number): boolean {
    const { core } = this;
    if (core.resize(granule, granules)) return true;
    const last = this.#chunks.list.at(-1);
    const size = core.sizeOf(granule);
    if (last === undefined || granule + size + core.freeTail(last) !== core.endOf(last)) return false;
    this.grow(granules - size);
    return core.resize(granule, granules);
  }

  /** Takes memory from the source so that a block of `granules` fits, as far as there is any. */
  protected grow(granules: number): void {
    // A new chunk in band needs a granule for the header of its first block, at address 0 another.
    const whole = granules + (this.#kind.inBand === undefined ? 0 : 2);
    const tail = this.#tail();
    // First what the free end lacks; where that does not follow it, all. (An end that is large enough was not the first of its bin: more makes it so.)
    this.#extend(tail < 0 || tail >= granules ? whole : granules - tail);
    if (this.#tail() < granules) this.#extend(whole);
  }

  /** Granules that are free at the end of the last chunk, or −1 where there is none. */
  #tail(): number {
    const last = this.#chunks.list.at(-1);
    return last === undefined ? -1 : this.core.freeTail(last);
  }

  #extend(granules: number): void {
    const { core, granule } = this;
    const { inBand, shift, chunkUnit = granule, ownWords = 0 } = this.#kind;
    const { list } = this.#chunks;
    const before = list.at(-1);
    const end = before === undefined ? ownWords >>> shift : core.endOf(before);
    // Written so that nonsense, out of tags that were written over, ends here too.
    if (!(end + granules <= MOST_WORDS >>> shift)) return;
    const added = this.#chunks.grow(granules * granule, chunkUnit, chunkUnit);
    const chunk = list.at(-1);
    if (added === 0 || chunk === undefined) return;
    const isNew = chunk !== before;
    if (inBand !== undefined) {
      core.tags = this.#inBand(inBand);
      chunk.start = chunk.address / granule - 1;
      chunk.first = Math.max(chunk.start, 0) + 1;
    } else if (isNew) chunk.start = chunk.first = (((end << shift) | (START_WORDS - 1)) + 1) >>> shift;
    const newEnd = core.endOf(chunk);
    if (isNew && (newEnd - chunk.first) << shift < MIN_WORDS) {
      this.#chunks.shrink(chunk, chunk.bytes);
      return;
    }
    if (inBand === undefined) this.#reach(((newEnd << shift) | (START_WORDS - 1)) + 1);
    core.grow(isNew ? chunk.first : end, newEnd, isNew);
    this.#findFirst();
  }

  /** Makes the tags in parallel at least so many words. */
  #reach(words: number): void {
    if (words <= this.core.tags.length) return;
    const tags = this.core.wordsFor(words);
    tags.set(this.core.tags);
    this.core.tags = tags;
    this.onTags(tags);
  }

  #findFirst(): void {
    const [first] = this.#chunks.list;
    if (this.#kind.inBand !== undefined) return;
    this.base = first === undefined ? 0 : first.address - first.start * this.granule;
    this.limit = first === undefined ? 0 : Math.min(this.core.endOf(first) * this.granule, 2 ** 31 - 1);
  }

  /** Gives free memory at the end of the heap back as far as the policy says so. */
  protected giveSurplus(): void {
    const last = this.#chunks.list.at(-1);
    if (last !== undefined) this.#cut(last, this.#chunks.surplus(this.core.freeTail(last) * this.granule));
  }

  /** Gives up to `most` free bytes at the end of a chunk back. */
  #cut(chunk: Chunk, most: number): void {
    const { core, granule } = this;
    const tail = core.freeTail(chunk);
    let granules = Math.min(tail, Math.floor(most / granule));
    if (granules < tail && tail - granules < MIN_WORDS) granules -= MIN_WORDS;
    if (granules <= 0) return;
    core.cut(chunk, granules);
    // In band a chunk's first granule holds the header of its first block, and goes with the last of them.
    const isLast = core.endOf(chunk) - granules === chunk.first;
    this.#chunks.shrink(chunk, isLast ? chunk.bytes : granules * granule);
    this.#findFirst();
  }

  /** Gives free memory at the ends of the chunks back to the source, and discards the pages of large free blocks. */
  trim(): void {
    const { core, granule } = this;
    this.letGo();
    for (const chunk of [...this.#chunks.list].reverse()) this.#cut(chunk, Infinity);
    core.walk((at, granules, isUsed) => {
      // The tags of a free block in band stay: its first three words and its last.
      const address = core.addressOf(at);
      const from = Math.ceil((address + 16) / PAGE) * PAGE;
      const to = Math.floor((address + granules * granule - 16) / PAGE) * PAGE;
      if (!isUsed && to - from >= 8 * PAGE) this.#chunks.discard(from, to - from);
    });
  }

  /** Own state besides the tags, in bytes. */
  protected get ownBytes(): number {
    return 0;
  }

  /** A snapshot, by walking the heap. */
  stats(): HeapStats {
    const { state, tags } = this.core;
    const words = state.length + (this.#kind.inBand === undefined ? tags.length : 0);
    return measure(this, this.#chunks.bytes, words * 4 + this.ownBytes, this.#chunks.calls);
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
    this.reset();
    this.#findFirst();
    endUse(this);
  }
}
