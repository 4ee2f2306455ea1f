import { requireInvariant } from "./allocator.ts";
import { HeapError } from "./errors.ts";
import { HINT, LOCK } from "./shared-layout.ts";
import type { SharedLayout } from "./shared-layout.ts";
import { SLAB_WORDS } from "./slabs.ts";

/** The pages of a shared heap that no worker has. Every change takes the lock of the header, for a search over bits; the lock says who has it. */
export class SharedPages {
  readonly #layout: SharedLayout;
  readonly #lock: number;
  readonly #slot: number;

  constructor(layout: SharedLayout, slot: number) {
    this.#layout = layout;
    this.#slot = slot;
    this.#lock = layout.first + LOCK;
  }

  #enter(): void {
    const { words, slots } = this.#layout;
    for (;;) {
      const holder = Atomics.compareExchange(words, this.#lock, 0, this.#slot + 1);
      if (holder === 0) return;
      if (!(holder > 0 && holder <= slots)) throw new HeapError("corrupt", holder, "the lock names a slot");
      // A short wait where waiting is allowed; the main thread of a browser has to spin.
      try {
        Atomics.wait(words, this.#lock, holder, 1);
      } catch {
        continue;
      }
    }
  }

  /** Takes the lock from a worker that has ended; of the pages that it was about to take or give some may stay taken. */
  release(slot: number): void {
    Atomics.compareExchange(this.#layout.words, this.#lock, slot + 1, 0);
  }

  #leave(): void {
    Atomics.store(this.#layout.words, this.#lock, 0);
    Atomics.notify(this.#layout.words, this.#lock, 1);
  }

  /** Takes `count` pages in a row whose first is a multiple of `alignment` beyond `phase`. @returns the first, or −1. */
  take(count: number, alignment: number, phase: number): number {
    const { words, first } = this.#layout;
    this.#enter();
    let page = this.#search(Math.max(words[first + HINT]!, 0), count, alignment, phase);
    if (page < 0) page = this.#search(0, count, alignment, phase);
    for (let at = page; page >= 0 && at < page + count; at++) this.#set(at, false);
    if (page >= 0) words[first + HINT] = page + count;
    this.#leave();
    return page;
  }

  /** Gives pages back, whose records must be 0. */
  give(page: number, count: number): void {
    const { words, first, pages } = this.#layout;
    this.#enter();
    for (let at = page; at < page + count && at < pages; at++) this.#set(at, true);
    words[first + HINT] = Math.min(words[first + HINT]!, page);
    this.#leave();
  }

  #search(from: number, count: number, alignment: number, phase: number): number {
    const { words, bits, pages } = this.#layout;
    let run = 0;
    for (let page = from; page < pages; page++) {
      const word = words[bits + (page >>> 5)]!;
      if (run === 0 && word === 0) page |= 31;
      else if ((word & (1 << page)) === 0 || (run === 0 && (page + phase) % alignment !== 0)) run = 0;
      else if (++run === count) return page - count + 1;
    }
    return -1;
  }

  #set(page: number, isFree: boolean): void {
    const { words, bits } = this.#layout;
    const word = bits + (page >>> 5);
    words[word] = isFree ? words[word]! | (1 << page) : words[word]! & ~(1 << page);
  }

  /** Whether nobody has the page. */
  isFree(page: number): boolean {
    const { words, bits } = this.#layout;
    return (words[bits + (page >>> 5)]! & (1 << page)) !== 0;
  }

  /** Free pages have empty records. Only while nobody works. */
  check(): void {
    for (let page = 0; page < this.#layout.pages; page++)
      requireInvariant(
        !this.isFree(page) || this.#layout.records[page * SLAB_WORDS] === 0,
        page,
        "a free page has an empty record",
      );
  }
}
