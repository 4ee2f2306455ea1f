import { BaseAllocator, memoryOf, NO_ADDRESS, requireInvariant, requireRequest } from "./allocator.ts";
import type { HeapSource, HeapStats } from "./allocator.ts";
import { BoundaryTags } from "./boundary-tags.ts";
import { Chunks } from "./chunks.ts";
import type { Chunk, GrowthPolicy } from "./chunks.ts";
import { HeapError } from "./errors.ts";
import { CLASS_OF_UNITS, SIZE_CLASSES, SLAB_BYTES, SMALL_BYTES } from "./size-classes.ts";
import { BITS, CLASS, FREE, GRANULE, RECIPROCAL, SIZE, SLAB_WORDS, Slabs } from "./slabs.ts";

/** How a general heap is built. */
export interface GeneralOptions extends GrowthPolicy {
  /** Makes the allocator's own arrays, zeroed; by default `new Int32Array(words)`. */
  readonly wordsFor?: (words: number) => Int32Array;
}

const LARGEST = 2 ** 32 - 2 ** 16;
/** Bytes of address space that one heap can manage: what 32-bit offsets say. */
const SPACE = 2 ** 32;

/**
 * The general allocator: small blocks (up to 1 KiB) out of 4 KiB slabs of one size class each, larger ones out of ranges of 128-byte granules that
 * merge with their neighbours at once. All state is outside the blocks, 1/32 of the heap plus 4 KiB, so it works over any source and
 * nothing that is written into a block can harm it; a double or wild free is always detected.
 *
 * At most 4 GiB per heap; blocks are aligned to 8, from 1 KiB on to 128.
 */
export class GeneralHeap extends BaseAllocator {
  readonly #core: BoundaryTags;
  readonly #slabs: Slabs;
  readonly #chunks: Chunks;
  readonly #makeWords: (words: number) => Int32Array;
  /** One word for each granule: boundary tags of the ranges, and the records of the slabs. */
  #tags: Int32Array;
  /** By list of slabs: the word of free bits that the next block comes from. */
  readonly #current: Int32Array;
  /** The address of word 0, and one past the last offset, in the first chunk. */
  #origin = 0;
  #limit = 0;
  /** Free blocks from this size on, in words, may be worth giving back: asks the policy. */
  readonly #largeWords: number;

  constructor(source: HeapSource, options: GeneralOptions = {}) {
    super(memoryOf(source));
    this.#makeWords = options.wordsFor ?? ((words) => new Int32Array(words));
    this.#chunks = new Chunks(source, options);
    this.#tags = new Int32Array(SLAB_WORDS);
    this.#core = new BoundaryTags(this.#tags, 0, this.#makeWords);
    this.#slabs = new Slabs(this.#core, this.#tags, this.#makeWords);
    this.#current = this.#slabs.current;
    this.#largeWords = options.clock === undefined ? Infinity : (options.retainBytes ?? 2 ** 20) / GRANULE;
  }

  /** Small: one word of free bits and one count. Larger: one block unlinked, its rest linked. */
  allocate(size: number, alignment = 0, hint = 0): number {
    if (size >>> 0 !== size || alignment !== 0 || hint !== 0) return this.#allocateOdd(size, alignment, hint);
    return size <= SMALL_BYTES ? this.#allocateSmall(CLASS_OF_UNITS[(size + 7) >>> 3]!) : this.#allocateLarge(size);
  }

