import { invariant } from "../../errors.ts";
import type { ReplacementPolicy } from "../../ports.ts";
import { grownBytes, SlotLists } from "./slot-lists.ts";

const GENERATIONS = 8;
/** A page comes in here, counted from the oldest: low, so that a page used once leaves soon. */
const FIRST_GENERATION = 1;
/** Generations begun while as many pages leave as there are frames. */
const AGINGS_PER_TURNOVER = 16;

/**
 * Generations, in the manner of Linux's MGLRU: pages seen used since a generation began belong to it, the oldest generation
 * goes first, and which pages were used is learned in batches. A page comes in just above the oldest generation and is
 * moved to the youngest once it was seen used twice: the first time it may only be the fault's own access.
 *
 * ```
 *   oldest                                       youngest
 *   g0 ◀── g1 ◀── g2 ◀── … ◀── g7                a new generation begins: g0 joins g1, the others age by one
 *           ▲ miss              ▲ seen used twice
 * ```
 *
 * A generation begins each time a sixteenth of the frames was turned over. Eight generations and these places were
 * chosen by measurement on accessed bits (README.md beside this file).
 *
 * Source: Yu Zhao, "Multigenerational LRU Framework", Linux documentation, admin-guide/mm/multigen_lru and mm/multigen_lru.
 */
export class Generations implements ReplacementPolicy {
  readonly name: string = "generations";
  /** List `sequence % GENERATIONS` is the youngest, the one after it (round the ring) the oldest. */
  readonly #lists: SlotLists;
  /** 1 where the page was seen used since it came in, by slot. */
  #seen: Uint8Array;
  #sequence: number = 0;
  #evictionsPerAging: number = 1;
  #evictions: number = 0;

  constructor(slots: number, frames: number) {
    this.#lists = new SlotLists(slots, GENERATIONS);
    this.#seen = new Uint8Array(slots);
    this.resize(frames);
  }

  /** Puts the page just above the oldest generation. */
  insert(slot: number): void {
    this.#seen[slot] = 0;
    this.#lists.pushHead(this.#list(FIRST_GENERATION), slot);
  }

  /** Seen used: the second time on, the page moves to the youngest generation. One read where it is there already. */
  accessed(slot: number): void {
    const youngest = this.#list(GENERATIONS - 1);
    if (this.#lists.listOf[slot] === youngest) return;
    if (this.#seen[slot] === 0) {
      this.#seen[slot] = 1;
      return;
    }
    this.#lists.remove(slot);
    this.#lists.pushHead(youngest, slot);
  }

  /** The last of the oldest generation that is not empty. */
  victim(): number {
    for (let age = 0; age < GENERATIONS; age++) {
      const slot = this.#lists.tail(this.#list(age));
      if (slot >= 0) return slot;
    }
    return -1;
  }

  /** Takes the victim; after each sixteenth of the frames a generation begins. */
  evict(): number {
    const slot = this.victim();
    if (slot < 0) return -1;
    this.#lists.remove(slot);
    if (++this.#evictions >= this.#evictionsPerAging) this.#age();
    return slot;
  }

  /** Forgets the page. */
  remove(slot: number): void {
    this.#lists.removeIfLinked(slot);
  }

  /** Makes room for slots 0 … slots − 1. */
  grow(slots: number): void {
    this.#lists.grow(slots);
    this.#seen = grownBytes(this.#seen, slots);
  }

  /** Sets how many evictions a generation lasts. */
  resize(capacity: number): void {
    this.#evictionsPerAging = Math.max(1, Math.floor(capacity / AGINGS_PER_TURNOVER));
  }

  /** Checks the lists, and that pages rise by being seen used alone. */
  check(): void {
    this.#lists.check();
    const { next, slots } = this.#lists;
    for (let age = FIRST_GENERATION + 1; age < GENERATIONS; age++)
      for (let slot = next[slots + this.#list(age)]!; slot < slots; slot = next[slot]!)
        invariant(this.#seen[slot] === 1, "a page above the generation of new pages was not seen used", { slot });
  }

  /** The list of the generation that is `age` above the oldest. */
  #list(age: number): number {
    return (this.#sequence + 1 + age) % GENERATIONS;
  }

  /** Begins a generation. What is left of the oldest stays next to go. At most 16 moves an eviction, amortised. */
  #age(): void {
    this.#evictions = 0;
    const oldest = this.#list(0);
    const next = this.#list(1);
    for (let slot = this.#lists.head(oldest); slot >= 0; slot = this.#lists.head(oldest)) {
      this.#lists.remove(slot);
      this.#lists.pushTail(next, slot);
    }
    this.#sequence++;
  }
}
