import type { PagedMemory } from "./buffer-memory.ts";
import { HeapError } from "./errors.ts";
import { SIZE_CLASSES, SLAB_BYTES } from "./size-classes.ts";
import { LIST_WORDS, SLAB_WORDS } from "./slabs.ts";

/*
 * A shared heap lies in its memory like this, all in 32-bit words:
 *
 *      ┌────────┬───────────────┬──────────────┬──────────────┬─────────────────────┐
 *      │ header │ one slot for  │ one byte for │ one record   │ pages of 4 KiB      │
 *      │ 16 w   │ each worker   │ each page    │ for each page│                     │
 *      └────────┴───────────────┴──────────────┴──────────────┴─────────────────────┘
 *
 *      slot     state · inbox · heir · waiting · magazines and lists of slabs · kept runs · outgoing rings
 *      byte     0 free · 1 + the slot that has the slab in this page · −1 − the slot in whose hands the page is, while it is taken or given · −128 otherwise
 *      record   32 words: of a slab as in slabs.ts; of the first page of a run its size, keeper and state; else 0
 *
 * Only its owner reads or writes a slot and the records of its slabs, without atomics: whoever frees another worker's block asks the bytes, which
 * change only when a page changes hands, so their cache lines stay with all. Who exchanges a page's 0 for its own mark has the page: there is no lock, and what a worker had in its hands
 * when it ended says so. The inbox, the heir and the state of a run are what workers share; they are only touched once for many blocks, or through one
 * compare-exchange.
 */

const MAGIC = 0x50574831;
const HEADER_WORDS = 16;
const WASM_PAGE = 65536;
/** Blocks are named by offsets of 32 bits / 8. */
const MOST_WORDS: number = 2 ** 32 / 4;
const MOST_PAGES: number = 2 ** 32 / SLAB_BYTES;
/** A memory that grows is grown by so much at least, as far as it can be. */
const GROWTH_BYTES: number = 16 * WASM_PAGE;
/** Word of the header: where the search for free pages goes on. */
export const HINT = 5;

/** Word of a slot: 0 nobody, 1 a worker, 2 a worker that is gone, 3 a worker that is being taken over. */
export const STATE = 0;
/** The first of the pages full of blocks that others have freed, which lead to each other through their first words; 0 for none. */
export const INBOX = 1;
/** 1 + the slot that took this one over and takes in what is still sent to it; with {@link COLLECTING} while it does. */
export const HEIR = 2;
/** Bit of {@link HEIR}: nobody else may take over now. */
export const COLLECTING = 128;
/** 1 + the first block for which neither a ring nor a page was left: it leads to the next with its first word, and its second is a seal. */
export const WAITING = 3;
const MAGAZINES = 16;
/** Kept runs: for 1 … {@link RUN_SIZES} pages the first page of each, or 0. */
export const RUNS: number = MAGAZINES + SIZE_CLASSES.length * LIST_WORDS;
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

/** The byte of a page that is no slab and in nobody's hands: it belongs to a run, or is full of blocks on their way. */
export const IN_USE = -128;

/** A memory that a shared heap can lie in; one that grows is grown when its pages run out. */
export type SharedTarget = SharedArrayBuffer | PagedMemory;

/** Where everything is in the memory of a shared heap. */
export class SharedLayout {
  /** The words of the memory up to the pages and as far as it reached at the beginning. */
  readonly words: Int32Array;
  /** All words, as far as the memory reached when a page was last asked for. */
  contents: Int32Array;
  readonly #memory: PagedMemory | null;
  /** First word of the heap. */
  readonly first: number;
  readonly slots: number;
  readonly pages: number;
  readonly #slotWords: number;
  /** By page: its byte. */
  readonly owners: Int8Array;
  /** The records, {@link SLAB_WORDS} words a page. */
  readonly records: Int32Array;
  /** Byte address of page 0. */
  readonly base: number;

  private constructor(target: SharedTarget, words: Int32Array, first: number, slots: number, pages: number) {
    this.#memory = canGrow(target) ? target : null;
    this.words = this.contents = words;
    this.first = first;
    this.slots = slots;
    this.pages = pages;
    this.#slotWords = OUTGOING + slots * RING_WORDS;
    const owners = first + HEADER_WORDS + slots * this.#slotWords;
    this.owners = new Int8Array(words.buffer).subarray(owners * 4, owners * 4 + pages);
    // A record is two cache lines, which no two workers write to.
    const records = Math.ceil((owners + pages / 4) / SLAB_WORDS) * SLAB_WORDS;
    this.records = words.subarray(records, records + pages * SLAB_WORDS);
    this.base = Math.ceil(((records + pages * SLAB_WORDS) * 4) / SLAB_BYTES) * SLAB_BYTES;
  }

