/**
 * Swap space: tiers of stores by priority.
 *
 * ```
 *  reference = tier × 2^27 + slot        write: first tier with room, next fit within it, so that evictions in a row lie in a row
 * ```
 * A slot whose write fails is never used again; a store that fails {@link FENCE_AFTER} transfers in a row takes no more pages. What was
 * stored stays readable. A tier whose store answers later takes a page at once and says later whether it is kept: until then its owner keeps the
 * frame ({@link SwapSpace.whenWritten}); a page is fetched before it can be read ({@link SwapSpace.fetch}).
 */
import { VmmError } from "../errors.ts";
import type { AsyncSwapStore, IoOutcome, SwapStore } from "../ports.ts";
import { SLOT_BUSY, Tier, type SwapTierStats } from "./tier.ts";

/** Slots of one tier. */
export const TIER_SLOTS = 134217728;
/** {@link SwapSpace.write} found no tier that takes the page. */
export const SWAP_FULL = -1;
/** {@link SwapSpace.write}: the tier whose turn it is has as many writes under way as it may have. */
export const SWAP_BUSY: number = SLOT_BUSY;

/** Where evicted pages without a file go. */
export class SwapSpace {
  readonly #tiers: Tier[];
  readonly #slots: number;

  /** Space over stores in order of preference. */
  constructor(stores: readonly (SwapStore | AsyncSwapStore)[]) {
    for (const store of stores)
      if (!Number.isInteger(store.slots) || store.slots < 0 || store.slots > TIER_SLOTS)
        throw new VmmError("out-of-range", "A swap store has 0 to 2^27 slots.", { slots: store.slots });
    this.#tiers = stores.map((store) => new Tier(store));
    this.#slots = stores.reduce((sum, store) => sum + store.slots, 0);
  }

  /** Slots in all, bad ones and those of fenced stores included. */
  get slots(): number {
    return this.#slots;
  }

  /** Slots that hold a page. */
  get used(): number {
    return this.#tiers.reduce((sum, tier) => sum + tier.used, 0);
  }

  /** Pages that can still be stored. */
  get freeSlots(): number {
    return this.#tiers.reduce((sum, tier) => sum + tier.room, 0);
  }

  /** Stores that take no pages any more because of errors, by tier number. */
  get fenced(): number[] {
    return this.#tiers.flatMap((tier, number) => (tier.fenced ? [number] : []));
  }

  /** Stores a page; its reference, SWAP_FULL where no tier takes it (all full or fenced), or SWAP_BUSY. */
  write(page: Uint8Array): number {
    for (let number = 0; number < this.#tiers.length; number++) {
      const slot = this.#tiers[number]?.write(page) ?? SWAP_FULL;
      if (slot >= 0) return number * TIER_SLOTS + slot;
      if (slot === SLOT_BUSY) return SWAP_BUSY; // It will take the page soon, and is preferred to those behind it.
    }
    return SWAP_FULL;
  }

  /**
   * Calls `told` when the store of a page that was just written has answered whether it keeps it; if not, the reference is void from then on. False: it is
   * kept already. To be asked once for each write.
   */
  whenWritten(reference: number, told: (kept: boolean) => void): boolean {
    return this.#tierOf(reference).whenWritten(reference % TIER_SLOTS, told);
  }

  /** Has a page fetched from a store that answers later; settles when {@link read} can tell. Null: it can now. */
  fetch(reference: number): Promise<void> | null {
    return this.#tierOf(reference).fetch(reference % TIER_SLOTS);
  }

  /** Reads the page of a reference; `failed` also where the checksum tells that the store returned something else, or where it was not fetched. */
  read(reference: number, into: Uint8Array): IoOutcome {
    return this.#tierOf(reference).read(reference % TIER_SLOTS, into);
  }

  /** Gives a slot back. */
  release(reference: number): void {
    this.#tierOf(reference).release(reference % TIER_SLOTS);
  }

  /** Whether reading the page of a reference waits for a device. */
  waits(reference: number): boolean {
    return this.#tierOf(reference).waits(reference % TIER_SLOTS);
  }

  /** Whether a copy can be relied on: its store is not fenced. */
  trusts(reference: number): boolean {
    return !this.#tierOf(reference).fenced;
  }

  /** Whether the reference names a slot that holds a page. */
  holds(reference: number): boolean {
    return this.#tierOf(reference).holds(reference % TIER_SLOTS);
  }

  /** What became of each store, by priority. */
  stats(): SwapTierStats[] {
    return this.#tiers.map((tier) => tier.stats());
  }

  /** Walks everything; throws with the sentence of the broken invariant. */
  check(): void {
    for (const tier of this.#tiers) tier.check();
  }

  #tierOf(reference: number): Tier {
    const tier = this.#tiers[Math.floor(reference / TIER_SLOTS)];
    if (tier === undefined) throw new VmmError("invariant", "A swap reference names no tier.", { reference });
    return tier;
  }
}
