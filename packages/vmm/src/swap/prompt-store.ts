import { isVmmError } from "../errors.ts";
import type { SwapStore } from "../ports.ts";
import type { TransferOutcome } from "./late-transfers.ts";

/**
 * A synchronous swap store, which should answer by a value. What it throws instead is noted and contained here: nobody knows what it has then, as where a promise of a
 * late store is rejected. Errors of this package are nobody's to contain.
 */
export class PromptStore {
  readonly #store: SwapStore;
  /** Told what the store threw. */
  readonly #noted: (error: unknown) => void;

  constructor(store: SwapStore, noted: (error: unknown) => void) {
    this.#store = store;
    this.#noted = noted;
  }

  /** Whether its pages may give way to others. */
  get givesWay(): boolean {
    return this.#store.giveWay !== undefined;
  }

  /** See {@link SwapStore.write}. */
  write(slot: number, from: Uint8Array): TransferOutcome {
    return this.#attempt<TransferOutcome>(() => this.#store.write(slot, from), "away");
  }

  /** See {@link SwapStore.read}. */
  read(slot: number, into: Uint8Array): TransferOutcome {
    return this.#attempt<TransferOutcome>(() => this.#store.read(slot, into), "away");
  }

  /** See {@link SwapStore.discard}. */
  discard(slot: number): void {
    this.#attempt(() => this.#store.discard?.(slot), undefined);
  }

  /** See {@link SwapStore.waits}. */
  waits(slot: number): boolean {
    return this.#attempt(() => this.#store.waits?.(slot) ?? true, true);
  }

  /** See {@link SwapStore.giveWay}; −1: none. */
  giveWay(): number {
    return this.#attempt(() => this.#store.giveWay?.() ?? -1, -1);
  }

  #attempt<T>(ask: () => T, thrown: T): T {
    try {
      return ask();
    } catch (error) {
      if (isVmmError(error)) throw error;
      this.#noted(error);
      return thrown;
    }
  }
}
