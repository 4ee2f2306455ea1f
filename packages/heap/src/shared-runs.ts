import { IN_USE, RUN_SIZES, RUN_WORDS, RUNS } from "./shared-layout.ts";
import type { SharedLayout } from "./shared-layout.ts";
import type { SharedPages } from "./shared-pages.ts";
import { SLAB_WORDS } from "./slabs.ts";

/*
 * The record of a run's first page:
 *
 *      30 …… 9 │ 8 …… 2 │ 1 0
 *        pages │ keeper │ 1 live, 3 freed, and the keeper has it or had it last
 */

/** State of a record: a live block. */
export const LIVE_RUN = 1;
/** State of a record: freed, and kept. */
export const KEPT_RUN = 3;

/** The record of a live run of pages. */
export function liveRun(pages: number): number {
  return (pages << 9) | LIVE_RUN;
}

/** The record of a run of pages that a slot keeps. */
export function keptRun(pages: number, keeper: number): number {
  return (pages << 9) | (keeper << 2) | KEPT_RUN;
}

/** How many pages a run has, from its record. */
export function pagesOf(record: number): number {
  return record >>> 9;
}

/** The slot that keeps a run, from its record. */
export function keeperOf(record: number): number {
  return (record >>> 2) & 127;
}

/**
 * The short runs of pages that a worker has freed and keeps, so that most runs are taken and given at few places. A word holds the first page of a run, or 0; whoever
 * puts the page into its hands and then exchanges the word for 0 has the run, so a worker that is out of memory can take what others keep.
 */
export class KeptRuns {
  readonly #layout: SharedLayout;
  readonly #pages: SharedPages;
  readonly #slot: number;

  constructor(layout: SharedLayout, pages: SharedPages, slot: number) {
    this.#layout = layout;
    this.#pages = pages;
    this.#slot = slot;
  }

  /** First of the words for runs of `pages` pages. */
  firstWord(slot: number, pages: number): number {
    return this.#layout.slot(slot) + RUNS + (pages - 1) * RUN_WORDS;
  }

  /** The first page of a run that this worker has kept, now in its hands, or −1. */
  take(pages: number): number {
    if (pages > RUN_SIZES) return -1;
    const { words } = this.#layout;
    const first = this.firstWord(this.#slot, pages);
    const end = first + Math.floor(RUN_WORDS / pages);
    for (let word = first; word < end; word++)
      if (words[word] !== 0 && this.#takeWord(word, pages, this.#slot)) return this.#taken;
    return -1;
  }

  /** The page that was taken last. */
  #taken = 0;

  /** Takes the run that a word names. What was written over names none. */
  #takeWord(word: number, pages: number, keeper: number): boolean {
    const { words, records, pages: all } = this.#layout;
    const page = words[word]!;
    if (!(page > 0 && page < all) || !this.#pages.hold(page, IN_USE)) return false;
    if (
      records[page * SLAB_WORDS] === keptRun(pages, keeper)
      && Atomics.compareExchange(words, word, page, 0) === page
    ) {
      this.#taken = page;
      return true;
    }
    this.#pages.settle(page, 1, IN_USE);
    return false;
  }

  /** A page, kept or of all, whose record is 0, in this worker's hands; −1 where there is none. */
  takePage(): number {
    const kept = this.take(1);
    if (kept < 0) return this.#pages.take(1, 1, 0);
    this.#layout.records[kept * SLAB_WORDS] = 0;
    return kept;
  }

  /** Keeps a run whose record says so, or gives it to all. */
  keep(page: number, pages: number): void {
    const { words } = this.#layout;
    const first = this.firstWord(this.#slot, pages);
    const end = pages > RUN_SIZES ? first : first + Math.floor(RUN_WORDS / pages);
    for (let word = first; word < end; word++)
      if (words[word] === 0 && Atomics.compareExchange(words, word, 0, page) === 0) return;
    if (this.#pages.hold(page, IN_USE)) this.#pages.give(page, pages);
  }

  /** Gives all that a slot has kept to all. @returns whether there was any. */
  giveAll(slot: number): boolean {
    let any = false;
    for (let pages = 1; pages <= RUN_SIZES; pages++)
      for (let at = 0; at < RUN_WORDS; at++) {
        const word = this.firstWord(slot, pages) + at;
        if (this.#layout.words[word] === 0 || !this.#takeWord(word, pages, slot)) continue;
        this.#pages.give(this.#taken, pages);
        any = true;
      }
    return any;
  }

  /** Gives all that any worker has kept to all, for a worker that is out of memory. @returns whether there was any. */
  giveEverything(): boolean {
    let any = false;
    for (let slot = 0; slot < this.#layout.slots; slot++) any = this.giveAll(slot) || any;
    return any;
  }

  /** Makes what a worker that has ended had in its hands free: runs it was about to take, to give or to keep. After its slabs and rings have been taken over. */
  recover(slot: number): void {
    const { pages: all, records } = this.#layout;
    this.giveAll(slot);
    for (let page = 1; page < all; page++) {
      const record = records[page * SLAB_WORDS]!;
      if (this.#pages.isInHandsOf(slot, page)) {
        if (!this.#pages.hold(page, -1 - slot)) continue;
        if ((record & 3) === KEPT_RUN) this.#forget(page, record);
        this.#pages.give(page, record > 0 ? pagesOf(record) : 1);
      } else if ((record & 3) === KEPT_RUN && keeperOf(record) === slot && this.#pages.isInUse(page)) {
        // Its word is empty: it was being kept.
        if (this.#pages.hold(page, IN_USE)) this.#pages.give(page, pagesOf(record));
      }
    }
  }

  /** Empties the word that names a run. */
  #forget(page: number, record: number): void {
    if (pagesOf(record) > RUN_SIZES || keeperOf(record) >= this.#layout.slots) return;
    const first = this.firstWord(keeperOf(record), pagesOf(record));
    for (let word = first; word < first + RUN_WORDS; word++) Atomics.compareExchange(this.#layout.words, word, page, 0);
  }
}
