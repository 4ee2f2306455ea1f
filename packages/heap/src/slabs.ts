import { requireInvariant } from "./allocator.ts";
import { OWNED_SIZE } from "./boundary-tags.ts";
import type { BoundaryTags } from "./boundary-tags.ts";
import { SIZE_CLASSES, SLAB_BYTES } from "./size-classes.ts";

/*
 * A slab is a block of 4 KiB of one size class, aligned to 4 KiB, in a range whose boundary tags are held outside it, one word for each granule. Of
 * the slab's own words the tags need only the first; the others say what is free in it, so that it costs no memory besides:
 *
 *      word 0        1        2        3        4          5        6            7      8 … 23
 *      ┌────────┬────────┬────────┬────────┬──────────┬────────┬────────────┬──────┬───────────────┐
 *      │ header │ class  │  free  │  next  │ previous │  size  │ reciprocal │words │ one bit for   │
 *      │  < 0   │        │  slots │ in its class's list of │        │ 2^16 / size│      │ each free slot│
 *      └────────┴────────┴────────┴─ slabs with free slots ┴────────┴────────────┴──────┴───────────────┘
 *
 * Invariant: free = bits set; a slab is in its class's list exactly while 0 < free, and every free word of `current` lies in a slab of that class or is 0.
 */

/** Bytes of a granule: each has one word of tags. */
export const GRANULE = 128;
/** Words, that is granules, of a slab. */
export const SLAB_WORDS: number = SLAB_BYTES / GRANULE;

/** Word offsets within a slab. */
export const CLASS = 1;
/** Free slots. */
export const FREE = 2;
const NEXT = 3;
const PREVIOUS = 4;
/** Size of a slot. */
export const SIZE = 5;
/** 2^16 / size, rounded up: multiplies an offset to a slot. */
export const RECIPROCAL = 6;
/** First word of free bits. */
export const BITS = 8;

const HEADER = -(2 ** 31);
/** Sets of lists: blocks with different hints never share a slab. */
const SETS = 4;
const LISTS = SIZE_CLASSES.length * SETS;

/** The slabs of a heap: one list for each size class and lifetime. */
export class Slabs {
  #tags: Int32Array;
  readonly #core: BoundaryTags;
  /** By list: the word of free bits that the next block comes from, or 0. */
  readonly current: Int32Array;
  /** By list: the first slab with free slots, or 0. */
  readonly #partial: Int32Array;
  /** By list: a slab that is wholly free and kept in case it is needed again, or 0. */
  readonly #spare: Int32Array;

  constructor(core: BoundaryTags, tags: Int32Array, wordsFor: (words: number) => Int32Array) {
    this.#core = core;
    this.#tags = tags;
    this.current = wordsFor(LISTS);
    this.#partial = wordsFor(LISTS);
    this.#spare = wordsFor(LISTS);
  }

  /** Own state, in bytes. */
  get bytes(): number {
    return LISTS * 12;
  }

  /** Goes on with another array, which must start with the same words. */
  replace(tags: Int32Array): void {
    this.#tags = tags;
  }

  /**
   * Finds free slots for a list whose current word has none.
   *
   * @returns whether there are any; if so `current` names them. Does not grow the heap.
   */
  refill(list: number): boolean {
    const tags = this.#tags;
    let slab = this.current[list]! & -SLAB_WORDS;
    if (slab === 0 || tags[slab + FREE] === 0) slab = this.#partial[list]!;
    if (slab === 0) slab = this.#take(list);
    if (slab === 0) return false;
    let word = slab + BITS;
    while (tags[word] === 0) word++;
    this.current[list] = word;
    return true;
  }

