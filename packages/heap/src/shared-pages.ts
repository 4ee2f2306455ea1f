import { HINT, IN_USE } from "./shared-layout.ts";
import type { SharedLayout } from "./shared-layout.ts";
import { SLAB_WORDS } from "./slabs.ts";

/**
 * The pages of a shared heap that no worker has, without a lock: a page is taken by exchanging its byte, 0, for the worker's mark. The mark stays until it is written what the page is
 * for, so whoever takes a worker over that has ended finds what was in its hands ({@link SharedPages.isInHandsOf}).
 */
export class SharedPages {
  readonly #layout: SharedLayout;
  /** The byte of a page in this worker's hands. */
  readonly #mark: number;
  /** The same bytes, four to a word. */
  readonly #words: Int32Array;

  constructor(layout: SharedLayout, slot: number) {
    this.#layout = layout;
    this.#mark = -1 - slot;
    const { owners } = layout;
    this.#words = new Int32Array(owners.buffer, owners.byteOffset, owners.length >>> 2);
  }

  /** Takes `count` pages in a row whose first is a multiple of `alignment` beyond `phase`; they are in this worker's hands then. @returns the first, or −1. */
  take(count: number, alignment: number, phase: number): number {
    const { words, first } = this.#layout;
    const hint = first + HINT;
    for (let from = Math.max(words[hint]!, 0); ; from = 0) {
      const page = this.#takeFrom(from, count, alignment, phase);
      if (page >= 0) words[hint] = page + count;
      if (page >= 0 || from === 0) return page;
    }
  }

  #takeFrom(from: number, count: number, alignment: number, phase: number): number {
    for (let page = this.#search(from, count, alignment, phase); page >= 0;) {
      let taken = 0;
      while (taken < count && this.#exchange(page + taken, 0, this.#mark)) taken++;
      if (taken === count && this.#layout.reach(page, count)) return page;
      this.settle(page, taken, 0);
      // Another worker was faster; or there is no more memory, neither here nor beyond.
      page = taken === count ? -1 : this.#search(page + taken + 1, count, alignment, phase);
    }
    return -1;
  }

  /** The first of `count` free pages, or −1. */
  #search(from: number, count: number, alignment: number, phase: number): number {
    const { owners, pages } = this.#layout;
    let run = 0;
    for (let page = from; page < pages; page++) {
      if (owners[page] !== 0 || (run === 0 && (page + phase) % alignment !== 0)) {
        run = 0;
        // Words of which no byte is 0.
        while ((page & 3) === 3 && page + 4 < pages && isFull(this.#words[(page + 1) >>> 2]!)) page += 4;
      } else if (++run === count) return page - count + 1;
    }
    return -1;
  }

  /** Puts a page whose byte is `from` into this worker's hands. @returns whether there was such a page. */
  hold(page: number, from: number): boolean {
    return this.#exchange(page, from, this.#mark);
  }

  #exchange(page: number, from: number, to: number): boolean {
    const { owners } = this.#layout;
    return page > 0 && page < owners.length && Atomics.compareExchange(owners, page, from, to) === from;
  }

  /** Lets go of pages in this worker's hands, the first one last: from now on they are what the byte says. */
  settle(page: number, count: number, byte: number): void {
    const { owners } = this.#layout;
    for (let at = page + count - 1; at >= page; at--) Atomics.store(owners, at, byte);
  }

  /** Gives a run back whose first page is in this worker's hands. Until its record is 0 all of it can be told from there, afterwards by the mark of each page. */
  give(page: number, count: number): void {
    const { words, first, owners, records, pages } = this.#layout;
    const end = Math.min(page + count, pages);
    for (let at = page + 1; at < end; at++) Atomics.store(owners, at, this.#mark);
    Atomics.store(records, page * SLAB_WORDS, 0);
    this.settle(page, end - page, 0);
    if (page < words[first + HINT]!) words[first + HINT] = page;
  }

  /** Whether a page is in the hands of a slot's worker. */
  isInHandsOf(slot: number, page: number): boolean {
    return this.#layout.owners[page] === -1 - slot;
  }

  /** Whether a page is neither free nor a slab nor in anyone's hands. */
  isInUse(page: number): boolean {
    return this.#layout.owners[page] === IN_USE;
  }
}

/** Whether none of the four bytes of a word is 0. */
function isFull(word: number): boolean {
  return ((word - 0x01010101) & ~word & 0x80808080) === 0;
}
