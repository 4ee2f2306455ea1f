/** A swap store in memory, for tests and for users who have more memory than frames. */
import { VmmError } from "../errors.ts";
import type { IoOutcome, SwapStore } from "../ports.ts";
import { PAGE_SIZE } from "../units.ts";

/** Slots kept as arrays, made when first written and dropped when discarded. */
export class MemorySwap implements SwapStore {
  /** See {@link SwapStore.slots}. */
  readonly slots: number;
  readonly #pages: Map<number, Uint8Array> = new Map();

  /** A store of `slots` slots. */
  constructor(slots: number) {
    this.slots = slots;
  }

  /** See {@link SwapStore.write}. */
  write(slot: number, from: Uint8Array): IoOutcome {
    this.#demand(slot);
    this.#pages.set(slot, from.slice(0, PAGE_SIZE));
    return "ok";
  }

  /** See {@link SwapStore.read}: `failed` for a slot that was never written. */
  read(slot: number, into: Uint8Array): IoOutcome {
    this.#demand(slot);
    const page = this.#pages.get(slot);
    if (page === undefined) return "failed";
    into.set(page);
    return "ok";
  }

  /** See {@link SwapStore.discard}. */
  discard(slot: number): void {
    this.#demand(slot);
    this.#pages.delete(slot);
  }

  #demand(slot: number): void {
    if (!Number.isInteger(slot) || slot < 0 || slot >= this.slots)
      throw new VmmError("out-of-range", "The store has no such slot.", { slot });
  }
}
