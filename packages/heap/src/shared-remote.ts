import { HeapError } from "./errors.ts";
import {
  BATCH,
  BLOCKS,
  COLLECTING,
  HEIR,
  IN_USE,
  INBOX,
  PAGE,
  PAGE_COUNT,
  PUT,
  RING,
  SENT,
  TAKEN,
  WAITING,
} from "./shared-layout.ts";
import type { SharedLayout } from "./shared-layout.ts";
import type { SharedPages } from "./shared-pages.ts";
import { keptRun } from "./shared-runs.ts";
import type { KeptRuns } from "./shared-runs.ts";
import { SLAB_BYTES } from "./size-classes.ts";
import { SLAB_WORDS } from "./slabs.ts";

/** Blocks in a page: its words but two. */
export const PAGE_BLOCKS: number = SLAB_BYTES / 4 - 2;
/** Blocks in a page of the smallest slots. */
const PAGE_UNITS: number = SLAB_BYTES / 8;
const SEAL = 0x57414954;

/**
 * The blocks that one worker frees and another owns, on their way home: into a ring from worker to worker, handed over {@link BATCH} at a time with one
 * atomic store. What finds the ring full is written into a page, and the page put before the owner's inbox with one compare-exchange. Nothing is written into the
 * blocks themselves, so one that is freed twice takes no other with it, but where no page is left either: then they wait in a chain through their own words.
 * Blocks are named by their offsets / 8.
 */
export class RemoteFrees {
  readonly #layout: SharedLayout;
  readonly #pages: SharedPages;
  readonly #runs: KeptRuns;
  readonly #slot: number;
  readonly #words: Int32Array;
  /** By slot: the first word of the ring to it. */
  readonly #rings: Int32Array;

  constructor(layout: SharedLayout, pages: SharedPages, runs: KeptRuns, slot: number) {
    this.#layout = layout;
    this.#pages = pages;
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
    this.#sendWaiting(this.#slot);
  }