  /** Makes an empty heap out of `[start, end)`. @throws HeapError `bad-option` where that is too small, or no memory is there for what stands before the pages. */
  static format(target: SharedTarget, start: number, end: number, slots: number): SharedLayout {
    const words = wordsOf(target);
    if (!(start >= 0 && start % 8 === 0 && end > start && slots >= 1 && slots <= 64 && slots % 1 === 0))
      throw new HeapError(
        "bad-option",
        start,
        "a shared heap starts at a multiple of 8, before it ends, and has 1 to 64 slots",
      );
    if (!canGrow(target) && end > words.length * 4)
      throw new HeapError("bad-option", end, "the end lies outside the buffer");
    let pages = Math.min(Math.floor((end - start) / (SLAB_BYTES + SLAB_WORDS * 4)), MOST_PAGES);
    let layout = new SharedLayout(target, words, start / 4, slots, pages);
    while (pages > 1 && layout.base + pages * SLAB_BYTES > end)
      layout = new SharedLayout(target, words, start / 4, slots, --pages);
    if (pages < 2 || layout.base > words.length * 4)
      throw new HeapError("bad-option", end - start, "a shared heap needs room for its slots and two pages");
    words.fill(0, layout.first, layout.base / 4);
    // Page 0 is never given out: word 0 of the records stands for no slab.
    layout.owners[0] = IN_USE;
    words.set([MAGIC, 3, pages, slots], layout.first);
    return layout;
  }

  /** Finds the heap that was formatted at `start`. @throws HeapError `bad-format` where there is none. */
  static open(target: SharedTarget, start: number): SharedLayout {
    const words = wordsOf(target);
    if (!(start >= 0 && start % 8 === 0)) throw new HeapError("bad-format", start, "no shared heap starts here");
    const first = start / 4;
    const [magic, version, pages = 0, slots = 0] = words.subarray(first, first + 4);
    if (magic !== MAGIC || version !== 3 || !(pages > 1 && slots >= 1 && slots <= 64))
      throw new HeapError("bad-format", start, "no shared heap starts here");
    const layout = new SharedLayout(target, words, first, slots, pages);
    const end = layout.base + (canGrow(target) ? 0 : pages * SLAB_BYTES);
    if (end > words.length * 4) throw new HeapError("bad-format", start, "the memory ends before the heap");
    return layout;
  }

  /** Whether the header is the one that was written. */
  get isIntact(): boolean {
    const [magic, version, pages, slots] = this.words.subarray(this.first, this.first + 4);
    return magic === MAGIC && version === 3 && pages === this.pages && slots === this.slots;
  }

  /** Makes `contents` reach the end of a run of pages, growing the memory where it can. @returns whether it does now. */
  reach(page: number, count: number): boolean {
    const end = this.base + (page + count) * SLAB_BYTES;
    return end <= this.contents.length * 4 || (page + count <= this.pages && this.#grow(end));
  }

  #grow(end: number): boolean {
    const memory = this.#memory;
    if (memory === null) return false;
    const refresh = (): number => end - (this.contents = new Int32Array(memory.buffer)).length * 4;
    // Growing by nothing shows what other workers have grown it by.
    growBy(memory, 0);
    const lacking = refresh();
    if (lacking > 0 && !growBy(memory, Math.max(lacking, GROWTH_BYTES))) growBy(memory, lacking);
    return refresh() <= 0;
  }

  /** First word of a slot. */
  slot(slot: number): number {
    return this.first + HEADER_WORDS + slot * this.#slotWords;
  }

  /** The lists of slabs of a slot, with their magazines. */
  magazines(slot: number): Int32Array {
    return this.words.subarray(this.slot(slot) + MAGAZINES, this.slot(slot) + RUNS);
  }

  /** First word of the ring from a slot to another. */
  outgoing(slot: number, to: number): number {
    return this.slot(slot) + OUTGOING + to * RING_WORDS;
  }
}

function canGrow(target: SharedTarget): target is PagedMemory {
  return "grow" in target && "buffer" in target;
}

function wordsOf(target: SharedTarget): Int32Array {
  const buffer = canGrow(target) ? target.buffer : target;
  return new Int32Array(buffer, 0, Math.min(Math.floor(buffer.byteLength / 4), MOST_WORDS));
}

/** Grows a memory by so many bytes, in its pages. @returns whether that was possible. */
function growBy(memory: PagedMemory, bytes: number): boolean {
  try {
    memory.grow(Math.ceil(bytes / WASM_PAGE));
    return true;
  } catch (error) {
    if (error instanceof RangeError) return false;
    throw error;
  }
}
