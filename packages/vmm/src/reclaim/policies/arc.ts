import { invariant } from "../../errors.ts";
import type { SimulatedPolicy } from "./policy.ts";
import { SlotLists } from "./slot-lists.ts";

const T1 = 0;
const B1 = 1;
const T2 = 2;
const B2 = 3;

/**
 * ARC: two LRU lists, T1 of pages used once lately and T2 of pages used at least twice, each followed by a list of pages
 * that left it, B1 and B2. A use of a page that left says which of the two should have been longer, and moves the
 * target p; c is the number of frames.
 *
 * ```
 *         used once                    used twice or more
 *   B1 ◀── T1 (target length p)  │  T2 (target length c − p) ──▶ B2
 *        |T1| + |B1| ≤ c         │        all four ≤ 2c
 * ```
 *
 * Source: Megiddo, Modha, "ARC: A Self-Tuning, Low Overhead Replacement Cache", FAST '03, figure 4. p is real, as there.
 */
export class Arc implements SimulatedPolicy {
  readonly name: string = "arc";
  readonly #lists: SlotLists;
  /** c. */
  #frames: number;
  /** Target length of T1, 0 … frames. */
  #p: number = 0;
  /** The remembered slot for whose coming in p was adapted already, −1: none. */
  #adaptedFor: number = -1;

  constructor(slots: number, frames: number) {
    this.#lists = new SlotLists(slots, 4);
    this.#frames = frames;
  }

  /** Cases II and III: a remembered page goes to T2. Case IV: a new page goes to T1. */
  insert(slot: number): void {
    const from = this.#lists.listOf[slot]!;
    const remembered = from === B1 || from === B2;
    if (remembered) {
      this.#adapt(slot, from);
      this.#lists.remove(slot);
    }
    this.#adaptedFor = -1;
    this.#lists.pushHead(remembered ? T2 : T1, slot);
    this.#trim();
  }

  /** Case I: the page goes to the head of T2. */
  accessed(slot: number): void {
    if (this.#lists.listOf[slot] === T2) {
      this.#lists.moveToHead(T2, slot);
      return;
    }
    this.#lists.remove(slot);
    this.#lists.pushHead(T2, slot);
  }

  /** The page that REPLACE would take for an unknown page. */
  victim(): number {
    return this.#lists.tail(this.#donor(false));
  }

  /** What the figure does before the page is fetched: cases II and III adapt, case IV forgets; then REPLACE. */
  evict(incoming: number = -1): number {
    const from = incoming < 0 ? -1 : this.#lists.listOf[incoming]!;
    if (from === B1 || from === B2) this.#adapt(incoming, from);
    else if (this.#forgetForNewPage()) return this.#lists.popTail(T1);
    const donor = this.#donor(from === B2);
    const slot = this.#lists.popTail(donor);
    if (slot >= 0) this.#lists.pushHead(donor + 1, slot);
    return slot;
  }

  /** Forgets the page. */
  remove(slot: number): void {
    this.#lists.removeIfLinked(slot);
    if (this.#adaptedFor === slot) this.#adaptedFor = -1;
  }

  /** Makes room for slots 0 … slots − 1. */
  grow(slots: number): void {
    this.#lists.grow(slots);
  }

  /** Sets c. */
  resize(capacity: number): void {
    this.#frames = capacity;
    this.#p = Math.min(this.#p, capacity);
    this.#trim();
  }

  /** Checks the lists, p, and that no more is remembered than the paper allows. */
  check(): void {
    this.#lists.check();
    invariant(this.#p >= 0 && this.#p <= this.#frames, "p left the range 0 … c");
    const { lengths } = this.#lists;
    const once = lengths[T1]! + lengths[B1]!;
    invariant(once <= this.#frames || lengths[B1] === 0, "B1 remembers pages beyond |T1| + |B1| = c");
    const all = once + lengths[T2]! + lengths[B2]!;
    invariant(all <= 2 * this.#frames || lengths[B2] === 0, "B2 remembers pages beyond 2c in all");
  }

  /** Moves p towards the list that the remembered page left, once for each coming in. */
  #adapt(slot: number, from: number): void {
    if (this.#adaptedFor === slot) return;
    this.#adaptedFor = slot;
    const b1 = this.#lists.lengths[B1]!;
    const b2 = this.#lists.lengths[B2]!;
    if (from === B1) this.#p = Math.min(this.#p + Math.max(b2 / b1, 1), this.#frames);
    else this.#p = Math.max(this.#p - Math.max(b1 / b2, 1), 0);
  }

  /** Case IV, before REPLACE. True where |T1| = c: then the tail of T1 goes and is not remembered. */
  #forgetForNewPage(): boolean {
    const { lengths } = this.#lists;
    const once = lengths[T1]! + lengths[B1]!;
    if (once >= this.#frames) return this.#lists.popTail(B1) < 0;
    if (once + lengths[T2]! + lengths[B2]! >= 2 * this.#frames) this.#lists.popTail(B2);
    return false;
  }

  /** The list that REPLACE takes from. */
  #donor(incomingWasInB2: boolean): number {
    const t1 = this.#lists.lengths[T1]!;
    if (t1 === 0) return T2;
    if (this.#lists.lengths[T2] === 0) return T1;
    return t1 > this.#p || (incomingWasInB2 && t1 === this.#p) ? T1 : T2;
  }

  /** Keeps the bounds where pages come in without an eviction just before: never the case in the paper's setting. */
  #trim(): void {
    const { lengths } = this.#lists;
    while (lengths[B1]! > 0 && lengths[T1]! + lengths[B1]! > this.#frames) this.#lists.popTail(B1);
    const others = lengths[T1]! + lengths[B1]! + lengths[T2]!;
    while (lengths[B2]! > 0 && others + lengths[B2]! > 2 * this.#frames) this.#lists.popTail(B2);
  }
}
