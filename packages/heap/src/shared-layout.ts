import { HeapError } from "./errors.ts";
import { SIZE_CLASSES } from "./size-classes.ts";
import { MAGAZINE_WORDS, SLAB_WORDS } from "./slabs.ts";

/*
 * A shared heap lies in its memory like this, all in 32-bit words:
 *
 *      ┌────────┬───────────────┬───────────────┬──────────────┬──────────────┬─────────────────────┐
 *      │ header │ one slot for  │ one bit for   │ one byte for │ one record   │ pages of 4 KiB      │
 *      │ 16 w   │ each worker   │ each free page│ each page    │ for each page│                     │
 *      └────────┴───────────────┴───────────────┴──────────────┴──────────────┴─────────────────────┘
 *
 *      slot     state · inbox · heir · magazines · first slabs · cached runs · outgoing rings
 *      byte     1 + the slot that has the slab in this page; 0 where there is none
 *      record   32 words: of a slab as in slabs.ts; of the first page of a run its size and state; else 0
 *
 * Only its owner reads or writes a slot and the records of its slabs, without atomics: whoever frees another worker's block asks the bytes, which
 * change only when a slab changes hands, so their cache lines stay with all. The inbox, the header's lock and the state
 * of a run are what workers share; they are only touched once for many blocks, or through one compare-exchange.
 */

const MAGIC = 0x50574831;
const HEADER_WORDS = 16;
/** Word of the header: taken while pages change hands. */
export const LOCK = 4;
/** Word of the header: where the search for free pages goes on. */
export const HINT = 5;

/** Words of a slot: 0 nobody, 1 a worker, 2 a worker that is gone. */
export const STATE = 0;
/** The first of the pages full of blocks that others have freed, which lead to each other through their first words; 0 for none. */
export const INBOX = 1;
/** 1 + the slot that took this one over. */
export const HEIR = 2;
const MAGAZINES = 16;
const FIRSTS: number = MAGAZINES + SIZE_CLASSES.length * MAGAZINE_WORDS;
/** Kept runs: for 1 … {@link RUN_SIZES} pages the first page of each, or 0. */
export const RUNS: number = FIRSTS + SIZE_CLASSES.length;
/** Runs of up to so many pages are kept by the worker that freed them. */
export const RUN_SIZES = 8;
/** Runs of one size that a worker keeps at most, a word for each: fewer of the longer ones, 16 pages of each size. */
export const RUN_WORDS = 16;
const OUTGOING: number = Math.ceil((RUNS + RUN_SIZES * RUN_WORDS) / 16) * 16;
/** Blocks that can be under way in one ring; what does not fit goes into pages. A power of two. */
export const RING = 512;
/** Blocks that are handed over together. */
export const BATCH = 64;

/*
 * A ring from a slot to another: who writes what has a cache line of its own. Counters wrap.
 *
 *      word 0      16        32     33     34         48 …
 *      ┌──────┬─ ─┬───────┬─ ─┬─────┬──────┬───────┬─ ─┬────────┐
 *      │ sent │   │ taken │   │ put │ page │ count │   │ blocks │
 *      └──────┴─ ─┴───────┴─ ─┴─────┴──────┴───────┴─ ─┴────────┘
 *       sender,    receiver    sender: put in,           sender
 *       published              not yet sent
 *
 * A page of blocks that found the ring full: word 0 the next page in the inbox, word 1 how many blocks, then the blocks.
 */

/** How many blocks were handed over: the sender's, read by the receiver. */
export const SENT = 0;
/** How many blocks were taken in: the receiver's. */
export const TAKEN = 16;
/** How many blocks were put in: the sender's own. */
export const PUT = 32;
/** The page that takes up what does not fit, or 0: the sender's own. */
export const PAGE = 33;
/** How many blocks are in it. */
export const PAGE_COUNT = 34;
/** The first block. */
export const BLOCKS = 48;
const RING_WORDS: number = BLOCKS + RING;

