import { BaseAllocator, memoryOf, NO_ADDRESS, requireInvariant, requireRequest } from "./allocator.ts";
import type { HeapSource, HeapStats } from "./allocator.ts";
import { BoundaryTags, MAX_WORDS, MIN_WORDS } from "./boundary-tags.ts";
import { Chunks } from "./chunks.ts";
import type { Chunk, GrowthPolicy } from "./chunks.ts";
import { HeapError } from "./errors.ts";
import type { WordMemory } from "./ports.ts";

/** Blocks of one size that are held back before they are merged. */
const HELD_BLOCKS = 8;

/** How a TLSF heap is built. */
export interface TlsfOptions extends GrowthPolicy {
  /**
   * All addresses and sizes are multiples of this power of two. In band 8 (default) or 16, the alignment of every block; in parallel at least 4, 16 by default.
   */
  readonly granule?: number;
  /** Where the boundary tags live; by default in band where the source's words can be reached. */
  readonly tags?: "in-band" | "parallel";
  /** Makes the allocator's own arrays, zeroed; by default `new Int32Array(words)`. */
  readonly wordsFor?: (words: number) => Int32Array;
}

/**
 * Two-level segregated fit: every operation takes a bounded number of steps, free neighbours merge at once.
 *
 * Over memory whose words can be reached (`WordMemory`) the boundary tags are in band: 4 bytes before each block, so a block of 8k + 4
 * bytes wastes nothing. Over any other source the same tags are in a parallel array, 16 bytes for each granule of the range: choose
 * the granule accordingly. A bitmap outside the heap knows where blocks start, one bit for each granule, so that misuse is detected whatever
 * was written into the heap.
 *
 * A heap holds less than 2 GiB in band, less than 2^27 granules in parallel.
 */
export class Tlsf extends BaseAllocator {
  readonly #core: BoundaryTags;
  readonly #chunks: Chunks;
  /** The memory with the tags, or null where they are parallel. */
  readonly #inBand: WordMemory | null;
  readonly #makeWords: (words: number) => Int32Array;
  /** The words that the core works on. */
  #tags: Int32Array;
  readonly #granule: number;
  /** log2 of the granule, log2 of the words for each granule. */
  readonly #granuleShift: number;
  readonly #unitShift: number;
  /** Words by which a block starts below its address: 1 in band. */
  readonly #header: number;
  /** Added to a size before it is cut down to granules. */
  readonly #extra: number;
  readonly #largest: number;
  /** Free blocks from this size on may be worth giving back: asks the policy. */
  readonly #largeWords: number;
  /** The address of granule 0, and one past the last granule, of the first chunk. In band: of the whole memory. */
  #base = 0;
  #limit: number;

  /** @throws HeapError `bad-option` for a granule that does not fit, or tags in band where no words can be reached. */
  constructor(source: HeapSource & Partial<WordMemory>, options: TlsfOptions = {}) {
    super(memoryOf(source));
    const inBand = (options.tags ?? (source.words === undefined ? "parallel" : "in-band")) === "in-band";
    const granule = options.granule ?? (inBand ? 8 : 16);
    const log = 31 - Math.clz32(granule);
    if (granule !== 2 ** log || (inBand ? granule !== 8 && granule !== 16 : granule < 4))
      throw new HeapError(
        "bad-option",
        granule,
        "the granule must be 8 or 16 in band, a power of two from 4 in parallel",
      );
    if (inBand && source.words === undefined)
      throw new HeapError("bad-option", granule, "tags in band need a source with words");
    this.#inBand = inBand ? (source as WordMemory) : null;
    this.#makeWords = options.wordsFor ?? ((words) => new Int32Array(words));
    this.#chunks = new Chunks(source, options);
    this.#granule = granule;
    this.#granuleShift = log;
    this.#unitShift = inBand ? log - 2 : 2;
    this.#header = inBand ? 1 : 0;
    this.#extra = granule - 1 + this.#header * 4;
    this.#largest = Math.min((MAX_WORDS >>> this.#unitShift) * granule, 2 ** 32) - 2 * this.#extra - 64;
    this.#limit = inBand ? 2 ** 30 : 0;
    this.#largeWords =
      options.clock === undefined ? Infinity : ((options.retainBytes ?? 2 ** 20) / granule) * 2 ** this.#unitShift;
    this.#tags = this.#inBand?.words ?? new Int32Array(0);
    this.#core = new BoundaryTags(this.#tags, this.#unitShift, HELD_BLOCKS, this.#makeWords);
  }

