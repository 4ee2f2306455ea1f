import { requireInvariant } from "./allocator.ts";
import { CLASSES, SIZE_CLASSES, SLAB_BYTES } from "./size-classes.ts";

/*
 * A slab is 4 KiB of blocks of one size class, aligned to 4 KiB. It has a record of 32 words, one for each 128 bytes, which is all that is known of it:
 *
 *      word 0     1        2        3 … 6    7        8 … 23
 *      ┌────────┬────────┬────────┬────────┬────────┬───────────────────────────────────┐
 *      │ header │  next  │ cursor │        │ owner's│ one bit for each 8 bytes:         │
 *      │  < 0   │ or −1  │        │        │        │ a live block starts here          │
 *      └────────┴────────┴────────┴────────┴────────┴───────────────────────────────────┘
 *
 *      header   31 │ 17 … 10  │ 9 … 2 │ 1 │ 0
 *               1  │ size / 8 │ list  │ owner's
 *
 * A list of slabs, of a size class and lifetime, has 64 words. In front of its slabs is a magazine, a stack of free blocks (their offsets / 8): blocks are allocated out of it
 * and freed into it, and one bit is all that changes in the slab. An empty magazine is filled from a slab; a block that finds it full stays in its slab.
 *
 *      word 0    1 … 61                       62                              63
 *      ┌───────┬────────────────────────────┬───────────────────────────────┬──────────────────────────────────┐
 *      │ count │ free blocks                │ 1: a slab was listed, or more │ the first slab that may have     │
 *      │       │                            │ of one is free                │ free slots outside, or 0         │
 *      └───────┴────────────────────────────┴───────────────────────────────┴──────────────────────────────────┘
 *
 * Invariant: a slot without its bit is in its list's magazine, or its slab is in the list. Whether a slab is wholly free is asked when memory runs out, not counted.
 *
 * Functions over two arrays: the records, and the lists of one owner.
 */

/** Words, that is units of 128 bytes, of a slab. */
export const SLAB_WORDS: number = SLAB_BYTES / 128;
/** Words of a list. */
export const LIST_WORDS = 64;
/** Blocks of a full magazine. */
export const MAGAZINE_DEPTH = 61;
/** Word offset of the bits within a slab's record. */
export const BITS = 8;

const CHANGED = 62;
const FIRST = 63;
const NEXT = 1;
const CURSOR = 2;

const HEADER = -(2 ** 31);
const UNLISTED = -1;

// Accessors of the hot paths. They spell numbers out: engines fold no constant of another module into optimised code.

/** The record of the slab that would be at an offset: 4 KiB and 32 words each. */
export function slabAt(offset: number): number {
  return (offset >>> 12) << 5;
}

/** The word with the bit of the block at an offset / 8: 512 bits from word 8 of each slab's 32 words on. */
export function bitsWordOf(unit: number): number {
  return ((unit >>> 4) & -32) + 8 + ((unit >>> 5) & 15);
}

/** The first word of the list of a slab, from its header: 64 words for each. */
export function listOf(header: number): number {
  return (header << 4) & 0x3fc0;
}

/** The size of a slab's slots, from its header. */
export function slotSizeOf(header: number): number {
  return (header >>> 7) & 0x7f8;
}

/**
 * Fills the empty magazine of a list out of its slabs: from a slab's last slot down, so that the lowest is on top.
 *
 * @param list its first word.
 * @returns whether there is a block in it now.
 */
export function fill(records: Int32Array, lists: Int32Array, list: number): boolean {
  let count = 0;
  for (let slab = lists[list + FIRST]!; slab > 0; slab = lists[list + FIRST]!) {
    const size = slotSizeOf(records[slab]!);
    // The cursor says how many bytes before the last slot's end were looked at.
    const end = SLAB_BYTES - (SLAB_BYTES % size);
    const step = size >>> 3;
    let unit = Math.min(end, end - records[slab + CURSOR]!) >> 3;
    // Each goes on top, and stays if it is free: whether it is cannot be foretold.
    while (unit > 0 && count < MAGAZINE_DEPTH) {
      unit -= step;
      lists[list + count + 1] = slab * 16 + unit;
      count += 1 & ~(records[slab + BITS + (unit >>> 5)]! >>> unit);
    }
    records[slab + CURSOR] = end - unit * 8;
    lists[list] = count;
    if (count > 0) return true;
    lists[list + FIRST] = records[slab + NEXT]!;
    records[slab + NEXT] = UNLISTED;
  }
  return false;
}

