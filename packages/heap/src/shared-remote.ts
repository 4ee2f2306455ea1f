import { BATCH, BLOCKS, CHAIN, CHAIN_COUNT, CHAIN_LAST, HEIR, INBOX, PUT, RING, SENT, TAKEN } from "./shared-layout.ts";
import type { SharedLayout } from "./shared-layout.ts";

/**
 * The blocks that one worker frees and another owns, on their way home: into a ring from worker to worker, handed over {@link BATCH} at a time with one
 * atomic store. What finds the ring full is chained through its own first words and put before the owner's inbox, {@link BATCH} at a time with one
 * compare-exchange. Blocks are named by their offsets / 8.
 */
export class RemoteFrees {
  readonly #layout: SharedLayout;
  readonly #slot: number;
  readonly #words: Int32Array;
  /** By slot: the first word of the ring to it. */
  readonly #rings: Int32Array;

  constructor(layout: SharedLayout, slot: number) {
    this.#layout = layout;
    this.#slot = slot;
    this.#words = layout.words;
    this.#rings = Int32Array.from({ length: layout.slots }, (_, to) => layout.outgoing(slot, to));
  }

  /** Puts a block on its way: two reads and two writes, most of the time. */
  send(unit: number, owner: number): void {
    const words = this.#words;
    const ring = this.#rings[owner]!;
    const put = words[ring + PUT]!;
    if (((put - words[ring + TAKEN]!) | 0) >= RING) this.#chain(ring, unit, owner);
    else {
      words[ring + BLOCKS + (put & (RING - 1))] = unit;
      const next = (put + 1) | 0;
      words[ring + PUT] = next;
      if ((next & (BATCH - 1)) === 0) Atomics.store(words, ring + SENT, next);
    }
  }

  #chain(ring: number, unit: number, owner: number): void {
    const words = this.#words;
    const count = words[ring + CHAIN_COUNT]!;
    if (count === 0) words[ring + CHAIN_LAST] = unit;
    words[this.#wordOf(unit)] = words[ring + CHAIN]!;
    words[ring + CHAIN] = unit;
    words[ring + CHAIN_COUNT] = count + 1;
    if (count + 1 === BATCH) this.#sendChain(ring, owner);
  }

  /** Puts a whole chain before what is in the owner's inbox. */
  #sendChain(ring: number, owner: number): void {
    const words = this.#words;
    if (words[ring + CHAIN_COUNT] === 0) return;
    const inbox = this.#layout.slot(owner) + INBOX;
    let head = Atomics.load(words, inbox);
    for (;;) {
      words[this.#wordOf(words[ring + CHAIN_LAST]!)] = head;
      const seen = Atomics.compareExchange(words, inbox, head, words[ring + CHAIN]!);
      if (seen === head) break;
      head = seen;
    }
    words[ring + CHAIN] = words[ring + CHAIN_COUNT] = 0;
  }

  /** Hands over what a slot, this one or one whose worker is gone, has under way to others. */
  flush(slot: number = this.#slot): void {
    const words = this.#words;
    for (let to = 0; to < this.#layout.slots; to++) {
      const ring = this.#layout.outgoing(slot, to);
      if (words[ring + SENT] !== words[ring + PUT]) Atomics.store(words, ring + SENT, words[ring + PUT]!);
      this.#sendChain(ring, to);
    }
  }

  /**
   * Takes in what others have sent to this slot and to those that it is heir to.
   *
   * @param take whether the block was one that was live; the rest of a chain behind one that was not is given up, since its link may lead anywhere.
   * @returns whether there was anything.
   */
  collect(take: (unit: number) => boolean): boolean {
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
        let taken = words[ring + TAKEN]!;
        any = true;
        for (; taken !== sent; taken = (taken + 1) | 0) take(words[ring + BLOCKS + (taken & (RING - 1))]!);
        Atomics.store(words, ring + TAKEN, taken);
      }
      if (words[start + INBOX] === 0) continue;
      any = true;
      let unit = Atomics.exchange(words, start + INBOX, 0);
      while (unit !== 0) {
        const next = words[this.#wordOf(unit)]!;
        unit = take(unit) ? next : 0;
      }
    }
    return any;
  }

  /** Blocks that are freed, but have not yet reached their owner. Only while nobody works. */
  underWay(): Set<number> {
    const words = this.#words;
    const { slots } = this.#layout;
    const units = new Set<number>();
    const follow = (head: number): void => {
      for (let unit = head; unit !== 0 && !units.has(unit); unit = words[this.#wordOf(unit)] ?? 0) units.add(unit);
    };
    for (let slot = 0; slot < slots; slot++) {
      follow(words[this.#layout.slot(slot) + INBOX]!);
      for (let to = 0; to < slots; to++) {
        const ring = this.#layout.outgoing(slot, to);
        follow(words[ring + CHAIN]!);
        for (let at = words[ring + TAKEN]!; at !== words[ring + PUT]!; at = (at + 1) | 0)
          units.add(words[ring + BLOCKS + (at & (RING - 1))]!);
      }
    }
    return units;
  }

  /** The first word of a block. */
  #wordOf(unit: number): number {
    return (this.#layout.base >>> 2) + unit * 2;
  }
}
