import { invariant } from "../errors.ts";

/** Slots of a cluster: 64 KiB of a store. */
export const CLUSTER_SLOTS = 16;
/** There is no free slot. */
export const NONE_FREE = -1;

/** The word of a cluster whose slots are all free. */
const WHOLE = 0xffff;

/**
 * The free slots of one store, handed out so that pages that leave in a row lie in a row even where space is fragmented: what is
 * written together is written, and read ahead, as one stretch of the device.
 *
 * ```
 *   cluster     0                 1                 2                     X used, . free
 *   slots       X.X.X.X.X.X.X.X.  X.X.X.X.X.X.X.X.  ................      next: 32, 33, … 47, and only then 1, 3, 5 …
 * ```
 *
 * First the slot behind the last one, within a cluster; then the first of a cluster that is wholly free; then any, going round. Cost: a word for
 * each cluster; a step is O(1) within a cluster, else a search of the words, which is not made for clusters where none is whole.
 *
 * Source: Linux, mm/swapfile.c, "swap clusters", for taking whole clusters before single slots.
 */
export class FreeSlots {
  readonly #slots: number;
  /** By cluster: bit i is set while its slot i is free. */
  readonly #words: Uint16Array;
  #count: number;
  /** Clusters that are wholly free. A last one of fewer slots is never one of them. */
  #whole: number;
  /** The slot behind the one that was taken last. */
  #hand: number = 0;

  /** All of `slots` slots are free. */
  constructor(slots: number) {
    this.#slots = slots;
    this.#count = slots;
    this.#whole = Math.floor(slots / CLUSTER_SLOTS);
    this.#words = new Uint16Array(Math.ceil(slots / CLUSTER_SLOTS)).fill(WHOLE);
    if (slots % CLUSTER_SLOTS > 0) this.#words[this.#whole] = (1 << (slots % CLUSTER_SLOTS)) - 1;
  }

  /** Free slots. */
  get count(): number {
    return this.#count;
  }

  /** Whether a slot is free. */
  has(slot: number): boolean {
    return (((this.#words[slot >>> 4] ?? 0) >>> (slot & 15)) & 1) === 1;
  }

  /** The slot to be taken next, NONE_FREE if there is none. Stays the same until a slot is taken or given. */
  next(): number {
    if (this.#count === 0) return NONE_FREE;
    if (this.#hand % CLUSTER_SLOTS !== 0 && this.has(this.#hand)) return this.#hand;
    return this.#whole > 0 ? this.#nextWhole() : this.#nextSingle();
  }

  /** Takes a free slot; those behind it are next. */
  take(slot: number): void {
    this.withdraw(slot);
    this.#hand = slot + 1;
  }

  /** Takes a free slot that will not be written. */
  withdraw(slot: number): void {
    const cluster = slot >>> 4;
    const word = this.#words[cluster]!;
    invariant(this.has(slot), "A swap slot that is not free was taken.", { slot });
    if (word === WHOLE) this.#whole--;
    this.#words[cluster] = word ^ (1 << (slot & 15));
    this.#count--;
  }

  /** Makes a slot free again. */
  give(slot: number): void {
    const cluster = slot >>> 4;
    invariant(!this.has(slot) && slot < this.#slots, "A swap slot was made free twice.", { slot });
    const word = this.#words[cluster]! | (1 << (slot & 15));
    this.#words[cluster] = word;
    if (word === WHOLE) this.#whole++;
    this.#count++;
  }

  /** Walks all slots; throws with the sentence of the broken invariant. */
  check(): void {
    let count = 0;
    let whole = 0;
    for (const word of this.#words) {
      for (let rest: number = word; rest !== 0; rest &= rest - 1) count++;
      if (word === WHOLE) whole++;
    }
    invariant(count === this.#count, "The count of free swap slots is wrong.", { count });
    invariant(whole === this.#whole, "The count of free clusters is wrong.", { whole });
  }

  #nextWhole(): number {
    const behind = this.#words.indexOf(WHOLE, this.#hand >>> 4);
    return (behind < 0 ? this.#words.indexOf(WHOLE) : behind) * CLUSTER_SLOTS;
  }

  #nextSingle(): number {
    const words = this.#words;
    const from = this.#hand < this.#slots ? this.#hand : 0;
    let cluster = from >>> 4;
    let word = words[cluster]! & (WHOLE << (from & 15));
    while (word === 0) {
      cluster = cluster + 1 < words.length ? cluster + 1 : 0;
      word = words[cluster]!;
    }
    return cluster * CLUSTER_SLOTS + 31 - Math.clz32(word & -word);
  }
}
