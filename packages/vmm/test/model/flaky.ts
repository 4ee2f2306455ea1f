/** Ports that fail when a seeded coin says so. */
import {
  MemoryBacking,
  MemorySwap,
  type PlainMemory,
  type FrameHints,
  type FrameSource,
  type IoOutcome,
  type Pfn,
  type SwapStore,
} from "@pagewright/vmm";

/** Says when to fail: never while `off`. */
export class Coin {
  off = true;
  failures = 0;
  readonly #random: () => number;
  readonly #odds: number;

  constructor(random: () => number, odds: number) {
    this.#random = random;
    this.#odds = odds;
  }

  fails(): boolean {
    if (this.off || this.#random() % this.#odds !== 0) return false;
    this.failures++;
    return true;
  }
}

/** A frame source that says no now and then. */
export class FlakyFrames implements FrameSource {
  readonly memory: PlainMemory;
  readonly #coin: Coin;

  constructor(memory: PlainMemory, coin: Coin) {
    this.memory = memory;
    this.#coin = coin;
  }

  take(hints?: FrameHints): Pfn {
    return this.#coin.fails() ? -1 : this.memory.take(hints);
  }

  give(pfn: Pfn, order?: number): void {
    // Whoever still reaches the frame sees this instead of what was there.
    this.memory.write(pfn, 0, POISON);
    this.memory.give(pfn, order);
  }

  split(pfn: Pfn, order: number): void {
    this.memory.split(pfn, order);
  }

  takeMany(into: Float64Array, count: number): number {
    return this.memory.takeMany(into, count);
  }

  giveMany(frames: Float64Array, count: number): void {
    for (let at = 0; at < count; at++) this.give(frames[at]!);
  }
}

const POISON = new Uint8Array(4096).fill(0xbd);

/** A swap store whose writes fail now and then. */
export class FlakySwap implements SwapStore {
  readonly slots: number;
  readonly #store: MemorySwap;
  readonly #coin: Coin;

  constructor(slots: number, coin: Coin) {
    this.slots = slots;
    this.#store = new MemorySwap(slots);
    this.#coin = coin;
  }

  write(slot: number, from: Uint8Array): IoOutcome {
    return this.#coin.fails() ? "failed" : this.#store.write(slot, from);
  }

  read(slot: number, into: Uint8Array): IoOutcome {
    return this.#store.read(slot, into);
  }

  discard(slot: number): void {
    this.#store.discard(slot);
  }
}

/** A file whose writes fail now and then. */
export class FlakyBacking extends MemoryBacking {
  readonly #coin: Coin;

  constructor(bytes: number, coin: Coin) {
    super(bytes);
    this.#coin = coin;
  }

  override write(offset: number, from: Uint8Array): IoOutcome {
    return this.#coin.fails() ? "failed" : super.write(offset, from);
  }
}
