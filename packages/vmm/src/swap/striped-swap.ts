import { VmmError } from "../errors.ts";
import type { IoOutcome, SwapStore } from "../ports.ts";

/**
 * Several stores of equal priority as one: slots go round the stores, so that pages written in a row are spread over all of
 * them, and a device that fails costs its own slots alone: it is fenced for itself, see {@link SwapStore.members}.
 *
 * ```
 *   slot        0  1  2  3  4  5 …
 *   store       a  b  c  a  b  c …      store = slot mod n, its slot = ⌊slot / n⌋
 * ```
 */
export class StripedSwap implements SwapStore {
  /** See {@link SwapStore.slots}: as many as the smallest store has, times the number of stores. */
  readonly slots: number;
  /** See {@link SwapStore.members}. */
  readonly members: number;
  readonly #stores: readonly SwapStore[];

  constructor(stores: readonly SwapStore[]) {
    if (stores.length === 0) throw new VmmError("bad-argument", "A stripe needs a store.");
    this.#stores = stores;
    this.members = stores.length;
    this.slots = stores.length * Math.min(...stores.map((store) => store.slots));
  }

  /** See {@link SwapStore.write}. */
  write(slot: number, from: Uint8Array): IoOutcome {
    return this.#storeOf(slot).write(this.#slotOf(slot), from);
  }

  /** See {@link SwapStore.read}. */
  read(slot: number, into: Uint8Array): IoOutcome {
    return this.#storeOf(slot).read(this.#slotOf(slot), into);
  }

  /** See {@link SwapStore.discard}. */
  discard(slot: number): void {
    this.#storeOf(slot).discard?.(this.#slotOf(slot));
  }

  #slotOf(slot: number): number {
    return Math.floor(slot / this.#stores.length);
  }

  #storeOf(slot: number): SwapStore {
    const store = this.#stores[slot % this.#stores.length];
    if (store === undefined || slot >= this.slots)
      throw new VmmError("out-of-range", "The stripe has no such slot.", { slot, slots: this.slots });
    return store;
  }
}
