/**
 * Swap space: tiers of stores by priority, slots within them, and a checksum of every page.
 *
 * ```
 *  reference = tier × 2^27 + slot        write: first tier with room, next fit within it, so that evictions in a row lie in a row
 * ```
 * A slot whose write fails is never used again; a store that fails {@link FENCE_AFTER} writes in a row takes no more pages. What was
 * stored stays readable.
 */
import { VmmError } from "../errors.ts";
import type { IoOutcome, SwapStore } from "../ports.ts";
import { checksum } from "./checksum.ts";

/** Slots of one tier. */
export const TIER_SLOTS = 134217728;
/** Failed writes in a row after which a store is fenced. */
export const FENCE_AFTER = 8;

const FREE = 0;
const USED = 1;
const BAD = 2;

/** One store with the state of its slots. */
class Tier {
  readonly store: SwapStore;
  /** FREE, USED or BAD. */
  readonly state: Uint8Array;
  /** Checksum of what a used slot holds. */
  readonly sums: Uint32Array;
  used = 0;
  bad = 0;
  /** Where the search for a free slot goes on. */
  hand = 0;
  failures = 0;
  fenced = false;

  constructor(store: SwapStore) {
    this.store = store;
    this.state = new Uint8Array(store.slots);
    this.sums = new Uint32Array(store.slots);
  }

  /** A free slot, −1 if there is none. */
  next(): number {
    const { slots } = this.store;
    if (this.used + this.bad >= slots) return -1;
    let at = this.state.indexOf(FREE, this.hand);
    if (at < 0) at = this.state.indexOf(FREE);
    return at;
  }
}

/** Where evicted pages without a file go. */
export class SwapSpace {
  readonly #tiers: Tier[];
  #used = 0;

  /** Space over stores in order of preference. */
  constructor(stores: readonly SwapStore[]) {
    for (const store of stores)
      if (!Number.isInteger(store.slots) || store.slots < 0 || store.slots > TIER_SLOTS)
        throw new VmmError("out-of-range", "A swap store has 0 to 2^27 slots.", { slots: store.slots });
    this.#tiers = stores.map((store) => new Tier(store));
  }

  /** Slots in all, bad ones and those of fenced stores included. */
  get slots(): number {
    return this.#tiers.reduce((sum, tier) => sum + tier.store.slots, 0);
  }

  /** Slots that hold a page. */
  get used(): number {
    return this.#used;
  }

  /** Pages that can still be stored. */
  get freeSlots(): number {
    return this.#tiers.reduce((sum, tier) => sum + (tier.fenced ? 0 : tier.store.slots - tier.used - tier.bad), 0);
  }

  /** Stores that take no pages any more because of errors, by tier number. */
  get fenced(): number[] {
    return this.#tiers.flatMap((tier, number) => (tier.fenced ? [number] : []));
  }

  /** Stores a page; its reference, or −1 if no tier takes it (all full or fenced). */
  write(page: Uint8Array): number {
    for (let number = 0; number < this.#tiers.length; number++) {
      const tier = this.#tiers[number];
      if (tier === undefined || tier.fenced) continue;
      const slot = this.#writeTo(tier, page);
      if (slot >= 0) return number * TIER_SLOTS + slot;
    }
    return -1;
  }

  /** Reads the page of a reference; `failed` also where the checksum tells that the store returned something else. */
  read(reference: number, into: Uint8Array): IoOutcome {
    const tier = this.#tierOf(reference);
    const slot = reference % TIER_SLOTS;
    if (tier.store.read(slot, into) !== "ok") return "failed";
    return checksum(into) === tier.sums[slot] ? "ok" : "failed";
  }

  /** Gives a slot back. */
  release(reference: number): void {
    const tier = this.#tierOf(reference);
    const slot = reference % TIER_SLOTS;
    if (tier.state[slot] !== USED)
      throw new VmmError("invariant", "A swap slot that is not used was freed.", { reference });
    tier.state[slot] = FREE;
    tier.used--;
    this.#used--;
    tier.store.discard?.(slot);
  }

  /** Whether the reference names a slot that holds a page. */
  holds(reference: number): boolean {
    return this.#tierOf(reference).state[reference % TIER_SLOTS] === USED;
  }

  /** Walks everything; throws with the sentence of the broken invariant. */
  check(): void {
    let total = 0;
    for (const tier of this.#tiers) {
      let used = 0;
      let bad = 0;
      for (const state of tier.state) {
        if (state === USED) used++;
        else if (state === BAD) bad++;
      }
      if (used !== tier.used || bad !== tier.bad)
        throw new VmmError("invariant", "A tier's slot counts are wrong.", { used, bad });
      total += used;
    }
    if (total !== this.#used) throw new VmmError("invariant", "The count of used slots is wrong.", { total });
  }

  #writeTo(tier: Tier, page: Uint8Array): number {
    for (;;) {
      const slot = tier.next();
      if (slot < 0) return -1;
      const outcome = tier.store.write(slot, page);
      if (outcome === "ok") {
        tier.failures = 0;
        tier.state[slot] = USED;
        tier.sums[slot] = checksum(page);
        tier.used++;
        tier.hand = slot + 1;
        this.#used++;
        return slot;
      }
      if (outcome === "full") return -1;
      tier.state[slot] = BAD;
      tier.bad++;
      tier.failures++;
      if (tier.failures >= FENCE_AFTER) {
        tier.fenced = true;
        return -1;
      }
    }
  }

  #tierOf(reference: number): Tier {
    const tier = this.#tiers[Math.floor(reference / TIER_SLOTS)];
    if (tier === undefined) throw new VmmError("invariant", "A swap reference names no tier.", { reference });
    return tier;
  }
}
