import { invariant } from "../errors.ts";

/** Distances are counted by powers of two: 0, 1, 2–3, 4–7, … */
const BUCKETS = 33;
const NEVER_LEFT = 0;
/** Evictions between two ageings at least; with more resident pages than that, as many as they are. */
const MIN_TURNOVER = 64;
/** Background passes without an eviction after which what was learned ages too. */
const QUIET_PASSES = 16;

/** What refaults say about the size of memory. */
export interface RefaultStats {
  /** Pages that left. */
  readonly evictions: number;
  /** Pages that came back after they had left. */
  readonly refaults: number;
  /** Of those, the ones that would have stayed if memory had been twice as large. */
  readonly workingSetRefaults: number;
  /** Frames with which nine of ten refaults of late would not have happened: an estimate of the working set. */
  readonly workingSetFrames: number;
}

/**
 * Working-set detection by refault distance: how many pages left between a page's leaving and its return is how many frames
 * were missing to keep it. Costs one stamp for each slot and nothing while pages are resident.
 *
 * ```
 *   page leaves ── d other pages leave ── page returns        with d more frames it would have stayed
 * ```
 *
 * A distance of at most the resident pages means that the page belongs to the working set: it competes with pages in memory
 * that are used no more often than it is (they could be turned over in that time).
 *
 * What was learned loses half its weight each time memory was turned over once, and in background passes while nothing leaves, so that the
 * estimate follows the program down as it follows it up. Where a program fits, it comes to rest at the pages that are resident.
 *
 * Source: Weiner, Linux, mm/workingset.c, "Double CLOCK lists".
 */
export class RefaultMeter {
  /** Value of the eviction counter when the slot's page left, plus 1; NEVER_LEFT where it did not. */
  #stamps: Float64Array;
  /** Refaults by the power of two of their distance, halved as they age. */
  readonly #distances: Float64Array = new Float64Array(BUCKETS);
  /** Sum of the distances' counts. */
  #learned: number = 0;
  #evictions: number = 0;
  #refaults: number = 0;
  #workingSetRefaults: number = 0;
  /** The most pages that were resident at a refault. */
  #resident: number = 0;
  /** The eviction at which what was learned ages next. */
  #ageAt: number = MIN_TURNOVER;
  /** Evictions up to the last background pass. */
  #evictionsBefore: number = 0;
  #quietPasses: number = 0;

  constructor(slots: number) {
    this.#stamps = new Float64Array(slots);
  }

  /** The page of a slot left memory. */
  evicted(slot: number): void {
    this.#stamps[slot] = ++this.#evictions;
    if (this.#evictions >= this.#ageAt) this.age();
  }

  /** A background pass goes by: where nothing leaves any more, what was learned ages all the same. */
  passed(): void {
    const isQuiet = this.#evictions === this.#evictionsBefore;
    this.#evictionsBefore = this.#evictions;
    this.#quietPasses = isQuiet ? this.#quietPasses + 1 : 0;
    if (this.#quietPasses < QUIET_PASSES) return;
    this.#quietPasses = 0;
    this.age();
  }

  /**
   * The page of a slot came in while `resident` pages are in memory. Returns its refault distance in pages, −1 where it
   * was never in memory before (or is forgotten).
   */
  inserted(slot: number, resident: number): number {
    const stamp = this.#stamps[slot]!;
    this.#resident = resident;
    return stamp === NEVER_LEFT ? -1 : this.#cameBack(slot, stamp, resident);
  }

  #cameBack(slot: number, stamp: number, resident: number): number {
    this.#stamps[slot] = NEVER_LEFT;
    const distance = this.#evictions - stamp;
    const bucket = distance === 0 ? 0 : 32 - Math.clz32(Math.min(distance, 0xffff_ffff));
    this.#distances[bucket] = this.#distances[bucket]! + 1;
    this.#learned++;
    this.#refaults++;
    if (distance <= resident) this.#workingSetRefaults++;
    return distance;
  }

  /** The slot is given to another page. */
  forget(slot: number): void {
    this.#stamps[slot] = NEVER_LEFT;
  }

  /** Makes room for slots 0 … slots − 1. */
  grow(slots: number): void {
    if (slots <= this.#stamps.length) return;
    const stamps = new Float64Array(slots);
    stamps.set(this.#stamps);
    this.#stamps = stamps;
  }

  /** Share of the refaults of late that `more` further frames would have saved, 0 … 1; exact to a power of two. */
  savedBy(more: number): number {
    if (this.#learned === 0) return 0;
    let saved = 0;
    for (let bucket = 0; bucket < BUCKETS && 2 ** bucket - 1 <= more; bucket++) saved += this.#distances[bucket]!;
    return saved / this.#learned;
  }

  /** Counts, and the estimate of the working set. */
  stats(): RefaultStats {
    let more = 0;
    for (let bucket = 0; bucket < BUCKETS && this.savedBy(more) < 0.9 && this.#learned > 0; bucket++)
      more = 2 ** bucket - 1;
    return {
      evictions: this.#evictions,
      refaults: this.#refaults,
      workingSetRefaults: this.#workingSetRefaults,
      workingSetFrames: this.#resident + more,
    };
  }

  /** Halves what was learned; counts of evictions and refaults stay. Done by itself, see above. */
  age(): void {
    this.#ageAt = this.#evictions + Math.max(MIN_TURNOVER, this.#resident);
    for (let bucket = 0; bucket < BUCKETS; bucket++) {
      const halved = Math.floor(this.#distances[bucket]! / 2);
      this.#learned -= this.#distances[bucket]! - halved;
      this.#distances[bucket] = halved;
    }
  }

  /** Throws with the sentence of the broken invariant. */
  check(): void {
    const counted = this.#distances.reduce((sum, count) => sum + count, 0);
    invariant(counted === this.#learned, "The distances are not as many as what was learned.", { counted });
    invariant(this.#learned <= this.#refaults, "More was learned than there were refaults.", { counted });
    invariant(this.#evictions < this.#ageAt, "What was learned did not age when it should have.");
    invariant(this.#workingSetRefaults <= this.#refaults, "More working-set refaults than refaults.");
    for (const stamp of this.#stamps) invariant(stamp <= this.#evictions, "A page left in the future.", { stamp });
  }
}
