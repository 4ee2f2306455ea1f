import { invariant } from "../../errors.ts";
import type { SimulatedPolicy } from "./policy.ts";
import { SlotLists } from "./slot-lists.ts";

const A1IN = 0;
const A1OUT = 1;
const AM = 2;

/**
 * 2Q, the full version: a page comes in through the FIFO A1in, is remembered in A1out when it leaves, and belongs to the
 * LRU list Am only if it is used again while remembered: correlated early uses and scans never reach Am.
 *
 * ```
 *   miss ──▶ A1in (resident, FIFO) ──▶ A1out (remembered, FIFO) ──▶ forgotten
 *                                         │ used again
 *                                         ▼
 *                                      Am (resident, LRU) ──▶ forgotten
 * ```
 *
 * Kin = 25 % and Kout = 50 % of the frames, rounded down, as the paper advises.
 *
 * Source: Johnson, Shasha, "2Q: A Low Overhead High Performance Buffer Management Replacement Algorithm", VLDB '94,
 * "2Q, full version". The incoming page is out of A1out before room is made, so it is never what A1out forgets.
 */
export class TwoQueue implements SimulatedPolicy {
  readonly name: string = "2q";
  readonly #lists: SlotLists;
  #kIn: number = 0;
  #kOut: number = 0;
  /** The slot that left A1out because it is to be inserted next, −1: none. */
  #recalled: number = -1;

  constructor(slots: number, frames: number) {
    this.#lists = new SlotLists(slots, 3);
    this.resize(frames);
  }

  /** A remembered page goes to Am, a new one to A1in. */
  insert(slot: number): void {
    const remembered = this.#recall(slot);
    this.#recalled = -1;
    this.#lists.pushHead(remembered ? AM : A1IN, slot);
  }

  /** Moves a page of Am to its head; use in A1in changes nothing. */
  accessed(slot: number): void {
    if (this.#lists.listOf[slot] === AM) this.#lists.moveToHead(AM, slot);
  }

  /** The tail of A1in where that is longer than Kin, else the tail of Am. */
  victim(): number {
    return this.#lists.tail(this.#donor());
  }

  /** The paper's reclaimfor; a page that leaves Am is not remembered: it was not used for long. */
  evict(incoming: number = -1): number {
    if (incoming >= 0 && this.#recall(incoming)) this.#recalled = incoming;
    const donor = this.#donor();
    const slot = this.#lists.popTail(donor);
    if (donor === A1IN && slot >= 0) {
      this.#lists.pushHead(A1OUT, slot);
      this.#trim();
    }
    return slot;
  }

  /** Forgets the page. */
  remove(slot: number): void {
    this.#lists.removeIfLinked(slot);
    if (this.#recalled === slot) this.#recalled = -1;
  }

  /** Makes room for slots 0 … slots − 1. */
  grow(slots: number): void {
    this.#lists.grow(slots);
  }

  /** Sets Kin and Kout for this many frames. */
  resize(capacity: number): void {
    this.#kIn = Math.floor(capacity / 4);
    this.#kOut = Math.floor(capacity / 2);
    this.#trim();
  }

  /** Checks the lists and the length of A1out. */
  check(): void {
    this.#lists.check();
    invariant(this.#lists.lengths[A1OUT]! <= this.#kOut, "A1out remembers more than Kout pages");
  }

  #donor(): number {
    const { lengths } = this.#lists;
    return lengths[A1IN]! > this.#kIn || lengths[AM] === 0 ? A1IN : AM;
  }

  /** Takes the page out of A1out; whether it was there. */
  #recall(slot: number): boolean {
    if (this.#recalled === slot) return true;
    if (this.#lists.listOf[slot] !== A1OUT) return false;
    this.#lists.remove(slot);
    return true;
  }

  #trim(): void {
    while (this.#lists.lengths[A1OUT]! > this.#kOut) this.#lists.popTail(A1OUT);
  }
}
