import { requireInvariant } from "./allocator.ts";
import { CLASSES, SIZE_CLASSES, SLAB_BYTES } from "./size-classes.ts";

/*
 * A slab is a block of 4 KiB of one size class, aligned to 4 KiB, in a range whose boundary tags are held outside it, one word for each granule. Of
 * the slab's own words the tags need only the first; the others say what is live in it, so that it costs no memory besides:
 *
 *      word 0     1        2        3        4 … 6    7        8 … 23
 *      ┌────────┬────────┬────────┬────────┬───────┬────────┬───────────────────────────────────┐
 *      │ header │  next  │ prev.  │ cursor │       │ words  │ one bit for each 8 bytes:         │
 *      │  < 0   │ in the list, or −1│      │       │        │ a live block starts here          │
 *      └────────┴────────┴────────┴────────┴───────┴────────┴───────────────────────────────────┘
 *
 *      header   31 │ 17 … 10  │ 9 … 2 │ 1 │ 0
 *               1  │ size / 8 │ list  │ flags of the boundary tags
 *
 * In front of the slabs of each list is a magazine, a stack of up to 63 free blocks (their offsets / 8, above their count): blocks are allocated out of it
 * and freed into it, and one bit is all that changes in the slab. An empty magazine is filled from a slab, a full one is spilled by half.
 *
 * Invariants: a slot without its bit is in its list's magazine, or its slab is in the list (not both, when the magazine is empty). Whether a slab is wholly free is asked
 * when memory runs out, not counted.
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
const PREVIOUS = 2;
const CURSOR = 3;
const BIT_WORDS = SLAB_BYTES / 8 / 32;

const HEADER = -(2 ** 31);
const UNLISTED = -1;
/** Blocks that stay in a magazine that is spilled, and that go into one that is filled. */
const HALF = 31;

/** The list of a slab, from its header. */
export function listOf(header: number): number {
  return (header >>> 2) & 0xff;
}

