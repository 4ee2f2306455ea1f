import type { ReplacementPolicy } from "../../ports.ts";
import { SlotLists } from "./slot-lists.ts";

/** Least recently used: one list, the most recent page at the head; the tail goes. */
export class Lru implements ReplacementPolicy {
  readonly name: string = "lru";
  readonly #stack: SlotLists;

  constructor(slots: number) {
    this.#stack = new SlotLists(slots, 1);
  }

  /** Puts the page at the head. */
  insert(slot: number): void {
    this.#stack.pushHead(0, slot);
  }

  /** Moves the page to the head: eight reads and writes, one where it is there already. */
  accessed(slot: number): void {
    this.#stack.moveToHead(0, slot);
  }

  /** The page unused for longest. */
  victim(): number {
    return this.#stack.tail(0);
  }

  /** Takes the page unused for longest. */
  evict(): number {
    return this.#stack.popTail(0);
  }

  /** Forgets the page. */
  remove(slot: number): void {
    this.#stack.removeIfLinked(slot);
  }

  /** Makes room for slots 0 … slots − 1. */
  grow(slots: number): void {
    this.#stack.grow(slots);
  }

  /** Does nothing: LRU needs no capacity. */
  resize(_capacity: number): void {
    return;
  }

  /** Checks the list. */
  check(): void {
    this.#stack.check();
  }
}
