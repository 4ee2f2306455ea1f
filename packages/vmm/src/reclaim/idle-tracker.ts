import { invariant } from "../errors.ts";

/** Ages are counted in harvests, up to this one, which stands for "longer". */
const MAX_AGE = 255;
/** A page that is not tracked. */
const UNTRACKED = 0xffff;
/** Frequencies are 8-bit fractions: 255 is "used at every harvest". */
const ALWAYS = 255;

function everyPage(): boolean {
  return true;
}

/** How many pages are how idle, and how many are used how often. */
export interface AccessHistogram {
  /** Pages by the number of harvests since they were last seen used: 0, 1, 2–3, 4–7, … 128 and more. */
  readonly idle: readonly number[];
  /** Pages by the share of harvests in which they were seen used: below 1/8, 2/8, … 8/8. */
  readonly frequency: readonly number[];
  /** Pages never seen used since they came in. */
  readonly neverUsed: number;
  /** Pages tracked. */
  readonly pages: number;
}

/**
 * Idle-page tracking: for every resident page how many harvests ago it was last seen used, and in which share of the harvests it
 * was (an exponential average over eight). Fed by the harvests that reclaim does anyway; costs three bytes a page and one
 * pass over them for each harvest.
 */
export class IdleTracker {
  /** Harvests since the page was seen used, at most 255; UNTRACKED where it is not tracked. */
  #age: Uint16Array;
  /** Share of the harvests in which it was seen used, 0 … 255. */
  #frequency: Uint8Array;
  /** 1: seen used since it came in. */
  #used: Uint8Array;

  constructor(slots: number) {
    this.#age = new Uint16Array(slots).fill(UNTRACKED);
    this.#frequency = new Uint8Array(slots);
    this.#used = new Uint8Array(slots);
  }

  /** The page of a slot came in: nothing is known of it yet. */
  insert(slot: number): void {
    this.#age[slot] = 0;
    this.#frequency[slot] = 0;
    this.#used[slot] = 0;
  }

  /** The page is gone. */
  remove(slot: number): void {
    this.#age[slot] = UNTRACKED;
  }

  /** A harvest found the page used. To be told before the {@link harvested} of that harvest. */
  accessed(slot: number): void {
    this.#used[slot] = 1;
    if (this.#age[slot] !== UNTRACKED) this.#age[slot] = MAX_AGE + 1;
  }

  /** A harvest ended: all pages that it did not find used are idle for one more. O(slots). */
  harvested(): void {
    const ages = this.#age;
    const frequency = this.#frequency;
    for (let slot = 0; slot < ages.length; slot++) {
      const age = ages[slot]!;
      if (age === UNTRACKED) continue;
      const seen = age === MAX_AGE + 1;
      ages[slot] = seen ? 0 : Math.min(age + 1, MAX_AGE);
      const before = frequency[slot]!;
      frequency[slot] = seen ? before + ((ALWAYS - before + 7) >>> 3) : before - ((before + 7) >>> 3);
    }
  }

  /** Harvests since the page was last seen used (or came in), 0 … 255; −1 where it is not tracked. */
  idleFor(slot: number): number {
    const age = this.#age[slot] ?? UNTRACKED;
    return age === UNTRACKED ? -1 : Math.min(age, MAX_AGE);
  }

  /** Pages that were seen used within the last `harvests` harvests, or came in since: an estimate of the working set. O(slots). */
  usedWithin(harvests: number): number {
    let pages = 0;
    for (const age of this.#age) if (age < harvests || age === MAX_AGE + 1) pages++;
    return pages;
  }

  /** Counts the pages for which `counts` holds, all by default. O(slots). */
  histogram(counts: (slot: number) => boolean = everyPage): AccessHistogram {
    const idle = new Array<number>(9).fill(0);
    const frequency = new Array<number>(8).fill(0);
    let neverUsed = 0;
    let pages = 0;
    for (let slot = 0; slot < this.#age.length; slot++) {
      const age = this.idleFor(slot);
      if (age < 0 || !counts(slot)) continue;
      pages++;
      if (this.#used[slot] === 0) neverUsed++;
      const idleBucket = 32 - Math.clz32(age);
      const frequencyBucket = this.#frequency[slot]! >>> 5;
      idle[idleBucket] = (idle[idleBucket] ?? 0) + 1;
      frequency[frequencyBucket] = (frequency[frequencyBucket] ?? 0) + 1;
    }
    return { idle, frequency, neverUsed, pages };
  }

  /** Makes room for slots 0 … slots − 1. */
  grow(slots: number): void {
    const before = this.#age.length;
    if (slots <= before) return;
    const age = new Uint16Array(slots).fill(UNTRACKED);
    age.set(this.#age);
    this.#age = age;
    const frequency = new Uint8Array(slots);
    frequency.set(this.#frequency);
    this.#frequency = frequency;
    const used = new Uint8Array(slots);
    used.set(this.#used);
    this.#used = used;
  }

  /** Throws with the sentence of the broken invariant. */
  check(): void {
    for (const age of this.#age)
      invariant(age <= MAX_AGE + 1 || age === UNTRACKED, "A page has an impossible age.", { age });
  }
}