  /** Makes a free block of the range a slab. */
  #take(list: number): number {
    const slab = this.#core.takeAligned(SLAB_WORDS, SLAB_WORDS, () => 0);
    if (slab === 0) return 0;
    const tags = this.#tags;
    const size = SIZE_CLASSES[list % SIZE_CLASSES.length] ?? SLAB_BYTES;
    const slots = Math.floor(SLAB_BYTES / size);
    tags[slab + OWNED_SIZE] = this.#core.wordsOf(slab);
    tags[slab] = (tags[slab]! & 3) | HEADER;
    tags[slab + CLASS] = list;
    tags[slab + FREE] = slots;
    tags[slab + SIZE] = size;
    tags[slab + RECIPROCAL] = Math.ceil(65536 / size);
    tags.fill(0, slab + BITS, slab + SLAB_WORDS);
    for (let left = slots, word = slab + BITS; left > 0; left -= 32, word++)
      tags[word] = left >= 32 ? -1 : (1 << left) - 1;
    this.link(slab, list);
    return slab;
  }

  /** Puts a slab that has free slots again first into its list. */
  link(slab: number, list: number): void {
    const tags = this.#tags;
    const first = this.#partial[list]!;
    tags[slab + NEXT] = first;
    tags[slab + PREVIOUS] = 0;
    if (first !== 0) tags[first + PREVIOUS] = slab;
    this.#partial[list] = slab;
  }

  /** Takes a slab out of its list. */
  unlink(slab: number, list: number): void {
    const tags = this.#tags;
    const next = tags[slab + NEXT]!;
    const before = tags[slab + PREVIOUS]!;
    if (before === 0) this.#partial[list] = next;
    else tags[before + NEXT] = next;
    if (next !== 0) tags[next + PREVIOUS] = before;
  }

  /** Keeps a slab that has become wholly free; gives back the one that was kept so far if that is still free. */
  retire(slab: number, list: number): void {
    const spare = this.#spare[list]!;
    this.#spare[list] = slab;
    if (spare !== 0 && spare !== slab && this.#isWhole(spare, list)) this.#give(spare, list);
  }

  /** Whether there is a wholly free slab of a list at this word. */
  #isWhole(slab: number, list: number): boolean {
    const tags = this.#tags;
    return (
      tags[slab]! < 0
      && this.#core.isUsed(slab)
      && tags[slab + CLASS] === list
      && tags[slab + FREE] === Math.floor(SLAB_BYTES / tags[slab + SIZE]!)
    );
  }

  #give(slab: number, list: number): void {
    this.unlink(slab, list);
    if ((this.current[list]! & -SLAB_WORDS) === slab) this.current[list] = 0;
    if (this.#spare[list] === slab) this.#spare[list] = 0;
    // The words become the range's again: none of them may look like a slab.
    this.#core.give(slab);
  }

  /** Gives every wholly free slab back. @returns whether there was one. */
  giveSpares(): boolean {
    let any = false;
    for (let list = 0; list < LISTS; list++) {
      for (let slab = this.#partial[list]!; slab !== 0;) {
        const next = this.#tags[slab + NEXT]!;
        if (this.#isWhole(slab, list)) {
          this.#give(slab, list);
          any = true;
        }
        slab = next;
      }
    }
    return any;
  }

  /** Forgets all slabs. */
  reset(): void {
    this.current.fill(0);
    this.#partial.fill(0);
    this.#spare.fill(0);
  }

  /** Checks one slab against its invariants. @returns its free slots. */
  checkSlab(slab: number): number {
    const tags = this.#tags;
    const list = tags[slab + CLASS]!;
    const size = tags[slab + SIZE]!;
    requireInvariant(
      list >= 0 && list < LISTS && SIZE_CLASSES[list % SIZE_CLASSES.length] === size,
      slab,
      "a slab has the size of its class",
    );
    const slots = Math.floor(SLAB_BYTES / size);
    let free = 0;
    for (let slot = 0; slot < (SLAB_WORDS - BITS) * 32; slot++) {
      if ((tags[slab + BITS + (slot >>> 5)]! & (1 << slot)) === 0) continue;
      free++;
      requireInvariant(slot < slots, slab, "only slots of the slab are free");
    }
    requireInvariant(free === tags[slab + FREE], slab, "a slab counts its free slots");
    return free;
  }

  /** Checks the lists. `withFree` slabs have free slots. */
  check(withFree: number): void {
    let listed = 0;
    for (let list = 0; list < LISTS; list++) {
      let before = 0;
      for (let slab = this.#partial[list]!; slab !== 0; slab = this.#tags[slab + NEXT]!) {
        requireInvariant(++listed <= withFree, slab, "every slab with free slots is listed once");
        requireInvariant(
          this.#tags[slab + CLASS] === list && this.#tags[slab + FREE]! > 0,
          slab,
          "a list holds slabs of its class",
        );
        requireInvariant(this.#tags[slab + PREVIOUS] === before, slab, "a slab knows the one before it");
        before = slab;
      }
      const current = this.current[list]!;
      requireInvariant(
        current === 0
          || (this.#tags[current & -SLAB_WORDS]! < 0 && this.#tags[(current & -SLAB_WORDS) + CLASS] === list),
        current,
        "the current word lies in a slab of its class",
      );
    }
    requireInvariant(listed === withFree, listed, "every slab with free slots is listed");
  }
}
