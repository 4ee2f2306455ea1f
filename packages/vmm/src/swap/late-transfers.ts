import { invariant } from "../errors.ts";
import type { AsyncSwapStore, IoOutcome } from "../ports.ts";
import { PAGE_SIZE } from "../units.ts";

/** Writes under way at once where the store does not say. */
const DEFAULT_DEPTH = 32;

/** What came of a transfer; `away`: the store threw or rejected, so that nobody knows what it has. */
export type TransferOutcome = IoOutcome | "away";

/** A page on its way in. */
interface Fetch {
  readonly bytes: Uint8Array;
  readonly settled: Promise<TransferOutcome>;
  /** What the store said; null while it has not. */
  outcome: TransferOutcome | null;
}

/**
 * Transfers of an asynchronous swap store that are under way, by slot. Bytes on their way out are copies; bytes that have arrived wait here until
 * they are taken or nobody wants them any more.
 */
export class LateTransfers {
  readonly #store: AsyncSwapStore;
  /** Told what the store threw or rejected with. */
  readonly #noted: (error: unknown) => void;
  readonly #depth: number;
  readonly #writes: Map<number, Promise<TransferOutcome>> = new Map();
  readonly #fetches: Map<number, Fetch> = new Map();
  /** Fetches that nobody wants any more and that the store has not answered yet. */
  readonly #forgotten: Set<number> = new Set();

  constructor(store: AsyncSwapStore, noted: (error: unknown) => void) {
    this.#store = store;
    this.#noted = noted;
    this.#depth = store.depth ?? DEFAULT_DEPTH;
    invariant(this.#depth >= 1, "An asynchronous swap store allows a write at least.", { depth: this.#depth });
  }

  /** Whether one more page may be written now. */
  get canWrite(): boolean {
    return this.#writes.size < this.#depth;
  }

  /** Whether less than half of the writes that may be under way are. */
  get isAtEase(): boolean {
    return this.#writes.size * 2 < this.#depth;
  }

  /** Transfers that the store has not answered. */
  get underWay(): number {
    let fetches = 0;
    for (const fetch of this.#fetches.values()) if (fetch.outcome === null) fetches++;
    return this.#writes.size + this.#forgotten.size + fetches;
  }

  /** Whether a transfer of the slot is under way. */
  isBusy(slot: number): boolean {
    return this.#writes.has(slot) || this.#forgotten.has(slot) || this.#fetches.get(slot)?.outcome === null;
  }

  /** Whether a transfer of the slot is under way, or what it brought has not been taken. */
  isKnown(slot: number): boolean {
    return this.#writes.has(slot) || this.#forgotten.has(slot) || this.#fetches.has(slot);
  }

  /** Begins to write a copy of the page. */
  write(slot: number, page: Uint8Array): void {
    const bytes = page.slice();
    const written = this.#answerOf(() => this.#store.writeLater(slot, bytes));
    const settled = written.finally(() => this.#writes.delete(slot));
    this.#writes.set(slot, settled);
  }

  /** The answer to the write of a slot that is under way; null: none is. */
  writing(slot: number): Promise<TransferOutcome> | null {
    return this.#writes.get(slot) ?? null;
  }

  /** Begins to read a slot unless that was begun; null: the bytes have arrived, or the store failed, see {@link hasFailed}. */
  fetch(slot: number): Promise<TransferOutcome> | null {
    const known = this.#fetches.get(slot);
    if (known !== undefined) return known.outcome === null ? known.settled : null;
    const bytes = new Uint8Array(PAGE_SIZE);
    const answer = this.#answerOf(() => this.#store.readLater(slot, bytes));
    const settled = answer.then((outcome) => {
      fetch.outcome = outcome;
      this.#forgotten.delete(slot);
      return outcome;
    });
    const fetch: Fetch = { bytes, settled, outcome: null };
    this.#fetches.set(slot, fetch);
    return settled;
  }

  /** Whether a {@link fetch} has ended without bytes. */
  hasFailed(slot: number): boolean {
    const outcome = this.#fetches.get(slot)?.outcome ?? "ok";
    return outcome !== "ok";
  }

  /** Hands over what {@link fetch} brought. */
  take(slot: number, into: Uint8Array): TransferOutcome {
    const fetch = this.#fetches.get(slot);
    if (fetch === undefined || fetch.outcome === null) return "failed";
    this.#fetches.delete(slot);
    into.set(fetch.bytes);
    return fetch.outcome;
  }

  /** What is on its way in, or has arrived, is not needed. */
  forget(slot: number): void {
    if (this.#fetches.get(slot)?.outcome === null) this.#forgotten.add(slot);
    this.#fetches.delete(slot);
  }

  /** Throws with the sentence of the broken invariant. */
  check(): void {
    invariant(this.#writes.size <= this.#depth, "More writes are under way than the store allows.");
    for (const slot of this.#forgotten)
      invariant(!this.#writes.has(slot), "A slot is read and written at once.", { slot });
  }

  /** Tells the store that a slot's content is not needed; null where it need not be told. Settles in any case: `away` where it was rejected. */
  discard(slot: number): Promise<TransferOutcome> | null {
    this.forget(slot);
    const store = this.#store;
    if (store.discardLater === undefined) return null;
    return this.#answerOf(async () => {
      await store.discardLater?.(slot);
      return "ok";
    });
  }

  async #answerOf(transfer: () => Promise<IoOutcome>): Promise<TransferOutcome> {
    try {
      return await transfer();
    } catch (error) {
      this.#noted(error);
      return "away";
    }
  }
}
