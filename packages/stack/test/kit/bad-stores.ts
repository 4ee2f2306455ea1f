/** Swap stores that fail, lie, fill up and go away, as a seeded coin says; what they were told to keep and did not is counted. */
import { MemorySwap } from "@pagewright/vmm";
import type { AsyncSwapStore, IoOutcome, SwapStore, SeededRandom } from "@pagewright/vmm";

/** One call in so many comes to this; 0: none does. */
export interface Odds {
  /** A write fails. */
  readonly write: number;
  /** A write finds no room. */
  readonly full: number;
  /** A read fails: one of two will fail for good, until the slot is written again. */
  readonly read: number;
  /** A read returns other bytes than were written. */
  readonly damage: number;
}

/** Decides what calls come to. */
export class Faults {
  /** Reads that failed or returned other bytes: as many pages may be missed, and no more. */
  spoiledReads = 0;
  /** Writes that failed or found no room. */
  refusedWrites = 0;
  readonly #random: SeededRandom;
  readonly #odds: Odds;

  constructor(random: SeededRandom, odds: Odds) {
    this.#random = random;
    this.#odds = odds;
  }

  /** A number below `bound`. */
  below(bound: number): number {
    return this.#random.uint32() % bound;
  }

  /** Whether who waits for a store that is down gives up: one of four does, where reads may be spoiled. */
  givesUp(): boolean {
    if (this.#odds.read === 0 || this.below(4) > 0) return false;
    this.spoiledReads++;
    return true;
  }

  /** Carries a write out, or not. */
  write(work: () => IoOutcome): IoOutcome {
    const outcome = this.#happens(this.#odds.write) ? "failed" : this.#happens(this.#odds.full) ? "full" : work();
    if (outcome !== "ok") this.refusedWrites++;
    return outcome;
  }

  /** Carries a read of a slot out, or not, or not well. */
  read(slot: number, broken: Set<number>, into: Uint8Array, work: () => IoOutcome): IoOutcome {
    if (broken.has(slot) || this.#happens(this.#odds.read)) {
      this.spoiledReads++;
      if (this.below(2) === 0) broken.add(slot);
      return "failed";
    }
    const outcome = work();
    if (outcome !== "ok" || !this.#happens(this.#odds.damage)) return outcome;
    this.spoiledReads++;
    into.fill(1 + this.below(255));
    return "ok";
  }

  #happens(odds: number): boolean {
    return odds > 0 && this.below(odds) === 0;
  }
}

/** A store that answers at once. */
export class BadSwap implements SwapStore {
  readonly slots: number;
  readonly #faults: Faults;
  readonly #store: MemorySwap;
  /** Slots that cannot be read. */
  readonly #broken: Set<number> = new Set();

  constructor(slots: number, faults: Faults) {
    this.slots = slots;
    this.#faults = faults;
    this.#store = new MemorySwap(slots);
  }

  write(slot: number, from: Uint8Array): IoOutcome {
    this.#broken.delete(slot);
    return this.#faults.write(() => this.#store.write(slot, from));
  }

  read(slot: number, into: Uint8Array): IoOutcome {
    return this.#faults.read(slot, this.#broken, into, () => this.#store.read(slot, into));
  }

  discard(slot: number): void {
    this.#store.discard(slot);
  }
}

/** A store that answers later, and not at all while it is down: what was under way then is interrupted, carried out or not, and repeated or rejected. */
export class BadLateSwap implements AsyncSwapStore {
  readonly slots: number;
  readonly depth: number;
  /** Transfers that a crash interrupted. */
  interrupted = 0;
  /** Of these, transfers that were rejected. */
  rejected = 0;
  readonly #faults: Faults;
  readonly #store: MemorySwap;
  /** Slots that cannot be read. */
  readonly #broken: Set<number> = new Set();
  readonly #busy: Set<number> = new Set();
  #crashes = 0;
  /** Settles when it is up again; null while it is up. */
  #restart: { readonly done: Promise<void>; readonly resolve: () => void } | null = null;

  constructor(slots: number, depth: number, faults: Faults) {
    this.slots = slots;
    this.depth = depth;
    this.#faults = faults;
    this.#store = new MemorySwap(slots);
  }

  /** Down: nothing is answered until {@link start}. What it acknowledged is kept. */
  crash(): void {
    if (this.#restart !== null) return;
    this.#crashes++;
    let resolve: () => void = () => undefined;
    this.#restart = { done: new Promise<void>((settle) => (resolve = settle)), resolve };
  }

  /** Up again. */
  start(): void {
    this.#restart?.resolve();
    this.#restart = null;
  }

  writeLater(slot: number, from: Uint8Array): Promise<IoOutcome> {
    return this.#transfer(slot, () => {
      this.#broken.delete(slot);
      return this.#faults.write(() => this.#store.write(slot, from));
    });
  }

  readLater(slot: number, into: Uint8Array): Promise<IoOutcome> {
    return this.#transfer(slot, () => this.#faults.read(slot, this.#broken, into, () => this.#store.read(slot, into)));
  }

  async discardLater(slot: number): Promise<void> {
    await this.#transfer(slot, () => {
      this.#store.discard(slot);
      return "ok";
    });
  }

  /** Repeats what a crash interrupted, as a client does: writing and reading a slot are repeatable. */
  async #transfer(slot: number, work: () => IoOutcome): Promise<IoOutcome> {
    if (this.#busy.has(slot)) throw new Error(`two transfers of slot ${slot} at once`);
    this.#busy.add(slot);
    try {
      for (;;) {
        const crashes = this.#crashes;
        for (let turns = this.#faults.below(6); turns > 0; turns--) await Promise.resolve();
        if (this.#restart === null && crashes === this.#crashes) return work();
        this.interrupted++;
        if (this.#faults.below(2) === 0) work(); // It was carried out, and the answer is lost.
        if (this.#restart !== null && this.#faults.givesUp()) {
          this.rejected++;
          throw new Error("the store is down");
        }
        await this.#restart?.done;
      }
    } finally {
      this.#busy.delete(slot);
    }
  }
}
