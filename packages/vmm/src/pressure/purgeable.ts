import { invariant, VmmError } from "../errors.ts";
import { SlotLists } from "../reclaim/policies/slot-lists.ts";

/** A purgeable range: held by its owner; volatile, free to be dropped; dropped; let go by its owner, but nothing that can be dropped any more. */
const HELD = 0;
const VOLATILE = 1;
const PURGED = 2;
const ORDINARY = 3;

/** What an owner finds when it holds its range again. */
export type PurgeOutcome = "intact" | "purged";

/** A range could not be dropped now, and is as it was: it stays volatile. */
export const NOT_DROPPED = -1;

/** A range can never be dropped again, and is as it was: it is volatile no more, and nobody looks at it. */
export const NEVER_DROPPED = -2;

/**
 * Purgeable memory: ranges whose content can be made again (decoded images, caches of computations). While nobody holds
 * one it is volatile; under pressure it is dropped without being written anywhere, and the next who holds it is told.
 *
 * ```
 *   held ──release──▶ volatile ──pressure──▶ purged
 *     ▲ ──intact───────┘  ▲ longest volatile first │
 *     └───────────────────purged───────────────────┘
 * ```
 *
 * Holds nest. What a range is, the owner of this registry knows: it hands out numbers and drops pages when told.
 */
export class PurgeableRanges {
  readonly #drop: (range: number) => number;
  /** Volatile ranges, the one volatile for longest at the tail. */
  readonly #volatile: SlotLists = new SlotLists(16, 1);
  /** HELD, VOLATILE, PURGED or ORDINARY, by range; undefined where the range does not exist. */
  readonly #state: Map<number, number> = new Map();
  readonly #holds: Map<number, number> = new Map();
  #purgedRanges: number = 0;
  #purgedPages: number = 0;

  /**
   * @param drop drops the content of a range, without writing it; returns the pages that this set free, {@link NOT_DROPPED} or {@link NEVER_DROPPED}
   */
  constructor(drop: (range: number) => number) {
    this.#drop = drop;
  }

  /** Ranges dropped since the start. */
  get purgedRanges(): number {
    return this.#purgedRanges;
  }

  /** Pages set free by that. */
  get purgedPages(): number {
    return this.#purgedPages;
  }

  /** Adds a range, held once. `range`: a small number, not in use. */
  add(range: number): void {
    if (!Number.isInteger(range) || range < 0)
      throw new VmmError("out-of-range", "A range has a number from 0 on.", { range });
    if (this.#state.has(range)) throw new VmmError("bad-argument", "The range is purgeable already.", { range });
    this.#volatile.grow(Math.max(range + 1, range >= this.#volatile.slots ? this.#volatile.slots * 2 : 0));
    this.#state.set(range, HELD);
    this.#holds.set(range, 1);
  }

  /** Holds a range: it is not dropped until released as often. Says whether it was dropped since it was held last. */
  hold(range: number): PurgeOutcome {
    const state = this.#stateOf(range);
    this.#holds.set(range, (this.#holds.get(range) ?? 0) + 1);
    if (state === VOLATILE) this.#volatile.remove(range);
    this.#state.set(range, HELD);
    return state === PURGED ? "purged" : "intact";
  }

  /** The content of a range is gone for another reason: whoever holds it next is told. */
  lose(range: number): void {
    if (this.#stateOf(range) === VOLATILE) {
      this.#volatile.remove(range);
      this.#state.set(range, PURGED);
    }
  }

  /** Undoes one hold; after the last one the range is volatile. */
  release(range: number): void {
    this.#stateOf(range);
    const holds = this.#holds.get(range) ?? 0;
    if (holds === 0) throw new VmmError("unbalanced", "A range was released that nobody held.", { range });
    this.#holds.set(range, holds - 1);
    if (holds > 1) return;
    this.#state.set(range, VOLATILE);
    this.#volatile.pushHead(0, range);
  }

  /** The range is no more. */
  remove(range: number): void {
    this.#stateOf(range);
    this.#volatile.removeIfLinked(range);
    this.#state.delete(range);
    this.#holds.delete(range);
  }

  /** Drops ranges, those volatile for longest first, until `pages` pages are free; returns how many are. */
  purge(pages: number): number {
    const kept: number[] = [];
    let freed = 0;
    while (freed < pages) {
      const range = this.#volatile.popTail(0);
      if (range < 0) break;
      const dropped = this.#drop(range);
      if (dropped === NOT_DROPPED) {
        kept.push(range);
        continue;
      }
      if (dropped === NEVER_DROPPED) {
        this.#state.set(range, ORDINARY);
        continue;
      }
      this.#state.set(range, PURGED);
      this.#purgedRanges++;
      this.#purgedPages += dropped;
      freed += dropped;
    }
    for (const range of kept.reverse()) this.#volatile.pushTail(0, range);
    return freed;
  }

  /** Throws with the sentence of the broken invariant. */
  check(): void {
    this.#volatile.check();
    let volatile = 0;
    for (const [range, state] of this.#state) {
      if (state === VOLATILE) volatile++;
      invariant((state === VOLATILE) === (this.#volatile.listOf[range] === 0), "The list is not the volatile ranges.", {
        range,
      });
      const held = (this.#holds.get(range) ?? 0) > 0;
      invariant(held === (state === HELD), "A range is held by nobody, or volatile though held.", { range });
    }
    invariant(volatile === this.#volatile.lengths[0], "A range that was removed is still volatile.");
  }

  #stateOf(range: number): number {
    const state = this.#state.get(range);
    if (state === undefined) throw new VmmError("destroyed", "There is no such purgeable range.", { range });
    return state;
  }
}
