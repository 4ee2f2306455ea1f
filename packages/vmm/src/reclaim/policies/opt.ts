import { invariant, VmmError } from "../../errors.ts";
import type { SimulatedPolicy } from "./policy.ts";

const NEVER = 0xffff_ffff;

/**
 * OPT: the page whose next use is farthest in the future goes. It has to know the future, so it runs in simulation
 * only, as the bound that no policy beats (a page always comes in: forced insertion).
 *
 * The next uses of all resident pages are distinct moments 0 … n − 1, held as a set of bits under levels of summary
 * bits, 32 to a word:
 *
 * ```
 *   level 2  ..1.....               1 bit per word of level 1 that is not zero
 *   level 1  ..1.....  .....1..     1 bit per word of level 0 that is not zero
 *   level 0  1 bit per moment of next use
 * ```
 *
 * The latest moment is found by descending from the top. Moments that have passed are never cleared: as long as a
 * resident page has a future, the latest bit is one of that future; pages without one wait on a stack and go first.
 *
 * Source: Belady, "A Study of Replacement Algorithms for a Virtual-Storage Computer", 1966.
 */
export class Opt implements SimulatedPolicy {
  readonly name: string = "opt";
  readonly #requests: Uint32Array;
  /** Moment of the next request of the same page, by moment; NEVER where there is none. */
  readonly #nextUse: Uint32Array;
  /** Bit sets, finest first. */
  readonly #levels: readonly Uint32Array[];
  /** Resident pages that are never used again, 0 … finishedCount − 1. */
  readonly #finished: Int32Array;
  /** 1 where resident, by slot. */
  readonly #resident: Uint8Array;
  #finishedCount: number = 0;
  #residentCount: number = 0;
  /** Moment of the request that is told next. */
  #now: number = 0;

  /**
   * @param slots slots are 0 … slots − 1
   * @param requests all that `insert` and `accessed` will tell, in order: `slot * 2 + (1 for a store)`
   */
  constructor(slots: number, requests: Uint32Array) {
    this.#requests = requests;
    this.#nextUse = nextUses(slots, requests);
    this.#levels = bitLevels(requests.length);
    this.#finished = new Int32Array(slots);
    this.#resident = new Uint8Array(slots);
  }

  /** The page of the request at this moment came in. */
  insert(slot: number): void {
    this.#resident[slot] = 1;
    this.#residentCount++;
    this.accessed(slot);
  }

  /** One read, and one write on each level up to the first word that was not zero: 1.1 levels on average. */
  accessed(slot: number): void {
    const next = this.#nextUse[this.#now++]!;
    if (next === NEVER) {
      this.#finished[this.#finishedCount++] = slot;
      return;
    }
    let bit = next;
    for (const level of this.#levels) {
      const word = bit >>> 5;
      const before = level[word]!;
      level[word] = before | (1 << (bit & 31));
      if (before !== 0) return;
      bit = word;
    }
  }

  /** The page used last of all, if ever. O(log n) to the base of 32. */
  victim(): number {
    if (this.#residentCount === 0) return -1;
    return this.#finishedCount > 0 ? this.#finished[this.#finishedCount - 1]! : this.#requests[this.#latest()]! >>> 1;
  }

  /** Takes the page used last of all. O(log n) to the base of 32. */
  evict(): number {
    const slot = this.victim();
    if (slot < 0) return -1;
    if (this.#finishedCount > 0) this.#finishedCount--;
    else this.#clear(this.#latest());
    this.#resident[slot] = 0;
    this.#residentCount--;
    return slot;
  }

  /** Throws `bad-argument`: the future that OPT knows has no page that goes but by eviction. */
  remove(_slot: number): void {
    throw new VmmError("bad-argument", "OPT runs in simulation only, where pages go by eviction alone");
  }

  /** Throws `bad-argument`: the requests name all slots beforehand. */
  grow(_slots: number): void {
    throw new VmmError("bad-argument", "OPT runs in simulation only, where all slots are known beforehand");
  }

  /** Does nothing: OPT needs no capacity. */
  resize(_capacity: number): void {
    return;
  }

  /** Checks counts and summary bits. */
  check(): void {
    let resident = 0;
    for (const state of this.#resident) resident += state;
    invariant(resident === this.#residentCount, "the resident pages are not as many as counted");
    for (let i = 0; i < this.#finishedCount; i++)
      invariant(this.#resident[this.#finished[i]!] === 1, "a finished page is not resident");
    this.#levels.reduce(checkSummary);
  }

  #latest(): number {
    let word = 0;
    for (let l = this.#levels.length - 1; l >= 0; l--) word = word * 32 + 31 - Math.clz32(this.#levels[l]?.[word] ?? 0);
    return word;
  }

  #clear(moment: number): void {
    let bit = moment;
    for (const level of this.#levels) {
      const word = bit >>> 5;
      const after = level[word]! & ~(1 << (bit & 31));
      level[word] = after;
      if (after !== 0) return;
      bit = word;
    }
  }
}

function nextUses(slots: number, requests: Uint32Array): Uint32Array {
  const nextUse = new Uint32Array(requests.length);
  const seen = new Uint32Array(slots).fill(NEVER);
  for (let moment = requests.length - 1; moment >= 0; moment--) {
    const slot = requests[moment]! >>> 1;
    nextUse[moment] = seen[slot]!;
    seen[slot] = moment;
  }
  return nextUse;
}

function bitLevels(bits: number): Uint32Array[] {
  const levels: Uint32Array[] = [];
  let words = bits;
  do {
    words = Math.max(1, Math.ceil(words / 32));
    levels.push(new Uint32Array(words));
  } while (words > 1);
  return levels;
}

function checkSummary(fine: Uint32Array, coarse: Uint32Array): Uint32Array {
  for (let word = 0; word < fine.length; word++) {
    const summary = (coarse[word >>> 5]! >>> (word & 31)) & 1;
    invariant((fine[word] !== 0) === (summary === 1), "a summary bit differs from its word", { word });
  }
  return coarse;
}
