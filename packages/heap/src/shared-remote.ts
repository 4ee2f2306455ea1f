import { HeapError } from "./errors.ts";
import { BATCH, BLOCKS, HEIR, INBOX, PAGE, PAGE_COUNT, PUT, RING, SENT, TAKEN } from "./shared-layout.ts";
import type { SharedLayout } from "./shared-layout.ts";
import type { KeptRuns } from "./shared-runs.ts";
import { SLAB_BYTES } from "./size-classes.ts";

/** Blocks in a page: its words but two. */
const PAGE_BLOCKS: number = SLAB_BYTES / 4 - 2;

/**
 * The blocks that one worker frees and another owns, on their way home: into a ring from worker to worker, handed over {@link BATCH} at a time with one
 * atomic store. What finds the ring full is written into a page, and the page put before the owner's inbox with one compare-exchange. Nothing is written into the
 * blocks themselves, so one that is freed twice takes no other with it. Blocks are named by their offsets / 8.
 */
export class RemoteFrees {
  readonly #layout: SharedLayout;
  readonly #runs: KeptRuns;
  readonly #slot: number;
  readonly #words: Int32Array;
  /** By slot: the first word of the ring to it. */
  readonly #rings: Int32Array;
  /** Blocks for which neither ring nor memory was left, and their owners by turns: they wait here for the next batch. */
  #waiting: number[] = [];

  constructor(layout: SharedLayout, runs: KeptRuns, slot: number) {
    this.#layout = layout;
    this.#runs = runs;
    this.#slot = slot;
    this.#words = layout.words;
    this.#rings = Int32Array.from({ length: layout.slots }, (_, to) => layout.outgoing(slot, to));
  }

  /** Puts a block on its way: two reads and two writes, most of the time. */
  send(unit: number, owner: number): void {
    const words = this.#words;
    const ring = this.#rings[owner]!;
    const put = words[ring + PUT]!;
    if (((put - words[ring + TAKEN]!) | 0) >= RING) this.#sendByPage(ring, unit, owner);
    else {
      words[ring + BLOCKS + (put & (RING - 1))] = unit;
      const next = (put + 1) | 0;
      words[ring + PUT] = next;
      if ((next & (BATCH - 1)) === 0) this.#publish(ring, owner);
    }
  }