  #allocateSmall(list: number): number {
    const tags = this.#tags;
    const word = this.#current[list]!;
    const bits = tags[word]!;
    if (bits === 0) return this.#refill(list);
    const low = bits & -bits;
    const slab = word & -SLAB_WORDS;
    tags[word] = bits ^ low;
    const free = tags[slab + FREE]! - 1;
    tags[slab + FREE] = free;
    if (free === 0) this.#slabs.unlink(slab, list);
    const slot = ((word - slab - BITS) << 5) + 31 - Math.clz32(low);
    const offset = slab * GRANULE + slot * tags[slab + SIZE]!;
    return offset < this.#limit ? this.#origin + offset : this.#addressOf(offset);
  }

  #refill(list: number): number {
    let found = this.#slabs.refill(list) || (this.#slabs.giveSpares() && this.#slabs.refill(list));
    // First with slack for the alignment, so that the slab can follow what is there; at the end of the source without.
    for (const words of [2 * SLAB_WORDS + 4, SLAB_WORDS]) {
      if (found) break;
      this.#grow(words);
      found = this.#slabs.refill(list);
    }
    return found ? this.#allocateSmall(list) : NO_ADDRESS;
  }

  #allocateLarge(size: number): number {
    if (size > LARGEST) return NO_ADDRESS;
    const words = (size + GRANULE - 1) >>> 7;
    let block = this.#core.take(words);
    if (block === 0) {
      if (this.#slabs.giveSpares()) block = this.#core.take(words);
      if (block === 0) {
        this.#grow(words);
        block = this.#core.take(words);
      }
      if (block === 0) return NO_ADDRESS;
    }
    const offset = block * GRANULE;
    return offset < this.#limit ? this.#origin + offset : this.#addressOf(offset);
  }

  /** With an alignment, a hint, or an argument out of range. */
  #allocateOdd(size: number, alignment: number, hint: number): number {
    requireRequest(size, alignment);
    const set = (hint & 3) * SIZE_CLASSES.length;
    if (size <= SMALL_BYTES && alignment <= SMALL_BYTES) {
      // A slab is aligned to more than any class: every multiple of a size that is a multiple of the alignment is aligned.
      let list = CLASS_OF_UNITS[(Math.max(size, alignment) + 7) >>> 3]!;
      while (alignment > 8 && (SIZE_CLASSES[list] ?? SLAB_BYTES) % alignment !== 0) list++;
      return this.#allocateSmall(set + list);
    }
    if (alignment <= GRANULE) return this.#allocateLarge(size);
    if (size > LARGEST) return NO_ADDRESS;
    const words = Math.max((size + GRANULE - 1) >>> 7, 4);
    const aligned = alignment / GRANULE;
    const phaseOf = (block: number): number => ((this.#addressOf(block * GRANULE) / GRANULE) % aligned) - block;
    let block = this.#core.takeAligned(words, aligned, phaseOf);
    if (block === 0 && this.#slabs.giveSpares()) block = this.#core.takeAligned(words, aligned, phaseOf);
    if (block === 0) {
      this.#grow(words + aligned + 4);
      block = this.#core.takeAligned(words, aligned, phaseOf);
    }
    return block === 0 ? NO_ADDRESS : this.#addressOf(block * GRANULE);
  }

  /** Small: one bit and one count. Larger: merges with both neighbours. */
  free(address: number): void {
    const offset = address - this.#origin;
    const tags = this.#tags;
    const slab = (offset >>> 7) & -SLAB_WORDS;
    if (offset >= this.#limit || !(tags[slab]! < 0)) {
      this.#freeLarge(address);
      return;
    }
    this.#freeSmall(address, offset, slab);
  }

  #freeSmall(address: number, offset: number, slab: number): void {
    const tags = this.#tags;
    const within = offset & (SLAB_BYTES - 1);
    const size = tags[slab + SIZE]!;
    const slot = (within * tags[slab + RECIPROCAL]!) >>> 16;
    const word = slab + BITS + (slot >>> 5);
    const bits = tags[word]!;
    const bit = 1 << slot;
    if (
      slot * size !== within
      || (bits & bit) !== 0
      || within + size > SLAB_BYTES
      || slab * GRANULE + within !== offset
    )
      this.#throwMisuse(address);
    tags[word] = bits | bit;
    const free = tags[slab + FREE]! + 1;
    tags[slab + FREE] = free;
    if (free === 1) this.#slabs.link(slab, tags[slab + CLASS]!);
    else if ((free + 1) * size > SLAB_BYTES) this.#slabs.retire(slab, tags[slab + CLASS]!);
  }

  #freeLarge(address: number): void {
    const offset = this.#offsetOf(address);
    const slab = (offset >>> 7) & -SLAB_WORDS;
    if (offset >= 0 && this.#tags[slab]! < 0) {
      this.#freeSmall(address, offset, slab);
      return;
    }
    if (offset < 0 || offset % GRANULE !== 0) this.#throwMisuse(address);
    const words = this.#core.give(offset / GRANULE);
    if (words === 0) this.#throwMisuse(address);
    if (words >= this.#largeWords) this.#considerTrim();
  }

  /** Slow, for the message. */
  #throwMisuse(address: number): never {
    const offset = this.#offsetOf(Math.floor(address));
    const slab = (offset >>> 7) & -SLAB_WORDS;
    let wasBlock = false;
    if (offset >= 0 && this.#tags[slab]! < 0) wasBlock = (offset & (SLAB_BYTES - 1)) % this.#tags[slab + SIZE]! === 0;
    else if (offset >= 0) wasBlock = this.#core.isFreeAt(Math.floor(offset / GRANULE));
    throw new HeapError(wasBlock ? "double-free" : "wild-free", address);
  }

  /** In place within its class or into free neighbours, else by moving. */
  override resize(address: number, size: number): number {
    const usable = this.usableSize(address);
    requireRequest(size, 0);
    const block = this.#offsetOf(address) / GRANULE;
    if (this.#isSmall(address)) {
      if (size <= usable && (size * 2 > usable || usable <= 32)) return address;
    } else if (size > SMALL_BYTES && size <= LARGEST) {
      const words = (size + GRANULE - 1) >>> 7;
      if (this.#core.resize(block, words)) return address;
      const region = this.#core.regions.at(-1);
      const end = block + this.#core.wordsOf(block);
      if (region !== undefined && end + this.#core.freeTail(region) === region.end - 1) {
        this.#grow(words - this.#core.wordsOf(block));
        if (this.#core.resize(block, words)) return address;
      }
    }
    return this.move(address, usable, size);
  }

  /** The size class, or the granules of the block. */
  usableSize(address: number): number {
    const offset = this.#offsetOf(address);
    if (!this.#isLive(offset)) this.#throwMisuse(address);
    const slab = (offset >>> 7) & -SLAB_WORDS;
    return this.#tags[slab]! < 0 ? this.#tags[slab + SIZE]! : this.#core.wordsOf(offset / GRANULE) * GRANULE;
  }

  /** Exact. */
  owns(address: number): boolean {
    return this.#isLive(this.#offsetOf(address));
  }

  #isSmall(address: number): boolean {
    return this.#tags[(this.#offsetOf(address) >>> 7) & -SLAB_WORDS]! < 0;
  }

  #isLive(offset: number): boolean {
    if (offset < 0) return false;
    const slab = (offset >>> 7) & -SLAB_WORDS;
    if (this.#tags[slab]! >= 0) return offset % GRANULE === 0 && this.#core.isUsed(offset / GRANULE);
    const within = offset & (SLAB_BYTES - 1);
    const size = this.#tags[slab + SIZE]!;
    const slot = within / size;
    if (Math.floor(slot) !== slot || within + size > SLAB_BYTES) return false;
    return (this.#tags[slab + BITS + (slot >>> 5)]! & (1 << slot)) === 0;
  }

  /** Takes memory from the source so that a block of `words` fits, as far as there is any. */
  #grow(words: number): void {
    const region = this.#core.regions.at(-1);
    const tail = region === undefined ? 0 : this.#core.freeTail(region);
    for (const wanted of tail > 0 ? [words - tail, words] : [words]) {
      if (wanted <= 0) continue;
      const end = this.#core.regions.at(-1)?.end ?? 0;
      const first = (Math.floor(end / SLAB_WORDS) + 1) * SLAB_WORDS;
      if ((first + wanted + SLAB_WORDS) * GRANULE > SPACE) return;
      const count = this.#chunks.list.length;
      const grown = this.#chunks.grow(wanted * GRANULE, SLAB_BYTES, SLAB_BYTES, first);
      if (grown === null) return;
      this.#take(grown.chunk, grown.added / GRANULE, this.#chunks.list.length > count, end);
      if (this.#chunks.list.length === count) return;
    }
  }

  #take(chunk: Chunk, words: number, isNew: boolean, end: number): void {
    // One word more than the chunk has granules ends the region; it costs no address.
    const newEnd = isNew ? chunk.word + words + 1 : end + words;
    if (newEnd > this.#tags.length) {
      const tags = this.#makeWords(Math.ceil((newEnd + 1) / SLAB_WORDS) * SLAB_WORDS);
      tags.set(this.#tags);
      this.#tags = tags;
      this.#core.replace(tags);
      this.#slabs.replace(tags);
    }
    if (isNew) this.#core.addRegion(chunk.word, newEnd);
    else this.#core.extendRegion(end, newEnd);
    this.#findFirstChunk();
  }

  #findFirstChunk(): void {
    const first = this.#chunks.list[0];
    this.#origin = first === undefined ? 0 : first.address - first.word * GRANULE;
    this.#limit = first === undefined ? 0 : first.word * GRANULE + first.bytes;
  }

  #addressOf(offset: number): number {
    for (const { address, bytes, word } of this.#chunks.list) {
      const within = offset - word * GRANULE;
      if (within >= 0 && within < bytes) return address + within;
    }
    return NO_ADDRESS;
  }

  /** The offset of an address that lies in a chunk and is whole, or −1. */
  #offsetOf(address: number): number {
    if (Math.floor(address) !== address) return -1;
    for (const { address: start, bytes, word } of this.#chunks.list) {
      if (address >= start && address < start + bytes) return word * GRANULE + address - start;
    }
    return -1;
  }

  #considerTrim(): void {
    const region = this.#core.regions.at(-1);
    if (region === undefined) return;
    const surplus = this.#chunks.surplus(this.#core.freeTail(region) * GRANULE);
    if (surplus > 0) this.#trimChunk(this.#core.regions.length - 1, Math.floor(surplus / GRANULE));
  }

  #trimChunk(at: number, most: number): void {
    const chunk = this.#chunks.list[at];
    const region = this.#core.regions[at];
    if (chunk === undefined || region === undefined) return;
    const tail = this.#core.freeTail(region);
    let words = Math.min(tail, most);
    if (words < tail && tail - words < 4) words -= 4;
    if (words <= 0) return;
    this.#core.cutRegion(region, words);
    this.#chunks.shrink(chunk, words * GRANULE);
    this.#findFirstChunk();
  }

  /** Gives back wholly free slabs, then free memory at the ends of the chunks, and discards the pages of large free blocks. */
  trim(): void {
    this.#slabs.giveSpares();
    for (let at = this.#chunks.list.length - 1; at >= 0; at--) this.#trimChunk(at, Infinity);
    const large: [number, number][] = [];
    this.#core.walkLarge(65536 / GRANULE, (block, words) =>
      large.push([this.#addressOf(block * GRANULE), words * GRANULE]),
    );
    for (const [address, bytes] of large) if (!this.#chunks.discard(address, bytes)) return;
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
      metadataBytes: this.#tags.length * 4 + this.#core.bytes + this.#slabs.bytes,
      sourceCalls: this.#chunks.calls,
    };
  }

  /** Walks ranges, slabs and lists. */
  check(): void {
    this.#core.check();
    let withFree = 0;
    this.#core.walk((block, _words, used) => {
      if (!used || this.#tags[block]! >= 0) return;
      requireInvariant(block % SLAB_WORDS === 0, block, "a slab is aligned to its size");
      if (this.#slabs.checkSlab(block) > 0) withFree++;
    });
    this.#slabs.check(withFree);
  }

  /** In address order within each chunk. */
  walk(visit: (address: number, bytes: number) => void): void {
    this.#core.walk((block, words, used) => {
      if (!used) return;
      if (this.#tags[block]! >= 0) {
        visit(this.#addressOf(block * GRANULE), words * GRANULE);
        return;
      }
      const size = this.#tags[block + SIZE]!;
      for (let offset = 0; offset + size <= SLAB_BYTES; offset += size)
        if (this.#isLive(block * GRANULE + offset)) visit(this.#addressOf(block * GRANULE + offset), size);
    });
  }

  /** Every chunk becomes one free block. */
  reset(): void {
    this.#tags.fill(0);
    this.#slabs.reset();
    this.#core.reset();
  }

  /** Gives every chunk back. */
  destroy(): void {
    this.#chunks.releaseAll();
    this.#core.regions.length = 0;
    this.reset();
    this.#findFirstChunk();
    this.allocate = (size) => {
      throw new HeapError("destroyed", size);
    };
  }
}
