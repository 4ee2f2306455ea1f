import { invariant } from "../../errors.ts";
import type { ReplacementPolicy } from "../../ports.ts";
import { grownBytes, SlotLists } from "./slot-lists.ts";

/**
 * SIEVE: a queue in order of arrival and a hand that moves from its tail towards its head, clearing visited bits, and
 * takes the first unvisited page. Unlike CLOCK, new pages come in at the head and not at the hand, and survivors stay
 * where they are: the hand sifts old pages from new.
 *
 * Source: Zhang, Yang, Yue, Vigfusson, Rashmi, "SIEVE is Simpler than LRU", NSDI '24, algorithm 1.
 */
export class Sieve implements ReplacementPolicy {
  readonly name: string = "sieve";
  readonly #queue: SlotLists;
  /** 1: used since the hand last passed, by slot. */
  #visited: Uint8Array;
  /** The slot looked at next; the sentinel stands for "start at the tail". */
  #hand: number;

  constructor(slots: number) {
    this.#queue = new SlotLists(slots, 1);
    this.#visited = new Uint8Array(slots);
    this.#hand = slots;
  }

  /** Puts the page at the head. */
  insert(slot: number): void {
    this.#queue.pushHead(0, slot);
    this.#visited[slot] = 0;
  }

  /** Sets the visited bit: one write. */
  accessed(slot: number): void {
    this.#visited[slot] = 1;
  }

  /** Moves the hand to the page that goes next. Passes each page at most once: O(resident) at worst. */
  victim(): number {
    const { prev, slots, lengths } = this.#queue;
    if (lengths[0] === 0) return -1;
    let slot = this.#hand;
    for (;;) {
      if (slot === slots) slot = prev[slot]!;
      if (this.#visited[slot] === 0) break;
      this.#visited[slot] = 0;
      slot = prev[slot]!;
    }
    this.#hand = slot;
    return slot;
  }

  /** Takes the page under the hand, and moves the hand on towards the head. */
  evict(): number {
    const slot = this.victim();
    if (slot >= 0) this.remove(slot);
    return slot;
  }

  /** Forgets the page. */
  remove(slot: number): void {
    if (this.#hand === slot) this.#hand = this.#queue.prev[slot]!;
    this.#queue.removeIfLinked(slot);
  }

  /** Makes room for slots 0 … slots − 1. */
  grow(slots: number): void {
    const atSentinel = this.#hand === this.#queue.slots;
    this.#queue.grow(slots);
    this.#visited = grownBytes(this.#visited, slots);
    if (atSentinel) this.#hand = this.#queue.slots;
  }

  /** Does nothing: the queue is as long as there are resident pages. */
  resize(_capacity: number): void {
    return;
  }

  /** Checks the queue and the hand. */
  check(): void {
    this.#queue.check();
    const { slots, listOf } = this.#queue;
    invariant(this.#hand === slots || listOf[this.#hand] === 0, "the hand points at a page that is not resident");
  }
}
