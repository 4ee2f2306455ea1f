import { RUN_SIZES, RUN_WORDS, RUNS } from "./shared-layout.ts";
import type { SharedLayout } from "./shared-layout.ts";
import type { SharedPages } from "./shared-pages.ts";
import { SLAB_WORDS } from "./slabs.ts";

/** The short runs of pages that a worker has freed and keeps for itself, so that most runs are taken and given without the lock. */
export class KeptRuns {
  readonly #layout: SharedLayout;
  readonly #pages: SharedPages;
  readonly #slot: number;

  constructor(layout: SharedLayout, pages: SharedPages, slot: number) {
    this.#layout = layout;
    this.#pages = pages;
    this.#slot = slot;
  }

  /** The stack of the runs of `pages` pages: a count, then their first pages. */
  #stack(slot: number, pages: number): number {
    return this.#layout.slot(slot) + RUNS + (pages - 1) * RUN_WORDS;
  }

  /** The first page of a run that was kept, or −1. */
  take(pages: number): number {
    if (pages > RUN_SIZES) return -1;
    const { words } = this.#layout;
    const stack = this.#stack(this.#slot, pages);
    const count = words[stack]!;
    if (count === 0) return -1;
    words[stack] = count - 1;
    return words[stack + count]!;
  }

  /** Keeps a run, or gives it to all. */
  keep(page: number, pages: number): void {
    const { words } = this.#layout;
    const stack = this.#stack(this.#slot, pages);
    if (pages > RUN_SIZES || words[stack]! >= RUN_WORDS - 1) this.#give(page, pages);
    else {
      words[stack] = words[stack]! + 1;
      words[stack + words[stack]] = page;
    }
  }

  #give(page: number, pages: number): void {
    this.#layout.records[page * SLAB_WORDS] = 0;
    this.#pages.give(page, pages);
  }

  /** Gives all that a slot has kept to all. @returns whether there was any. */
  giveAll(slot: number = this.#slot): boolean {
    const { words } = this.#layout;
    let any = false;
    for (let pages = 1; pages <= RUN_SIZES; pages++) {
      const stack = this.#stack(slot, pages);
      for (let at = Math.min(words[stack]!, RUN_WORDS - 1); at > 0; at--, any = true)
        this.#give(words[stack + at]!, pages);
      words[stack] = 0;
    }
    return any;
  }
}
