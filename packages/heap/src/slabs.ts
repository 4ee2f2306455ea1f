import { requireInvariant } from "./allocator.ts";
import { CLASSES, SIZE_CLASSES, SLAB_BYTES } from "./size-classes.ts";

/*
 * A slab is a block of 4 KiB of one size class, aligned to 4 KiB, in a range whose boundary tags are held outside it, one word for each granule. Of
 * the slab's own words the tags need only the first; the others say what is live in it, so that it costs no memory besides:
 *
 *      word 0     1        2        3 … 6    7        8 … 23
 *      ┌────────┬────────┬────────┬────────┬────────┬───────────────────────────────────┐
 *      │ header │  next  │ cursor │        │ words  │ one bit for each 8 bytes:         │
 *      │  < 0   │ or −1  │        │        │        │ a live block starts here          │
 *      └────────┴────────┴────────┴────────┴────────┴───────────────────────────────────┘
 *
 *      header   31 │ 17 … 10  │ 9 … 2 │ 1 │ 0
 *               1  │ size / 8 │ list  │ flags of the boundary tags
 *
 * In front of the slabs of each list is a magazine, a stack of up to 63 free blocks (their offsets / 8, above their count): blocks are allocated out of it
 * and freed into it, and one bit is all that changes in the slab. An empty magazine is filled from a slab; a block that finds it full stays in its slab.
 *
 * Invariants: a slot without its bit is in its list's magazine, or its slab is in the list. Whether a slab is wholly free is asked when memory runs out, not counted.
 */

/** Bytes of a granule: each has one word of tags. */
export const GRANULE = 128;
/** Words, that is granules, of a slab. */
export const SLAB_WORDS: number = SLAB_BYTES / GRANULE;
/** Words of a magazine: a count and 63 blocks. */
export const MAGAZINE_WORDS = 64;
/** Word offset of the bits within a slab. */
export const BITS = 8;

const NEXT = 1;
const CURSOR = 2;

const HEADER = -(2 ** 31);
const UNLISTED = -1;

// Accessors of the hot paths. They spell numbers out: engines fold no constant of another module into optimised code.

/** The slab that would be at an offset: 4 KiB and 32 words each. */
export function slabAt(offset: number): number {
  return (offset >>> 12) << 5;
}

/** The word with the bit of the block at an offset / 8: 512 bits from word 8 of each slab's 32 words on. */
export function bitsWordOf(unit: number): number {
  return ((unit >>> 4) & -32) + 8 + ((unit >>> 5) & 15);
}

/** The first word of the magazine of a slab, from its header: 64 words for each list. */
export function magazineOf(header: number): number {
  return (header << 4) & 0x3fc0;
}

/** The list of a slab, from its header. */
export function listOf(header: number): number {
  return (header >>> 2) & 0xff;
}

/** The size of a slab's slots, from its header. */
export function slotSizeOf(header: number): number {
  return (header >>> 7) & 0x7f8;
}

/** Where slabs come from: blocks of 4 KiB, aligned to 4 KiB, by the first of their words; 0 stands for none. */
export interface SlabRanges {
  /** The first word of a slab, whose two lowest bits and bits from word 4 on are the range's own. */
  takeSlab(): number;
  giveSlab(slab: number): unknown;
}

/** The slabs of a heap: one list and one magazine for each size class and lifetime. */
export class Slabs {
  /** The words; the owner may replace them by others that start alike. */
  tags: Int32Array;
  readonly #ranges: SlabRanges;
  /** By list, {@link MAGAZINE_WORDS} words: how many free blocks, and their offsets / 8. */
  magazines: Int32Array;
  /** By list: the first slab that may have free slots outside the magazine, or 0. */
  readonly #first: Int32Array;

  constructor(ranges: SlabRanges, tags: Int32Array, magazines: Int32Array, first: Int32Array) {
    this.#ranges = ranges;
    this.tags = tags;
    this.magazines = magazines;
    this.#first = first;
  }

  /**
   * Fills the empty magazine of a list out of its slabs, or a new one. Does not grow the heap.
   *
   * @returns whether there is a block in it now.
   */
  fill(list: number): boolean {
    for (let slab = this.#first[list]!; slab > 0; slab = this.#first[list]!) {
      if (this.#fillFrom(slab, list)) return true;
      this.#first[list] = this.tags[slab + NEXT]!;
      this.tags[slab + NEXT] = UNLISTED;
    }
    const slab = this.#ranges.takeSlab();
    if (slab === 0) return false;
    const { tags } = this;
    const size = SIZE_CLASSES[list % CLASSES] ?? SLAB_BYTES;
    tags[slab] = HEADER | ((size / 8) << 10) | (list << 2) | (tags[slab]! & 3);
    tags.fill(0, slab + BITS, slab + SLAB_WORDS);
    this.adopt(slab);
    return this.#fillFrom(slab, list);
  }

  /** Puts free slots of a slab into the empty magazine, from its last slot down, so that the lowest is on top. @returns whether there were any. */
  #fillFrom(slab: number, list: number): boolean {
    const { tags, magazines } = this;
    const size = slotSizeOf(tags[slab]!);
    const magazine = list * MAGAZINE_WORDS;
    // The cursor says how many bytes before the last slot's end were looked at.
    const end = SLAB_BYTES - (SLAB_BYTES % size);
    let count = 0;
    let within = Math.min(end, end - tags[slab + CURSOR]!);
    while (within > 0 && count < 63) {
      within -= size;
      const unit = (slab * GRANULE + within) >>> 3;
      if ((tags[bitsWordOf(unit)]! & (1 << unit)) === 0) magazines[magazine + ++count] = unit;
    }
    tags[slab + CURSOR] = end - within;
    magazines[magazine] = count;
    return count > 0;
  }

