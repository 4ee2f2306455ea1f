import { invariant } from "../../errors.ts";
import type { ReplacementPolicy } from "../../ports.ts";
import { grownBytes, SlotLists } from "./slot-lists.ts";

/** What a page is to LIRS: not known, LIR, HIR and resident, HIR and gone but remembered in S. */
const UNKNOWN = 0;
const LIR = 1;
const HIR = 2;
const GONE = 3;

/**
 * LIRS: a page is the more worth keeping, the fewer other pages are used between two uses of it (its inter-reference
 * recency). Pages where that is low (LIR) hold nearly all frames; the others (HIR) pass through a queue of 1 % of them.
 * The stack S has the pages in order of last use, down to the LIR page used longest ago: a HIR page that is used again
 * while in S has shown a lower recency than that page, and takes its place.
 *
 * ```
 *   S: latest use ─▶ L h L g h L g g L    L LIR, h HIR resident, g HIR gone; the bottom is always LIR (pruning)
 *   Q: front ─▶ h h                       all resident HIR pages; the front is what goes
 * ```
 *
 * S is bounded by the number of slots alone, as in the paper.
 *
 * Source: Jiang, Zhang, "LIRS: An Efficient Low Inter-reference Recency Set Replacement Policy", SIGMETRICS '02, 3.3; the
 * share of 1 % is that of its section 4.
 */
export class Lirs implements ReplacementPolicy {
  readonly name: string = "lirs";
  /** UNKNOWN, LIR, HIR or GONE, by slot. */
  #status: Uint8Array;
  readonly #stack: SlotLists;
  readonly #queue: SlotLists;
  /** Frames of LIR pages: all but 1 %, but one HIR page at least. */
  #lirLimit: number = 0;
  #lirCount: number = 0;

  constructor(slots: number, frames: number) {
    this.#status = new Uint8Array(slots);
    this.#stack = new SlotLists(slots, 1);
    this.#queue = new SlotLists(slots, 1);
    this.resize(frames);
  }

  /** A miss. Until there are enough LIR pages every page is one; later a page that is still in S. */
  insert(slot: number): void {
    const inStack = this.#stack.listOf[slot] === 0;
    if (inStack) this.#stack.moveToHead(0, slot);
    else this.#stack.pushHead(0, slot);
    if (inStack || this.#lirCount < this.#lirLimit) this.#promote(slot);
    else {
      this.#status[slot] = HIR;
      this.#queue.pushTail(0, slot);
      this.#prune();
    }
  }

  /** A hit on a LIR page, on a HIR page in S, or on a HIR page that is in Q alone. */
  accessed(slot: number): void {
    if (this.#stack.listOf[slot] !== 0) {
      this.#stack.pushHead(0, slot);
      this.#queue.remove(slot);
      this.#queue.pushTail(0, slot);
      this.#prune();
      return;
    }
    this.#stack.moveToHead(0, slot);
    if (this.#status[slot] === HIR) {
      this.#queue.remove(slot);
      this.#promote(slot);
    } else this.#prune();
  }

  /** The front of Q. */
  victim(): number {
    if (this.#queue.lengths[0] === 0) this.#demoteBottom();
    return this.#queue.head(0);
  }

  /** Takes the front of Q; it is remembered if it is in S. */
  evict(): number {
    const slot = this.victim();
    if (slot < 0) return -1;
    this.#queue.remove(slot);
    this.#status[slot] = this.#stack.listOf[slot] === 0 ? GONE : UNKNOWN;
    return slot;
  }

  /** Forgets the page. */
  remove(slot: number): void {
    this.#queue.removeIfLinked(slot);
    this.#stack.removeIfLinked(slot);
    if (this.#status[slot] === LIR) this.#lirCount--;
    this.#status[slot] = UNKNOWN;
    this.#prune();
  }

  /** Makes room for slots 0 … slots − 1. */
  grow(slots: number): void {
    this.#stack.grow(slots);
    this.#queue.grow(slots);
    this.#status = grownBytes(this.#status, slots);
  }

  /** Sets the number of LIR pages for this many frames. */
  resize(capacity: number): void {
    this.#lirLimit = capacity - Math.max(1, Math.floor(capacity / 100));
    while (this.#lirCount > this.#lirLimit) this.#demoteBottom();
  }

  /** Checks stack and queue, that every page is where its status says, and that the bottom of S is LIR. */
  check(): void {
    this.#stack.check();
    this.#queue.check();
    let lir = 0;
    for (let slot = 0; slot < this.#status.length; slot++) {
      const status = this.#status[slot]!;
      const inStack = this.#stack.listOf[slot] === 0;
      if (status === LIR) lir++;
      invariant((status === HIR) === (this.#queue.listOf[slot] === 0), "Q is not the resident HIR pages", { slot });
      invariant(inStack || (status !== LIR && status !== GONE), "a LIR or remembered page is not in S", { slot });
      invariant(!inStack || status !== UNKNOWN, "an unknown page is in S", { slot });
    }
    invariant(lir === this.#lirCount && lir <= this.#lirLimit, "LIR pages are miscounted or too many");
    const bottom = this.#stack.tail(0);
    invariant(bottom < 0 || this.#status[bottom] === LIR, "the bottom of S is not LIR");
  }

  #promote(slot: number): void {
    this.#status[slot] = LIR;
    this.#lirCount++;
    if (this.#lirCount > this.#lirLimit) this.#demoteBottom();
    else this.#prune();
  }

  /** The LIR page at the bottom of S becomes the last of Q. */
  #demoteBottom(): void {
    const slot = this.#stack.popTail(0);
    if (slot < 0) return;
    this.#status[slot] = HIR;
    this.#lirCount--;
    this.#queue.pushTail(0, slot);
    this.#prune();
  }

  /** Takes pages off the bottom of S until it is LIR. */
  #prune(): void {
    for (let slot = this.#stack.tail(0); slot >= 0 && this.#status[slot] !== LIR; slot = this.#stack.tail(0)) {
      this.#stack.remove(slot);
      if (this.#status[slot] === GONE) this.#status[slot] = UNKNOWN;
    }
  }
}