/** Makes a record that of a slab of the list, all of it free, and fills the empty magazine out of it. @returns true. */
export function found(records: Int32Array, lists: Int32Array, list: number, slab: number): boolean {
  const size = SIZE_CLASSES[(list / LIST_WORDS) % CLASSES] ?? SLAB_BYTES;
  records[slab] = HEADER | (size << 7) | (list >>> 4) | (records[slab]! & 3);
  records.fill(0, slab + BITS, slab + SLAB_WORDS);
  adopt(records, lists, slab);
  return fill(records, lists, list);
}

/** Makes sure that a slab with a free slot that is in no magazine is listed, and looked at from its last slot on. */
export function relist(records: Int32Array, lists: Int32Array, slab: number): void {
  const list = listOf(records[slab]!);
  records[slab + CURSOR] = 0;
  lists[list + CHANGED] = 1;
  if (records[slab + NEXT] !== UNLISTED) return;
  records[slab + NEXT] = lists[list + FIRST]!;
  lists[list + FIRST] = slab;
}

/** Lists a slab that is not listed, with whatever is live in it. */
export function adopt(records: Int32Array, lists: Int32Array, slab: number): void {
  records[slab + NEXT] = UNLISTED;
  relist(records, lists, slab);
}

/**
 * Empties all magazines and passes on every slab that is wholly free. Looks at every slab with free slots of the lists in which anything was freed since it did so.
 *
 * @returns whether there were such lists.
 */
export function giveIdle(records: Int32Array, lists: Int32Array, give: (slab: number) => unknown): boolean {
  let any = false;
  for (let list = 0; list < lists.length; list += LIST_WORDS) {
    if (lists[list] === 0 && lists[list + CHANGED] === 0) continue;
    any = true;
    for (const unit of magazineOf(lists, list)) relist(records, lists, slabAt(unit * 8));
    lists[list] = 0;
    let slab = lists[list + FIRST]!;
    lists[list + FIRST] = 0;
    while (slab > 0) {
      const next = records[slab + NEXT]!;
      // So that a list that was written over and leads back ends here.
      records[slab + NEXT] = UNLISTED;
      if (isIdle(records, slab)) give(slab);
      else relist(records, lists, slab);
      slab = next;
    }
    lists[list + CHANGED] = 0;
  }
  return any;
}

/** Whether no block of a slab is live. */
function isIdle(records: Int32Array, slab: number): boolean {
  for (let word = slab + BITS; word < slab + SLAB_WORDS; word++) if (records[word] !== 0) return false;
  return true;
}

/** The blocks in a list's magazine. */
function magazineOf(lists: Int32Array, list: number): Int32Array {
  return lists.subarray(list + 1, list + 1 + lists[list]!);
}

/** Checks lists, magazines and slabs; `slabs` are all that there are. @throws HeapError `corrupt`. */
export function checkSlabs(records: Int32Array, lists: Int32Array, slabs: readonly number[]): void {
  const all = new Set(slabs);
  const held = new Set<number>();
  const listed = new Set<number>();
  for (let list = 0; list < lists.length; list += LIST_WORDS) {
    const belongs = (slab: number): boolean => all.has(slab) && listOf(records[slab]!) === list;
    for (let slab = lists[list + FIRST]!; slab !== 0; slab = records[slab + NEXT]!) {
      requireInvariant(belongs(slab) && !listed.has(slab), slab, "a list holds slabs of its class, each once");
      listed.add(slab);
    }
    requireInvariant(
      lists[list]! >>> 0 <= MAGAZINE_DEPTH
        && magazineOf(lists, list).every((unit) => belongs(slabAt(unit * 8)) && held.size < held.add(unit).size),
      list,
      "a magazine holds blocks of its class, each once",
    );
  }
  for (const slab of slabs) {
    const list = listOf(records[slab]!);
    const size = slotSizeOf(records[slab]!);
    const isListed = listed.has(slab);
    // Of a slab that is listed, what lies below was not looked at since it was.
    const seen = SLAB_BYTES - (SLAB_BYTES % size) - records[slab + CURSOR]!;
    requireInvariant(
      slab % SLAB_WORDS === 0
        && list < lists.length
        && SIZE_CLASSES[(list / LIST_WORDS) % CLASSES] === size
        && seen >= 0
        && seen % size === 0
        && isListed === (records[slab + NEXT] !== UNLISTED),
      slab,
      "a slab has its place, the size of its class, and a cursor at a slot, and knows whether it is listed",
    );
    for (let within = 0; within < SLAB_BYTES; within += 8) {
      const unit = slab * 16 + within / 8;
      const isLive = (records[bitsWordOf(unit)]! & (1 << unit)) !== 0;
      const isSlot = within % size === 0 && within + size <= SLAB_BYTES;
      requireInvariant(
        isLive ? isSlot && !held.has(unit) : !isSlot || held.has(unit) || (isListed && within < seen),
        slab,
        "a slot is live, in the magazine, or its slab is listed",
      );
    }
  }
}