  /** O(1): a look into a bitmap, one block unlinked, its rest linked. */
  allocate(size: number, alignment = 0, _hint = 0): number {
    if (size >>> 0 !== size || alignment !== 0) return this.#allocateOdd(size, alignment);
    if (size > this.#largest) return NO_ADDRESS;
    const units = (size + this.#extra) >>> this.#granuleShift;
    const words = Math.max(units << this.#unitShift, MIN_WORDS);
    let block = this.#core.take(words);
    if (block === 0) {
      if (this.#core.letGo()) block = this.#core.take(words);
      if (block === 0) {
        this.#grow(words);
        block = this.#core.take(words);
      }
      if (block === 0) return NO_ADDRESS;
    }
    const granule = (block + this.#header) >>> this.#unitShift;
    return granule < this.#limit ? this.#base + granule * this.#granule : this.#addressOf(block);
  }

  /** O(1): merges with both neighbours. */
  free(address: number): void {
    const granule = (address - this.#base) >>> this.#granuleShift;
    const block = (granule << this.#unitShift) - this.#header;
    if (this.#base + granule * this.#granule !== address || granule >= this.#limit) this.#freeFar(address);
    else {
      const words = this.#core.give(block);
      if (words === 0) this.#throwMisuse(address);
      if (words >= this.#largeWords) this.#considerTrim();
    }
  }

  #freeFar(address: number): void {
    const block = this.#blockAt(address);
    if (block <= 0 || this.#core.give(block) === 0) this.#throwMisuse(address);
  }

  #considerTrim(): void {
    const region = this.#core.regions.at(-1);
    if (region === undefined) return;
    const free = (this.#core.freeTail(region) >>> this.#unitShift) * this.#granule;
    this.#trimChunk(this.#core.regions.length - 1, this.#chunks.surplus(free));
  }

  /** Slow, for the message: a free block that holds the address means that it was freed before. */
  #throwMisuse(address: number): never {
    const down = address - (((address % this.#granule) + this.#granule) % this.#granule);
    const block = this.#blockAt(down);
    throw new HeapError(block > 0 && this.#core.isFreeAt(block) ? "double-free" : "wild-free", address);
  }

  /** In place where the block's tail can be returned or the block after it is free, else by moving. */
  override resize(address: number, size: number): number {
    const block = this.#liveBlock(address);
    requireRequest(size, 0);
    if (size > this.#largest) return NO_ADDRESS;
    const words = this.#wordsFor(size);
    if (this.#core.resize(block, words)) return address;
    if (this.#endsHeap(block)) {
      this.#grow(words - this.#core.wordsOf(block));
      if (this.#core.resize(block, words)) return address;
    }
    return this.move(address, this.usableSize(address), size);
  }

  /** Whether nothing but free memory follows the block, so that growing the heap lets it grow in place. */
  #endsHeap(block: number): boolean {
    const region = this.#core.regions.at(-1);
    if (region === undefined) return false;
    return block + this.#core.wordsOf(block) + this.#core.freeTail(region) === region.end - 1;
  }

  /** Words of the block less its header. */
  usableSize(address: number): number {
    const block = this.#liveBlock(address);
    return (this.#core.wordsOf(block) >>> this.#unitShift) * this.#granule - 4 * this.#header;
  }

  /** Exact: asks the bitmap of starts. */
  owns(address: number): boolean {
    const block = this.#blockAt(address);
    return block > 0 && this.#core.isUsed(block);
  }

  /** Gives free memory at the ends of the chunks back to the source, and discards the pages of large free blocks. */
  trim(): void {
    this.#core.letGo();
    for (let at = this.#chunks.list.length - 1; at >= 0; at--) this.#trimChunk(at, Infinity);
    const large: [number, number][] = [];
    this.#core.walkLarge((65536 / this.#granule) << this.#unitShift, (block, words) => {
      large.push([this.#addressOf(block), (words >>> this.#unitShift) * this.#granule]);
    });
    for (const [address, bytes] of large) {
      // The tags of a free block in band stay: its first three words and its last.
      const from = Math.ceil((address + 8 * this.#header) / 4096) * 4096;
      const to = Math.floor((address + bytes - 8 * this.#header) / 4096) * 4096;
      if (to > from && !this.#chunks.discard(from, to - from)) return;
    }
  }

  /** Gives up to `most` free bytes at the end of a chunk back. */
  #trimChunk(at: number, most: number): void {
    const chunk = this.#chunks.list[at];
    const region = this.#core.regions[at];
    if (chunk === undefined || region === undefined) return;
    const tail = this.#core.freeTail(region);
    if (tail === 0) return;
    const whole = tail === region.end - 1 - region.start;
    let words = Math.min(tail, Math.floor(most / this.#granule) * 2 ** this.#unitShift);
    if (words < tail && tail - words < MIN_WORDS) words -= MIN_WORDS;
    if (words <= 0) return;
    this.#core.cutRegion(region, words);
    // In band, a chunk's first granule holds the header of its first block and goes with the last of them.
    const bytes = (words >>> this.#unitShift) * this.#granule;
    this.#chunks.shrink(chunk, whole && words === tail ? chunk.bytes : bytes);
    this.#findFirstChunk();
  }

  #allocateOdd(size: number, alignment: number): number {
    requireRequest(size, alignment);
    if (size > this.#largest) return NO_ADDRESS;
    if (alignment <= this.#granule) return this.allocate(size);
    const words = this.#wordsFor(size);
    const aligned = (alignment / this.#granule) << this.#unitShift;
    const phaseOf = (block: number): number =>
      (((this.#addressOf(block) / this.#granule) % (alignment / this.#granule)) << this.#unitShift) - block;
    let block = this.#core.takeAligned(words, aligned, phaseOf);
    if (block === 0 && this.#core.letGo()) block = this.#core.takeAligned(words, aligned, phaseOf);
    if (block === 0) {
      this.#grow(words + aligned + MIN_WORDS);
      block = this.#core.takeAligned(words, aligned, phaseOf);
    }
    return block === 0 ? NO_ADDRESS : this.#addressOf(block);
  }

  #wordsFor(size: number): number {
    return Math.max(((size + this.#extra) >>> this.#granuleShift) << this.#unitShift, MIN_WORDS);
  }

  /** Takes memory from the source so that a block of `words` fits, as far as there is any. */
  #grow(words: number): void {
    const region = this.#core.regions.at(-1);
    const tail = region === undefined ? 0 : this.#core.freeTail(region);
    for (const wanted of tail > 0 ? [words - tail, words] : [words]) {
      if (wanted <= 0) continue;
      const before = this.#chunks.list.length;
      const end = this.#core.regions.at(-1)?.end ?? 0;
      const bytes = ((wanted >>> this.#unitShift) + 2) * this.#granule;
      if ((this.#chunks.bytes + bytes) / this.#granule >= MAX_WORDS >>> this.#unitShift) return;
      const grown = this.#chunks.grow(bytes, this.#granule, this.#granule, this.#nextWord(end));
      if (grown === null) return;
      this.#take(grown.chunk, grown.added, this.#chunks.list.length > before, end);
      if (this.#chunks.list.length === before) return;
    }
  }

  /** The first word for a chunk that does not follow the last one. */
  #nextWord(end: number): number {
    return end === 0 ? 4 : ((end + 3) >>> 2) << 2;
  }

  #take(chunk: Chunk, added: number, isNew: boolean, end: number): void {
    const units = added / this.#granule;
    if (this.#inBand !== null) {
      if (this.#tags !== this.#inBand.words) this.#core.replace((this.#tags = this.#inBand.words));
      const last = (chunk.address + chunk.bytes) / 4;
      if (isNew) this.#core.addRegion((chunk.address + this.#granule) / 4 - 1, last);
      else this.#core.extendRegion(end, last);
      return;
    }
    const words = units << this.#unitShift;
    const newEnd = (isNew ? chunk.word + 1 : end) + words;
    if (newEnd > this.#tags.length) {
      const tags = this.#makeWords(this.#tags.length === 0 ? newEnd : newEnd + (newEnd >>> 3));
      tags.set(this.#tags);
      this.#core.replace((this.#tags = tags));
    }
    if (isNew) this.#core.addRegion(chunk.word, newEnd);
    else this.#core.extendRegion(end, newEnd);
    this.#findFirstChunk();
  }

  #findFirstChunk(): void {
    if (this.#inBand !== null) return;
    const first = this.#chunks.list[0];
    this.#base = first === undefined ? 0 : first.address - (first.word >>> 2) * this.#granule;
    this.#limit = first === undefined ? 0 : (first.word >>> 2) + first.bytes / this.#granule;
  }

  #addressOf(block: number): number {
    if (this.#inBand !== null) return (block + 1) * 4;
    for (const chunk of this.#chunks.list) {
      const bytes = ((block - chunk.word) >>> 2) * this.#granule;
      if (block >= chunk.word && bytes < chunk.bytes) return chunk.address + bytes;
    }
    return NO_ADDRESS;
  }

  /** The block that would start at an address, or 0. */
  #blockAt(address: number): number {
    if (this.#inBand !== null)
      return address > 0 && address <= this.#tags.length * 4 && address % this.#granule === 0 ? address / 4 - 1 : 0;
    for (const chunk of this.#chunks.list) {
      const units = (address - chunk.address) / this.#granule;
      if (units >= 0 && address < chunk.address + chunk.bytes && Math.floor(units) === units)
        return chunk.word + units * 4;
    }
    return 0;
  }

  #liveBlock(address: number): number {
    const block = this.#blockAt(address);
    if (block > 0 && this.#core.isUsed(block)) return block;
    return this.#throwMisuse(address);
  }

  /** A snapshot, by walking the heap. */
  stats(): HeapStats {
    let liveBlocks = 0;
    let liveBytes = 0;
    this.walk((_address, bytes) => {
      liveBlocks++;
      liveBytes += bytes;
    });
    return {
      liveBlocks,
      liveBytes,
      reservedBytes: this.#chunks.bytes,
      metadataBytes: this.#core.bytes + (this.#inBand === null ? this.#tags.length * 4 : 0),
      sourceCalls: this.#chunks.calls,
    };
  }

  /** Walks blocks, bins and bitmaps. */
  check(): void {
    for (const chunk of this.#chunks.list)
      requireInvariant(chunk.bytes % this.#granule === 0, chunk.address, "a chunk is a whole number of granules");
    this.#core.check();
  }

  /** In address order within each chunk. */
  walk(visit: (address: number, bytes: number) => void): void {
    this.#core.walk((block, words, used) => {
      if (used) visit(this.#addressOf(block), (words >>> this.#unitShift) * this.#granule - 4 * this.#header);
    });
  }

  /** Every chunk becomes one free block. */
  reset(): void {
    this.#core.reset();
  }

  /** Gives every chunk back. */
  destroy(): void {
    this.#chunks.releaseAll();
    this.#core.regions.length = 0;
    this.#core.reset();
    this.allocate = (size) => {
      throw new HeapError("destroyed", size);
    };
  }
}
