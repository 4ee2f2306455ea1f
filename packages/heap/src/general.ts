import { BaseAllocator, memoryOf, NO_ADDRESS, requireInvariant, requireRequest } from "./allocator.ts";
import type { HeapSource, HeapStats } from "./allocator.ts";
import { BoundaryTags, OWNED_SIZE } from "./boundary-tags.ts";
import { Chunks } from "./chunks.ts";
import type { Chunk, GrowthPolicy } from "./chunks.ts";
import { HeapError } from "./errors.ts";
import { CLASS_OF_UNITS, SIZE_CLASSES, SLAB_BYTES, SMALL_BYTES } from "./size-classes.ts";
import { BITS, GRANULE, listOf, MAGAZINE_WORDS, SLAB_WORDS, Slabs, slotSizeOf } from "./slabs.ts";

/** How a general heap is built. */
export interface GeneralOptions extends GrowthPolicy {
  /** Makes the allocator's own arrays, zeroed; by default `new Int32Array(words)`. */
  readonly wordsFor?: (words: number) => Int32Array;
}

/** Ranges of one size that are held back before they are merged. */
const HELD_RANGES = 8;

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
  /** By list of slabs: how many free blocks there are at hand, and their offsets / 8. */
  #magazines: Int32Array;
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
    this.#core = new BoundaryTags(this.#tags, 0, HELD_RANGES, this.#makeWords);
    this.#slabs = new Slabs(
      {
        takeSlab: () => this.#takeSlab(),
        // Merged at once: its header is below 0 and reads as a size that is not held back.
        giveSlab: (slab) => void this.#core.give(slab),
      },
      this.#tags,
      this.#makeWords,
    );
    this.#magazines = this.#slabs.magazines;
    this.#largeWords = options.clock === undefined ? Infinity : (options.retainBytes ?? 2 ** 20) / GRANULE;
  }

  /** Small: the top of a stack and one bit. Larger: one block unlinked, its rest linked. */
  allocate(size: number, alignment = 0, hint = 0): number {
    if (size >>> 0 !== size || alignment !== 0 || hint !== 0) return this.#allocateOdd(size, alignment, hint);
    return size <= SMALL_BYTES ? this.#allocateSmall(CLASS_OF_UNITS[(size + 7) >>> 3]!) : this.#allocateLarge(size);
  }

  #allocateSmall(list: number): number {
    const magazines = this.#magazines;
    const magazine = list * MAGAZINE_WORDS;
    const count = magazines[magazine]!;
    if (count === 0) return this.#refill(list);
    magazines[magazine] = count - 1;
    const unit = magazines[magazine + count]!;
    const word = (unit >>> 9) * SLAB_WORDS + BITS + ((unit >>> 5) & 15);
    this.#tags[word] = this.#tags[word]! | (1 << unit);
    const offset = unit * 8;
    return offset < this.#limit ? this.#origin + offset : this.#addressOf(offset);
  }

  #takeSlab(): number {
    const slab = this.#core.takeAligned(SLAB_WORDS, SLAB_WORDS, () => 0);
    if (slab !== 0) this.#tags[slab + OWNED_SIZE] = this.#core.wordsOf(slab);
    return slab;
  }

  #refill(list: number): number {
    let found = this.#slabs.fill(list) || (this.#letGo() && this.#slabs.fill(list));
    // First with slack for the alignment, so that the slab can follow what is there; at the end of the source without.
    for (const words of [2 * SLAB_WORDS + 4, SLAB_WORDS]) {
      if (found) break;
      this.#grow(words);
      found = this.#slabs.fill(list);
    }
    return found ? this.#allocateSmall(list) : NO_ADDRESS;
  }

  #allocateLarge(size: number): number {
    if (size > LARGEST) return NO_ADDRESS;
    const words = (size + GRANULE - 1) >>> 7;
    let block = this.#core.take(words);
    if (block === 0) {
      if (this.#letGo()) block = this.#core.take(words);
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
    if (set !== 0) {
      this.#slabs.addSets(hint & 3);
      this.#magazines = this.#slabs.magazines;
    }
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
    if (block === 0 && this.#letGo()) block = this.#core.takeAligned(words, aligned, phaseOf);
    if (block === 0) {
      this.#grow(words + aligned + 4);
      block = this.#core.takeAligned(words, aligned, phaseOf);
    }
    return block === 0 ? NO_ADDRESS : this.#addressOf(block * GRANULE);
  }

  /** Small: one bit and the top of a stack. Larger: held back, or merged with both neighbours. */
  free(address: number): void {
    const offset = address - this.#origin;
    const header = this.#tags[(offset >>> 12) * SLAB_WORDS]!;
    if (header < 0 && offset < this.#limit) this.#freeSmall(address, offset, header);
    else this.#freeLarge(address);
  }

  #freeSmall(address: number, offset: number, header: number): void {
    const tags = this.#tags;
    const unit = offset >>> 3;
    const word = (unit >>> 9) * SLAB_WORDS + BITS + ((unit >>> 5) & 15);
    const bits = tags[word]!;
    const bit = 1 << unit;
    if ((bits & bit) === 0 || unit * 8 !== offset) this.#throwMisuse(address);
    tags[word] = bits ^ bit;
    const magazine = listOf(header) * MAGAZINE_WORDS;
    let count = this.#magazines[magazine]!;
    if (count === MAGAZINE_WORDS - 1) {
      this.#slabs.spill(listOf(header));
      count = this.#magazines[magazine]!;
    }
    this.#magazines[magazine] = count + 1;
    this.#magazines[magazine + count + 1] = unit;
  }

  #freeLarge(address: number): void {
    const offset = this.#offsetOf(address);
    const header = this.#tags[(offset >>> 12) * SLAB_WORDS]!;
    if (offset >= 0 && header < 0) this.#freeSmall(address, offset, header);
    else {
      const words = offset >= 0 && (offset & (GRANULE - 1)) === 0 ? this.#core.give(offset / GRANULE) : 0;
      if (words === 0) this.#throwMisuse(address);
      if (words >= this.#largeWords) this.#considerTrim();
    }
  }

  /** Slow, for the message. */
  #throwMisuse(address: number): never {
    const offset = this.#offsetOf(Math.floor(address));
    const slab = (offset >>> 7) & -SLAB_WORDS;
    let wasBlock = false;
    if (offset >= 0 && this.#tags[slab]! < 0)
      wasBlock = (offset & (SLAB_BYTES - 1)) % slotSizeOf(this.#tags[slab]!) === 0;
    else if (offset >= 0) wasBlock = this.#core.isFreeAt(Math.floor(offset / GRANULE));
    throw new HeapError(wasBlock ? "double-free" : "wild-free", address);
  }

  /** In place within its class or into free neighbours, else by moving. */
  override resize(address: number, size: number): number {
    const usable = this.usableSize(address);
    if (size >>> 0 !== size) requireRequest(size, 0);
    const block = this.#offsetOf(address) / GRANULE;
    if (this.#tags[Math.floor(block) & -SLAB_WORDS]! < 0) {
      if (size <= usable && (size * 2 > usable || usable <= 32)) return address;
    } else if (size > SMALL_BYTES && size <= LARGEST) {
      const words = (size + GRANULE - 1) >>> 7;
      if (this.#core.resize(block, words) || this.#growInto(block, words)) return address;
    }
    return this.move(address, usable, size);
  }

  /** Grows the heap so that its last block can grow in place. */
  #growInto(block: number, words: number): boolean {
    const region = this.#core.regions.at(-1);
    const size = this.#core.wordsOf(block);
    if (region === undefined || block + size + this.#core.freeTail(region) !== region.end - 1) return false;
    this.#grow(words - size);
    return this.#core.resize(block, words);
  }

  /** The size class, or the granules of the block. */
  usableSize(address: number): number {
    const offset = this.#offsetOf(address);
    if (!this.#isLive(offset)) this.#throwMisuse(address);
    const slab = (offset >>> 7) & -SLAB_WORDS;
    const header = this.#tags[slab]!;
    return header < 0 ? slotSizeOf(header) : this.#core.wordsOf(offset / GRANULE) * GRANULE;
  }

  /** Exact. */
  owns(address: number): boolean {
    return this.#isLive(this.#offsetOf(address));
  }

  #isLive(offset: number): boolean {
    if (offset < 0) return false;
    const slab = (offset >>> 7) & -SLAB_WORDS;
    if (this.#tags[slab]! >= 0) return offset % GRANULE === 0 && this.#core.isUsed(offset / GRANULE);
    return offset % 8 === 0 && (this.#tags[slab + BITS + ((offset >>> 8) & 15)]! & (1 << (offset >>> 3))) !== 0;
  }

  /** Lets go of the ranges held back and of the slabs kept unused. @returns whether there were any. */
  #letGo(): boolean {
    const slabs = this.#slabs.giveIdle();
    return this.#core.letGo() || slabs;
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
    const offset = address - this.#origin;
    return offset < this.#limit && offset >= SLAB_BYTES && offset >>> 0 === offset
      ? offset
      : this.#farOffsetOf(address);
  }

  #farOffsetOf(address: number): number {
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
    this.#letGo();
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
    let listed = 0;
    this.#core.walk((block, _words, used) => {
      if (!used || this.#tags[block]! >= 0) return;
      requireInvariant(block % SLAB_WORDS === 0, block, "a slab is aligned to its size");
      if (this.#slabs.checkSlab(block)) listed++;
    });
    this.#slabs.check(listed);
  }

  /** In address order within each chunk. */
  walk(visit: (address: number, bytes: number) => void): void {
    this.#core.walk((block, words, used) => {
      if (!used) return;
      if (this.#tags[block]! >= 0) {
        visit(this.#addressOf(block * GRANULE), words * GRANULE);
        return;
      }
      const size = slotSizeOf(this.#tags[block]!);
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