/** The size of a slab's slots, from its header. */
export function slotSizeOf(header: number): number {
  return ((header >>> 10) & 0xff) * 8;
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
  #first: Int32Array;

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
    for (let slab = this.#first[list]!; slab !== 0; slab = this.#first[list]!) {
      if (this.#fillFrom(slab, list)) return true;
      this.#unlist(slab, list);
    }
    const slab = this.#take(list);
    return slab !== 0 && this.#fillFrom(slab, list);
  }

  /** Puts free slots of a slab into the empty magazine, from its last slot down, so that the lowest is on top. @returns whether there were any. */
  #fillFrom(slab: number, list: number): boolean {
    const tags = this.tags;
    const magazines = this.magazines;
    const size = slotSizeOf(tags[slab]!);
    const magazine = list * MAGAZINE_WORDS;
    const end = Math.floor(SLAB_BYTES / size) * size;
    let count = 0;
    let within = end - tags[slab + CURSOR]!;
    while (within > 0 && count < HALF) {
      within -= size;
      if ((tags[slab + BITS + (within >>> 8)]! & (1 << (within >>> 3))) === 0)
        magazines[magazine + ++count] = slab * (GRANULE / 8) + (within >>> 3);
    }
    // The cursor says how many bytes from the end were looked at.
    tags[slab + CURSOR] = end - within;
    magazines[magazine] = count;
    return count > 0;
  }

  /** Takes the oldest blocks out of a full magazine: back into their slabs, which are listed again. @returns how many are left. */
  spill(list: number): number {
    const magazine = list * MAGAZINE_WORDS;
    const count = this.magazines[magazine]!;
    this.#empty(list, count - HALF);
    this.magazines.copyWithin(magazine + 1, magazine + 1 + count - HALF, magazine + 1 + count);
    this.magazines[magazine] = HALF;
    return HALF;
  }

  /** Lists the slabs of the first `count` blocks in a magazine. */
  #empty(list: number, count: number): void {
    for (let at = 1; at <= count; at++) {
      const slab = (this.magazines[list * MAGAZINE_WORDS + at]! >>> 9) * SLAB_WORDS;
      this.tags[slab + CURSOR] = 0;
      if (this.tags[slab + NEXT] === UNLISTED) this.#enlist(slab, list);
    }
  }

  /** Makes a free block of the range a slab. */
  #take(list: number): number {
    const slab = this.#ranges.takeSlab();
    if (slab === 0) return 0;
    const tags = this.tags;
    const size = SIZE_CLASSES[list % CLASSES] ?? SLAB_BYTES;
    tags[slab] = HEADER | ((size / 8) << 10) | (list << 2) | (tags[slab]! & 3);
    tags[slab + CURSOR] = 0;
    tags.fill(0, slab + BITS, slab + SLAB_WORDS);
    this.#enlist(slab, list);
    return slab;
  }

  /** Lists a slab that came from elsewhere, with whatever is live in it. */
  adopt(slab: number): void {
    this.tags[slab + CURSOR] = 0;
    this.#enlist(slab, listOf(this.tags[slab]!));
  }

  #enlist(slab: number, list: number): void {
    const tags = this.tags;
    const first = this.#first[list]!;
    tags[slab + NEXT] = first;
    tags[slab + PREVIOUS] = 0;
    if (first !== 0) tags[first + PREVIOUS] = slab;
    this.#first[list] = slab;
  }

  #unlist(slab: number, list: number): void {
    const tags = this.tags;
    const next = tags[slab + NEXT]!;
    const before = tags[slab + PREVIOUS]!;
    if (before === 0) this.#first[list] = next;
    else tags[before + NEXT] = next;
    if (next !== 0) tags[next + PREVIOUS] = before;
    tags[slab + NEXT] = UNLISTED;
  }

  /** Whether no block of a slab is live. */
  #isIdle(slab: number): boolean {
    for (let word = slab + BITS; word < slab + BITS + BIT_WORDS; word++) if (this.tags[word] !== 0) return false;
    return true;
  }

  /** Empties all magazines and gives every wholly free slab back. @returns whether there was one. Looks at every slab with free slots. */
  giveIdle(): boolean {
    let any = false;
    for (let list = 0; list < this.#first.length; list++) {
      this.#empty(list, this.magazines[list * MAGAZINE_WORDS]!);
      this.magazines[list * MAGAZINE_WORDS] = 0;
      for (let slab = this.#first[list]!; slab !== 0;) {
        const next = this.tags[slab + NEXT]!;
        if (this.#isIdle(slab)) {
          this.#unlist(slab, list);
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

  /** Checks one slab against its invariants. @returns whether it is listed. */
  checkSlab(slab: number): boolean {
    const tags = this.tags;
    const list = listOf(tags[slab]!);
    const size = slotSizeOf(tags[slab]!);
    requireInvariant(
      list < this.#first.length && SIZE_CLASSES[list % CLASSES] === size,
      slab,
      "a slab has the size of its class",
    );
    const isListed = tags[slab + NEXT] !== UNLISTED;
    let free = 0;
    for (let within = 0; within < SLAB_BYTES; within += 8) {
      const isLive = (tags[slab + BITS + (within >>> 8)]! & (1 << (within >>> 3))) !== 0;
      const isSlot = within % size === 0 && within + size <= SLAB_BYTES;
      requireInvariant(isSlot || !isLive, slab, "only slots of a slab are live");
      if (isSlot && !isLive) free++;
    }
    const magazine = list * MAGAZINE_WORDS;
    for (let at = 1; at <= this.magazines[magazine]!; at++)
      if ((this.magazines[magazine + at]! >>> 9) * SLAB_WORDS === slab) free--;
    requireInvariant(isListed ? free >= 0 : free === 0, slab, "a free slot is in the magazine or its slab is listed");
    return isListed;
  }

  /** Checks lists and magazines; `count` slabs say that they are listed. */
  check(count: number): void {
    let listed = 0;
    for (let list = 0; list < this.#first.length; list++) {
      let before = 0;
      for (let slab = this.#first[list]!; slab !== 0; slab = this.tags[slab + NEXT]!) {
        requireInvariant(++listed <= count, slab, "every listed slab is listed once");
        requireInvariant(
          this.tags[slab]! < 0 && listOf(this.tags[slab]!) === list,
          slab,
          "a list holds slabs of its class",
        );
        requireInvariant(this.tags[slab + PREVIOUS] === before, slab, "a slab knows the one before it");
        before = slab;
      }
      this.#checkMagazine(list);
    }
    requireInvariant(listed === count, listed, "every slab that says so is listed");
  }

  #checkMagazine(list: number): void {
    const magazine = list * MAGAZINE_WORDS;
    const units = this.magazines.subarray(magazine + 1, magazine + 1 + this.magazines[magazine]!);
    requireInvariant(new Set(units).size === units.length, list, "a magazine holds a block once");
    for (const unit of units) {
      const slab = (unit >>> 9) * SLAB_WORDS;
      const bits = this.tags[slab + BITS + ((unit >>> 5) & 15)]!;
      requireInvariant(
        this.tags[slab]! < 0 && listOf(this.tags[slab]!) === list && (bits & (1 << unit)) === 0,
        unit,
        "a magazine holds free slots of its class",
      );
    }
  }
}
