import { invariant } from "../../errors.ts";
import type { ReplacementPolicy } from "../../ports.ts";
import { grownBytes, SlotLists } from "./slot-lists.ts";

/**
 * CLOCK: a ring of pages and one hand. Use sets the page's reference bit; the hand passes over pages whose bit is set,
 * clearing it, and takes the first whose bit is clear. A page comes in just behind the hand, the place last looked at.
 *
 * Source: Corbató, "A Paging Experiment with the Multics System", 1968.
 */
export class Clock implements ReplacementPolicy {
  readonly name: string;
  readonly #ring: SlotLists;
  /** 1: used since the hand last passed, by slot. */
  #referenced: Uint8Array;
  readonly #bitOnInsert: 0 | 1;
  /** The slot looked at next, or the ring's sentinel. */
  #hand: number;

  /**
   * @param slots slots are 0 … slots − 1
   * @param bitOnInsert the reference bit of a page that came in: 1 is CLOCK; 0 is CLOCK0, where a page used once goes at
   *   the hand's first visit
   */
  constructor(slots: number, bitOnInsert: 0 | 1 = 1) {
    this.name = bitOnInsert === 1 ? "clock" : "clock0";
    this.#ring = new SlotLists(slots, 1);
    this.#referenced = new Uint8Array(slots);
    this.#bitOnInsert = bitOnInsert;
    this.#hand = slots;
  }

  /** Puts the page just behind the hand. */
  insert(slot: number): void {
    this.#ring.insertAfter(0, this.#ring.prev[this.#hand]!, slot);
    this.#referenced[slot] = this.#bitOnInsert;
  }

  /** Sets the reference bit: one write. */
  accessed(slot: number): void {
    this.#referenced[slot] = 1;
  }

  /** Moves the hand to the page that goes next. Passes each page at most once: O(resident) at worst. */
  victim(): number {
    const { next, slots, lengths } = this.#ring;
    if (lengths[0] === 0) return -1;
    let slot = this.#hand;
    for (;;) {
      if (slot === slots) slot = next[slot]!;
      if (this.#referenced[slot] === 0) break;
      this.#referenced[slot] = 0;
      slot = next[slot]!;
    }
    this.#hand = slot;
    return slot;
  }

  /** Takes the page under the hand, and moves the hand past it. */
  evict(): number {
    const slot = this.victim();
    if (slot >= 0) this.remove(slot);
    return slot;
  }

  /** Forgets the page. */
  remove(slot: number): void {
    if (this.#hand === slot) this.#hand = this.#ring.next[slot]!;
    this.#ring.removeIfLinked(slot);
  }

  /** Makes room for slots 0 … slots − 1. */
  grow(slots: number): void {
    const atSentinel = this.#hand === this.#ring.slots;
    this.#ring.grow(slots);
    this.#referenced = grownBytes(this.#referenced, slots);
    if (atSentinel) this.#hand = this.#ring.slots;
  }

  /** Does nothing: the ring is as long as there are resident pages. */
  resize(_capacity: number): void {
    return;
  }

  /** Checks the ring and the hand. */
  check(): void {
    this.#ring.check();
    const { slots, listOf } = this.#ring;
    invariant(this.#hand === slots || listOf[this.#hand] === 0, "the hand points at a page that is not resident");
  }
}
