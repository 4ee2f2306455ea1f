import type { ReplacementPolicy } from "../../ports.ts";
import { SlotLists } from "./slot-lists.ts";

/** First in, first out: use changes nothing. The base line that every other policy has to beat. */
export class Fifo implements ReplacementPolicy {
  readonly name: string = "fifo";
  readonly #queue: SlotLists;

  constructor(slots: number) {
    this.#queue = new SlotLists(slots, 1);
  }

  /** Puts the page at the head. */
  insert(slot: number): void {
    this.#queue.pushHead(0, slot);
  }

  /** Does nothing: the order of arrival is all that counts. */
  accessed(_slot: number): void {
    return;
  }

  /** The page that came in first. */
  victim(): number {
    return this.#queue.tail(0);
  }

  /** Takes the page that came in first. */
  evict(): number {
    return this.#queue.popTail(0);
  }

  /** Forgets the page. */
  remove(slot: number): void {
    this.#queue.removeIfLinked(slot);
  }

  /** Makes room for slots 0 … slots − 1. */
  grow(slots: number): void {
    this.#queue.grow(slots);
  }

  /** Does nothing: FIFO needs no capacity. */
  resize(_capacity: number): void {
    return;
  }

  /** Checks the list. */
  check(): void {
    this.#queue.check();
  }
}