  /** Makes sure that a slab with a free slot that is in no magazine is listed, and looked at from its last slot on. */
  list(slab: number): void {
    const { tags } = this;
    tags[slab + CURSOR] = 0;
    if (tags[slab + NEXT] === UNLISTED) this.adopt(slab);
  }

  /** Lists a slab that is not listed, with whatever is live in it. */
  adopt(slab: number): void {
    const list = listOf(this.tags[slab]!);
    this.tags[slab + CURSOR] = 0;
    this.tags[slab + NEXT] = this.#first[list]!;
    this.#first[list] = slab;
  }

  /** Whether no block of a slab is live. */
  #isIdle(slab: number): boolean {
    for (let word = slab + BITS; word < slab + BITS + 16; word++) if (this.tags[word] !== 0) return false;
    return true;
  }

  /** Empties all magazines and gives every wholly free slab back. @returns whether there was one. Looks at every slab with free slots. */
  giveIdle(): boolean {
    const { tags } = this;
    let any = false;
    for (let list = 0; list < this.#first.length; list++) {
      for (const unit of this.#magazine(list)) this.list(slabAt(unit * 8));
      this.magazines[list * MAGAZINE_WORDS] = 0;
      let slab = this.#first[list]!;
      this.#first[list] = 0;
      while (slab > 0) {
        const next = tags[slab + NEXT]!;
        // So that a list that was written over and leads back ends here.
        tags[slab + NEXT] = UNLISTED;
        if (!this.#isIdle(slab)) this.adopt(slab);
        else {
          this.#ranges.giveSlab(slab);
          any = true;
        }
        slab = next;
      }
    }
    return any;
  }

  /** Forgets all slabs. */
  reset(): void {
    this.magazines.fill(0, 0, this.#first.length * MAGAZINE_WORDS);
    this.#first.fill(0);
  }

  #magazine(list: number): Int32Array {
    const magazine = list * MAGAZINE_WORDS + 1;
    return this.magazines.subarray(magazine, magazine + this.magazines[magazine - 1]!);
  }

  /** Checks lists, magazines and slabs; `slabs` are all that there are. */
  check(slabs: readonly number[]): void {
    const { tags } = this;
    const all = new Set(slabs);
    const held = new Set<number>();
    const listed = new Set<number>();
    for (let list = 0; list < this.#first.length; list++) {
      const belongs = (slab: number): boolean => all.has(slab) && listOf(tags[slab]!) === list;
      for (let slab = this.#first[list]!; slab !== 0; slab = tags[slab + NEXT]!) {
        requireInvariant(belongs(slab) && !listed.has(slab), slab, "a list holds slabs of its class, each once");
        listed.add(slab);
      }
      requireInvariant(
        this.magazines[list * MAGAZINE_WORDS]! >>> 0 < MAGAZINE_WORDS
          && this.#magazine(list).every((unit) => belongs(slabAt(unit * 8)) && held.size < held.add(unit).size),
        list,
        "a magazine holds blocks of its class, each once",
      );
    }
    for (const slab of slabs) {
      const list = listOf(tags[slab]!);
      const size = slotSizeOf(tags[slab]!);
      const isListed = listed.has(slab);
      // Of a slab that is listed, what lies below was not looked at since it was.
      const seen = SLAB_BYTES - (SLAB_BYTES % size) - tags[slab + CURSOR]!;
      requireInvariant(
        slab % SLAB_WORDS === 0
          && list < this.#first.length
          && SIZE_CLASSES[list % CLASSES] === size
          && seen >= 0
          && seen % size === 0
          && isListed === (tags[slab + NEXT] !== UNLISTED),
        slab,
        "a slab has its place, the size of its class, and a cursor at a slot, and knows whether it is listed",
      );
      for (let within = 0; within < SLAB_BYTES; within += 8) {
        const unit = slab * 16 + within / 8;
        const isLive = (tags[bitsWordOf(unit)]! & (1 << unit)) !== 0;
        const isSlot = within % size === 0 && within + size <= SLAB_BYTES;
        requireInvariant(
          isLive ? isSlot && !held.has(unit) : !isSlot || held.has(unit) || (isListed && within < seen),
          slab,
          "a slot is live, in the magazine, or its slab is listed",
        );
      }
    }
  }
}
