import { RUN_SIZES, RUN_WORDS, RUNS } from "./shared-layout.ts";
import type { SharedLayout } from "./shared-layout.ts";
import type { SharedPages } from "./shared-pages.ts";
import { SLAB_WORDS } from "./slabs.ts";

/**
 * The short runs of pages that a worker has freed and keeps, so that most runs are taken and given without the lock. A word holds the first page of a run, or 0;
 * whoever exchanges it for 0 has the run, so a worker that is out of memory can take what others keep.
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
  #first(slot: number, pages: number): number {
    return this.#layout.slot(slot) + RUNS + (pages - 1) * RUN_WORDS;
  }

  /** The first page of a run that this worker has kept, or −1. */
  take(pages: number): number {
    if (pages > RUN_SIZES) return -1;
    const { words, pages: all } = this.#layout;
    const first = this.#first(this.#slot, pages);
    const end = first + Math.floor(RUN_WORDS / pages);
    for (let word = first; word < end; word++) {
      const page = words[word] === 0 ? 0 : Atomics.exchange(words, word, 0);
      // A word that was written over names no page.
      if (page > 0 && page < all) return page;
    }
    return -1;
  }

  /** A page, kept or of all, whose record is 0; −1 where there is none. */
  takePage(): number {
    const kept = this.take(1);
    const page = kept < 0 ? this.#pages.take(1, 1, 0) : kept;
    if (page >= 0) this.#layout.records[page * SLAB_WORDS] = 0;
    return page;
  }

  /** Keeps a run, or gives it to all. */
  keep(page: number, pages: number): void {
    const { words } = this.#layout;
    const first = this.#first(this.#slot, pages);
    const end = pages > RUN_SIZES ? first : first + Math.floor(RUN_WORDS / pages);
    for (let word = first; word < end; word++)
      if (words[word] === 0 && Atomics.compareExchange(words, word, 0, page) === 0) return;
    this.#give(page, pages);
  }

  #give(page: number, pages: number): void {
    this.#layout.records[page * SLAB_WORDS] = 0;
    this.#pages.give(page, pages);
  }

  /** Gives all that a slot has kept to all. @returns whether there was any. */
  giveAll(slot: number): boolean {
    const { words } = this.#layout;
    let any = false;
    for (let pages = 1; pages <= RUN_SIZES; pages++)
      for (let at = 0; at < RUN_WORDS; at++) {
        const page = Atomics.exchange(words, this.#first(slot, pages) + at, 0);
        if (page === 0) continue;
        this.#give(page, pages);
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
}