  #sendByPage(ring: number, unit: number, owner: number): void {
    const words = this.#words;
    let page = words[ring + PAGE]!;
    if (page === 0) {
      page = this.#runs.takePage();
      if (page < 0) {
        this.#wait(unit);
        return;
      }
      words[ring + PAGE] = page;
      this.#pages.settle(page, 1, IN_USE);
    }
    const count = words[ring + PAGE_COUNT]!;
    this.#contentsOf(page)[this.#wordOf(page) + 2 + count] = unit;
    words[ring + PAGE_COUNT] = count + 1;
    if (count + 1 >= PAGE_BLOCKS) this.#sendPage(ring, owner);
  }

  /** Puts a page before what is in the owner's inbox. */
  #sendPage(ring: number, owner: number): void {
    const words = this.#words;
    const page = words[ring + PAGE]!;
    const contents = this.#contentsOf(page);
    const inbox = this.#layout.slot(owner) + INBOX;
    contents[this.#wordOf(page) + 1] = words[ring + PAGE_COUNT]!;
    words[ring + PAGE] = words[ring + PAGE_COUNT] = 0;
    let head = Atomics.load(words, inbox);
    for (;;) {
      contents[this.#wordOf(page)] = head;
      const seen = Atomics.compareExchange(words, inbox, head, page);
      if (seen === head) return;
      head = seen;
    }
  }

  /** Chains a block for which neither ring nor page is left: its first word leads to the next, its second is a seal. */
  #wait(unit: number): void {
    const contents = this.#contentsOf(unit >>> 9);
    const word = this.#wordOf(0) + unit * 2;
    if (contents[word + 1] === (contents[word]! ^ unit ^ SEAL))
      throw new HeapError("double-free", this.#layout.base + unit * 8);
    const waiting = this.#layout.slot(this.#slot) + WAITING;
    const next = this.#words[waiting]!;
    contents[word] = next;
    contents[word + 1] = next ^ unit ^ SEAL;
    this.#words[waiting] = unit + 1;
  }

  /** Sends the blocks that wait in a slot once more. */
  #sendWaiting(slot: number): void {
    const waiting = this.#layout.slot(slot) + WAITING;
    if (this.#words[waiting] === 0) return;
    const units = this.#waitingOf(slot);
    this.#words[waiting] = 0;
    for (const unit of units) {
      this.#contentsOf(unit >>> 9)[this.#wordOf(0) + unit * 2 + 1] = 0;
      const owner = this.#layout.owners[unit >>> 9]! - 1;
      if (owner >= 0 && owner < this.#layout.slots) this.send(unit, owner);
    }
  }

  /** The blocks that wait in a slot, up to the first that was written over. */
  #waitingOf(slot: number): number[] {
    const { pages } = this.#layout;
    const units: number[] = [];
    let unit = this.#words[this.#layout.slot(slot) + WAITING]! - 1;
    // No more than there are, whatever they say.
    while (unit >= 0 && unit < pages * PAGE_UNITS && units.length < pages * PAGE_UNITS) {
      const contents = this.#contentsOf(unit >>> 9);
      const word = this.#wordOf(0) + unit * 2;
      const next = contents[word]!;
      if (contents[word + 1] !== (next ^ unit ^ SEAL)) break;
      units.push(unit);
      unit = next - 1;
    }
    return units;
  }

  /** Hands over what a slot, this one or one whose worker is gone, has under way to others. */
  flush(slot: number = this.#slot): void {
    const words = this.#words;
    this.#sendWaiting(slot);
    for (let to = 0; to < this.#layout.slots; to++) {
      const ring = this.#layout.outgoing(slot, to);
      if (words[ring + SENT] !== words[ring + PUT]) Atomics.store(words, ring + SENT, words[ring + PUT]!);
      if (words[ring + PAGE_COUNT] !== 0) this.#sendPage(ring, to);
      else if (words[ring + PAGE] !== 0) {
        // Its worker ended before it wrote anything into it.
        if (this.#pages.hold(words[ring + PAGE]!, IN_USE)) this.#pages.give(words[ring + PAGE]!, 1);
        words[ring + PAGE] = 0;
      }
    }
  }

  /**
   * Takes in what others have sent to this slot and to those that it is heir to.
   *
   * @returns whether there was anything.
   */
  collect(take: (unit: number) => void): boolean {
    const words = this.#words;
    const me = this.#slot + 1;
    let any = false;
    for (let slot = 0; slot < this.#layout.slots; slot++) {
      const heir = this.#layout.slot(slot) + HEIR;
      if (slot === this.#slot) any = this.collectOf(slot, take) || any;
      else if (words[heir] === me && Atomics.compareExchange(words, heir, me, me | COLLECTING) === me) {
        any = this.collectOf(slot, take) || any;
        Atomics.store(words, heir, me);
      }
    }
    return any;
  }

  /** Takes in what others have sent to one slot, which nobody else does meanwhile. @returns whether there was anything. */
  collectOf(slot: number, take: (unit: number) => void): boolean {
    const words = this.#words;
    let any = false;
    for (let from = 0; from < this.#layout.slots; from++) {
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
    return words[this.#layout.slot(slot) + INBOX] === 0 ? any : this.#collectInbox(slot, take);
  }

  /** Takes in the pages of an inbox, and takes them out of it afterwards, so that nothing is lost with whoever does it. */
  #collectInbox(slot: number, take: (unit: number) => void): boolean {
    const words = this.#words;
    const inbox = this.#layout.slot(slot) + INBOX;
    const head = Atomics.load(words, inbox);
    const full: number[] = [];
    this.#followPages(head, (page, first, end) => {
      const contents = this.#contentsOf(page);
      for (let at = first; at < end; at++) take(contents[at]!);
      this.#layout.records[page * SLAB_WORDS] = keptRun(1, this.#slot);
      full.push(page);
    });
    // Others have put pages in front meanwhile: the one that leads to the first of these is the last now.
    if (Atomics.compareExchange(words, inbox, head, 0) !== head)
      this.#followPages(Atomics.load(words, inbox), (page) => {
        const contents = this.#contentsOf(page);
        if (contents[this.#wordOf(page)] === head) contents[this.#wordOf(page)] = 0;
      });
    for (const page of full) this.#runs.keep(page, 1);
    return true;
  }

  /** Visits pages that lead to each other, each with its first block's word and the one after its last. */
  #followPages(head: number, visit: (page: number, first: number, end: number) => void): void {
    const { pages } = this.#layout;
    // No more than there are, whatever they say, and none that is not such a page.
    for (let page = head, left = pages; page > 0 && page < pages && left > 0; left--) {
      if (!this.#pages.isInUse(page)) return;
      const contents = this.#contentsOf(page);
      const word = this.#wordOf(page);
      visit(page, word + 2, word + 2 + Math.min(Math.max(contents[word + 1]!, 0), PAGE_BLOCKS));
      page = contents[word]!;
    }
  }

  /** Blocks that are freed, but have not yet reached their owner. Only while nobody works. */
  underWay(): Set<number> {
    const words = this.#words;
    const { slots } = this.#layout;
    const units = new Set<number>();
    const add = (contents: Int32Array, first: number, end: number): void => {
      for (const unit of contents.subarray(first, end)) units.add(unit);
    };
    for (let slot = 0; slot < slots; slot++) {
      for (const unit of this.#waitingOf(slot)) units.add(unit);
      this.#followPages(words[this.#layout.slot(slot) + INBOX]!, (page, first, end) =>
        add(this.#contentsOf(page), first, end),
      );
      for (let to = 0; to < slots; to++) {
        const ring = this.#layout.outgoing(slot, to);
        const first = this.#wordOf(words[ring + PAGE]!) + 2;
        const inPage = Math.min(words[ring + PAGE_COUNT]!, PAGE_BLOCKS);
        add(this.#contentsOf(words[ring + PAGE]!), first, first + inPage);
        const taken = words[ring + TAKEN]!;
        const count = Math.min((words[ring + PUT]! - taken) >>> 0, RING);
        for (let at = taken; at < taken + count; at++) units.add(words[ring + BLOCKS + (at & (RING - 1))]!);
      }
    }
    return units;
  }

  /** Visits the pages that are full of blocks: those of all rings, and of all inboxes. Only while nobody works. */
  walkPages(visit: (page: number) => void): void {
    const words = this.#words;
    const { slots } = this.#layout;
    for (let slot = 0; slot < slots; slot++) {
      this.#followPages(words[this.#layout.slot(slot) + INBOX]!, visit);
      for (let to = 0; to < slots; to++) {
        const page = words[this.#layout.outgoing(slot, to) + PAGE]!;
        if (page !== 0) visit(page);
      }
    }
  }

  /** The words of the memory, as far as a page at least. */
  #contentsOf(page: number): Int32Array {
    this.#layout.reach(page, 1);
    return this.#layout.contents;
  }

  /** The first word of a page. */
  #wordOf(page: number): number {
    return (this.#layout.base + page * SLAB_BYTES) >>> 2;
  }
}
