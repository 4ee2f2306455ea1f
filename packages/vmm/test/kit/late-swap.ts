/** A swap store that answers when its owner says so, and fails when a test wants it to. */
import { MemorySwap, type AsyncSwapStore, type IoOutcome } from "@pagewright/vmm";

/** What a transfer is about to do: `ok` carries it out, `lost` rejects it. */
export type LateVerdict = "ok" | "full" | "failed" | "lost";

/** See the file's first line. */
export class LateSwap implements AsyncSwapStore {
  readonly slots: number;
  readonly depth: number;
  /** Decides on each transfer when it is carried out. */
  verdict: (kind: "read" | "write", slot: number) => LateVerdict = () => "ok";
  /** Whether transfers wait for {@link open}. */
  held = false;
  /** Reads and writes that were carried out. */
  transfers = 0;
  /** Slots with a transfer under way: there is never more than one. */
  readonly busy: Set<number> = new Set();
  readonly #store: MemorySwap;
  #waiting: (() => void)[] = [];

  constructor(slots: number, depth = 32) {
    this.slots = slots;
    this.depth = depth;
    this.#store = new MemorySwap(slots);
  }

  writeLater(slot: number, from: Uint8Array): Promise<IoOutcome> {
    return this.#transfer("write", slot, () => this.#store.write(slot, from));
  }

  readLater(slot: number, into: Uint8Array): Promise<IoOutcome> {
    return this.#transfer("read", slot, () => this.#store.read(slot, into));
  }

  discardLater(slot: number): Promise<void> {
    return this.#exclusive(slot, () => {
      this.#store.discard(slot);
    });
  }

  /** Lets everything that waits go on, and what comes after it. */
  open(): void {
    this.held = false;
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const goOn of waiting) goOn();
  }

  #transfer(kind: "read" | "write", slot: number, work: () => IoOutcome): Promise<IoOutcome> {
    return this.#exclusive(slot, () => {
      this.transfers++;
      const verdict = this.verdict(kind, slot);
      if (verdict === "lost") throw new Error("the connection is gone");
      return verdict === "ok" ? work() : verdict;
    });
  }

  async #exclusive<T>(slot: number, work: () => T): Promise<T> {
    if (this.busy.has(slot)) throw new Error(`two transfers of slot ${slot} at once`);
    this.busy.add(slot);
    try {
      if (this.held) await new Promise<void>((resolve) => this.#waiting.push(resolve));
      else await Promise.resolve();
      return work();
    } finally {
      this.busy.delete(slot);
    }
  }
}