  /** Hands over what is in a ring, and in a page beside it. */
  #publish(ring: number, owner: number): void {
    const words = this.#words;
    if (owner >= this.#layout.slots) throw new HeapError("corrupt", owner, "a slab's owner is a slot");
    Atomics.store(words, ring + SENT, words[ring + PUT]!);
    if (words[ring + PAGE_COUNT] !== 0) this.#sendPage(ring, owner);
    if (this.#waiting.length > 0) this.#sendWaiting();
  }

  #sendByPage(ring: number, unit: number, owner: number): void {
    const words = this.#words;
    let page = words[ring + PAGE]!;
    if (page === 0) page = words[ring + PAGE] = Math.max(this.#runs.takePage(), 0);
    if (page === 0) {
      this.#waiting.push(unit, owner);
      return;
    }
    const count = words[ring + PAGE_COUNT]!;
    words[this.#wordOf(page) + 2 + count] = unit;
    words[ring + PAGE_COUNT] = count + 1;
    if (count + 1 === PAGE_BLOCKS) this.#sendPage(ring, owner);
  }

  /** Puts a page before what is in the owner's inbox. */
  #sendPage(ring: number, owner: number): void {
    const words = this.#words;
    const page = words[ring + PAGE]!;
    const inbox = this.#layout.slot(owner) + INBOX;
    words[this.#wordOf(page) + 1] = words[ring + PAGE_COUNT]!;
    words[ring + PAGE] = words[ring + PAGE_COUNT] = 0;
    let head = Atomics.load(words, inbox);
    for (;;) {
      words[this.#wordOf(page)] = head;
      const seen = Atomics.compareExchange(words, inbox, head, page);
      if (seen === head) return;
      head = seen;
    }
  }

  #sendWaiting(): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    for (let at = 0; at < waiting.length; at += 2) this.send(waiting[at] ?? 0, waiting[at + 1] ?? 0);
  }

  /** Hands over what a slot, this one or one whose worker is gone, has under way to others. */
  flush(slot: number = this.#slot): void {
    const words = this.#words;
    this.#sendWaiting();
    for (let to = 0; to < this.#layout.slots; to++) {
      const ring = this.#layout.outgoing(slot, to);
      if (words[ring + SENT] !== words[ring + PUT]) Atomics.store(words, ring + SENT, words[ring + PUT]!);
      if (words[ring + PAGE_COUNT] !== 0) this.#sendPage(ring, to);
    }
  }

  /**
   * Takes in what others have sent to this slot and to those that it is heir to.
   *
   * @returns whether there was anything.
   */
  collect(take: (unit: number) => void): boolean {
    const words = this.#words;
    const { slots } = this.#layout;
    let any = false;
    for (let slot = 0; slot < slots; slot++) {
      const start = this.#layout.slot(slot);
      if (slot !== this.#slot && words[start + HEIR] !== this.#slot + 1) continue;
      for (let from = 0; from < slots; from++) {
        const ring = this.#layout.outgoing(from, slot);
        // A plain look first: what it misses is seen the next time.
        if (words[ring + SENT] === words[ring + TAKEN]) continue;
        const sent = Atomics.load(words, ring + SENT);
        const taken = words[ring + TAKEN]!;
        any = true;
        // No more than a ring holds, whatever the counters say.
        const count = Math.min((sent - taken) >>> 0, RING);
        for (let at = taken; at < taken + count; at++) take(words[ring + BLOCKS + (at & (RING - 1))]!);
        Atomics.store(words, ring + TAKEN, sent);
      }
      if (words[start + INBOX] === 0) continue;
      any = true;
      this.#followPages(Atomics.exchange(words, start + INBOX, 0), (page, first, end) => {
        for (let at = first; at < end; at++) take(words[at]!);
        this.#runs.keep(page, 1);
      });
    }
    return any;
  }

  /** Visits pages that lead to each other, each with its first block's word and the one after its last. */
  #followPages(head: number, visit: (page: number, first: number, end: number) => void): void {
    const words = this.#words;
    const { pages } = this.#layout;
    // No more than there are, whatever they say.
    for (let page = head, left = pages; page > 0 && page < pages && left > 0; left--) {
      const word = this.#wordOf(page);
      const next = words[word]!;
      visit(page, word + 2, word + 2 + Math.min(words[word + 1]!, PAGE_BLOCKS));
      page = next;
    }
  }

  /** Blocks that are freed, but have not yet reached their owner. Only while nobody works. */
  underWay(): Set<number> {
    const words = this.#words;
    const { slots } = this.#layout;
    const units = new Set(this.#waiting.filter((_, at) => at % 2 === 0));
    const add = (first: number, end: number): void => {
      for (const unit of words.subarray(first, end)) units.add(unit);
    };
    for (let slot = 0; slot < slots; slot++) {
      this.#followPages(words[this.#layout.slot(slot) + INBOX]!, (_page, first, end) => add(first, end));
      for (let to = 0; to < slots; to++) {
        const ring = this.#layout.outgoing(slot, to);
        const page = this.#wordOf(words[ring + PAGE]!) + 2;
        add(page, page + words[ring + PAGE_COUNT]!);
        const taken = words[ring + TAKEN]!;
        const count = Math.min((words[ring + PUT]! - taken) >>> 0, RING);
        for (let at = taken; at < taken + count; at++) units.add(words[ring + BLOCKS + (at & (RING - 1))]!);
      }
    }
    return units;
  }

  /** The first word of a page. */
  #wordOf(page: number): number {
    return (this.#layout.base + page * SLAB_BYTES) >>> 2;
  }
}