/** Where everything is in the memory of a shared heap. */
export class SharedLayout {
  /** All words of the memory. */
  readonly words: Int32Array;
  /** First word of the heap. */
  readonly first: number;
  readonly slots: number;
  readonly pages: number;
  readonly #slotWords: number;
  /** First word of the page bits. */
  readonly bits: number;
  /** By page: 1 + the slot that has the slab in it, or 0. */
  readonly owners: Uint8Array;
  /** The records, {@link SLAB_WORDS} words a page. */
  readonly records: Int32Array;
  /** Byte address of page 0. */
  readonly base: number;

  private constructor(words: Int32Array, first: number, slots: number, pages: number) {
    this.words = words;
    this.first = first;
    this.slots = slots;
    this.pages = pages;
    this.#slotWords = OUTGOING + slots * RING_WORDS;
    this.bits = first + HEADER_WORDS + slots * this.#slotWords;
    // A record is two cache lines, which no two workers write to.
    const owners = this.bits + Math.ceil(pages / 32);
    this.owners = new Uint8Array(words.buffer).subarray(owners * 4, owners * 4 + pages);
    const records = Math.ceil((owners + pages / 4) / SLAB_WORDS) * SLAB_WORDS;
    this.records = words.subarray(records, records + pages * SLAB_WORDS);
    this.base = Math.ceil(((records + pages * SLAB_WORDS) * 4) / 4096) * 4096;
  }

  /** Makes an empty heap out of `[start, end)`. @throws HeapError `bad-option` where that is too small. */
  static format(buffer: SharedArrayBuffer, start: number, end: number, slots: number): SharedLayout {
    const words = new Int32Array(buffer, 0, end >>> 2);
    let pages = Math.floor((end - start) / (4096 + SLAB_WORDS * 4));
    let layout = new SharedLayout(words, start / 4, slots, Math.max(pages, 0));
    while (pages > 1 && layout.base + pages * 4096 > end) layout = new SharedLayout(words, start / 4, slots, --pages);
    if (pages < 2 || start % 8 !== 0 || !(slots >= 1 && slots <= 64))
      throw new HeapError(
        "bad-option",
        end - start,
        "a shared heap needs room for its slots and two pages, and 1 to 64 slots",
      );
    words.fill(0, layout.first, layout.base / 4);
    // Page 0 is never given out: word 0 of the records stands for no slab.
    for (let page = 1; page < pages; page++) {
      const word = layout.bits + (page >>> 5);
      words[word] = words[word]! | (1 << page);
    }
    words.set([MAGIC, 1, pages, slots], layout.first);
    return layout;
  }

  /** Finds the heap that was formatted at `start`. @throws HeapError `bad-format` where there is none. */
  static open(buffer: SharedArrayBuffer, start: number): SharedLayout {
    const words = new Int32Array(buffer, 0, buffer.byteLength >>> 2);
    const first = start / 4;
    if (words[first] !== MAGIC || words[first + 1] !== 1)
      throw new HeapError("bad-format", start, "no shared heap starts here");
    return new SharedLayout(words, first, words[first + 3]!, words[first + 2]!);
  }

  /** First word of a slot. */
  slot(slot: number): number {
    return this.first + HEADER_WORDS + slot * this.#slotWords;
  }

  /** The magazines of a slot. */
  magazines(slot: number): Int32Array {
    return this.words.subarray(this.slot(slot) + MAGAZINES, this.slot(slot) + FIRSTS);
  }

  /** The first slabs of a slot's lists. */
  firsts(slot: number): Int32Array {
    return this.words.subarray(this.slot(slot) + FIRSTS, this.slot(slot) + RUNS);
  }

  /** First word of the ring from a slot to another. */
  outgoing(slot: number, to: number): number {
    return this.slot(slot) + OUTGOING + to * RING_WORDS;
  }
}
