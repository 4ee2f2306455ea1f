import { invariant } from "../../errors.ts";
import type { ReplacementPolicy } from "../../ports.ts";
import { grownBytes, SlotLists } from "./slot-lists.ts";

const SMALL = 0;
const MAIN = 1;
const GHOST = 2;
const MAX_USES = 3;

/**
 * S3-FIFO: three FIFO queues. A small one (10 % of the frames) filters pages that are used once; a page used at least
 * twice there moves to the main one, the others are remembered in the ghost queue, from where another use brings them
 * straight into main. Main gives a page as many further rounds as it was used, at most three.
 *
 * ```
 *   miss ──▶ small ──used twice──▶ main ⟲ (one use less each round) ──▶ gone
 *              └──▶ ghost ──used again──▶ main
 * ```
 *
 * Source: Yang, Zhang, Qiu, Yue, Rashmi, "FIFO queues are all you need for cache eviction", SOSP '23, algorithm 1: room is
 * made before the ghost queue is asked, so a remembered page may just have been forgotten. "0.1 · cache size" is
 * rounded down, at least 1; a page that moves to main starts there with its uses cleared (section 4.1).
 */
export class S3Fifo implements ReplacementPolicy {
  readonly name: string = "s3-fifo";
  readonly #queues: SlotLists;
  /** Uses since the page came in or moved to main, at most 3, by slot. */
  #uses: Uint8Array;
  #smallTarget: number = 1;
  #ghostLimit: number = 0;

  constructor(slots: number, frames: number) {
    this.#queues = new SlotLists(slots, 3);
    this.#uses = new Uint8Array(slots);
    this.resize(frames);
  }

  /** A remembered page goes to main, a new one to small. */
  insert(slot: number): void {
    const remembered = this.#queues.listOf[slot] === GHOST;
    if (remembered) this.#queues.remove(slot);
    this.#queues.pushHead(remembered ? MAIN : SMALL, slot);
    this.#uses[slot] = 0;
  }

  /** Counts the use: one read, one write. */
  accessed(slot: number): void {
    const uses = this.#uses[slot]!;
    if (uses < MAX_USES) this.#uses[slot] = uses + 1;
  }

  /** Moves what has earned it from small to main and round main; the tail that is left to go. O(resident) at worst. */
  victim(): number {
    return this.#queues.tail(this.#donor());
  }

  /** Takes the victim; one from small is remembered. */
  evict(): number {
    const donor = this.#donor();
    const slot = this.#queues.popTail(donor);
    if (donor === SMALL && slot >= 0) {
      this.#queues.pushHead(GHOST, slot);
      this.#trim();
    }
    return slot;
  }

  /** Forgets the page. */
  remove(slot: number): void {
    this.#queues.removeIfLinked(slot);
  }

  /** Makes room for slots 0 … slots − 1. */
  grow(slots: number): void {
    this.#queues.grow(slots);
    this.#uses = grownBytes(this.#uses, slots);
  }

  /** Sets the shares of the queues for this many frames. */
  resize(capacity: number): void {
    this.#smallTarget = Math.max(1, Math.floor(capacity / 10));
    this.#ghostLimit = Math.floor(capacity * 0.9);
    this.#trim();
  }

  /** Checks the queues, the uses and the length of the ghost queue. */
  check(): void {
    this.#queues.check();
    invariant(this.#queues.lengths[GHOST]! <= this.#ghostLimit, "the ghost queue is longer than 0.9 · frames");
    invariant(
      this.#uses.every((uses) => uses <= MAX_USES),
      "a page has more than three uses",
    );
  }

  /** The queue whose tail goes: small while it has its share and a page used less than twice, else main. */
  #donor(): number {
    const { lengths } = this.#queues;
    if (lengths[SMALL]! >= this.#smallTarget && this.#siftSmall()) return SMALL;
    if (lengths[MAIN]! > 0) {
      this.#turnMain();
      return MAIN;
    }
    return SMALL;
  }

  /** EVICTS up to the page that goes: false where every page of small moved to main. */
  #siftSmall(): boolean {
    for (;;) {
      const slot = this.#queues.tail(SMALL);
      if (slot < 0) return false;
      if (this.#uses[slot]! <= 1) return true;
      this.#uses[slot] = 0;
      this.#queues.remove(slot);
      this.#queues.pushHead(MAIN, slot);
    }
  }

  /** EVICTM up to the page that goes. */
  #turnMain(): void {
    for (;;) {
      const slot = this.#queues.tail(MAIN);
      if (this.#uses[slot] === 0) return;
      this.#uses[slot] = this.#uses[slot]! - 1;
      this.#queues.moveToHead(MAIN, slot);
    }
  }

  #trim(): void {
    while (this.#queues.lengths[GHOST]! > this.#ghostLimit) this.#queues.popTail(GHOST);
  }
}
