/** Ports that fail when a seeded coin says so, or whoever else decides. */
import {
  MemoryBacking,
  MemorySwap,
  type AsyncBackingStore,
  type FrameHints,
  type FrameSource,
  type IoOutcome,
  type Pfn,
  type PlainMemory,
  type SpecialFrames,
  type SpecialOutcome,
  type SpecialRequest,
} from "@pagewright/vmm";

/** Decides on each call of a port whether it fails. */
export interface Failing {
  fails(call: string): boolean;
}

/** Fails by chance, whatever the call: never while `off`. */
export class Coin implements Failing {
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

/** A frame source that says no now and then, to requests for single frames, for many, and for runs. */
export class FlakyFrames implements FrameSource, SpecialFrames {
  readonly memory: PlainMemory;
  readonly #coin: Coin;

  constructor(memory: PlainMemory, coin: Coin) {
    this.memory = memory;
    this.#coin = coin;
  }

  take(hints?: FrameHints): Pfn {
    return this.#coin.fails() ? -1 : this.memory.take(hints);
  }

  give(pfn: Pfn, order = 0): void {
    // Whoever still reaches the frames sees this instead of what was there.
    for (let frame = pfn; frame < pfn + 2 ** order; frame++) this.memory.write(frame, 0, POISON);
    this.memory.give(pfn, order);
  }

  split(pfn: Pfn, order: number): void {
    this.memory.split(pfn, order);
  }

  takeMany(into: Float64Array, count: number): number {
    return this.memory.takeMany(into, this.#coin.fails() ? Math.floor(count / 2) : count);
  }

  giveMany(frames: Float64Array, count: number): void {
    for (let at = 0; at < count; at++) this.give(frames[at]!);
  }

  request(request: SpecialRequest): SpecialOutcome {
    return this.#coin.fails() ? { ok: false, reason: "the coin" } : this.memory.request(request);
  }

  release(start: Pfn, frames: number): void {
    for (let pfn = start; pfn < start + frames; pfn++) this.give(pfn);
  }
}

const POISON = new Uint8Array(4096).fill(0xbd);

/** A swap store whose transfers fail. */
export class FlakySwap extends MemorySwap {
  readonly #failing: Failing;

  constructor(slots: number, failing: Failing) {
    super(slots);
    this.#failing = failing;
  }

  override write(slot: number, from: Uint8Array): IoOutcome {
    return this.#failing.fails("SwapStore.write") ? "failed" : super.write(slot, from);
  }

  override read(slot: number, into: Uint8Array): IoOutcome {
    return this.#failing.fails("SwapStore.read") ? "failed" : super.read(slot, into);
  }
}

/** A file whose every method fails. */
export class FlakyBacking extends MemoryBacking {
  readonly #failing: Failing;

  constructor(content: Uint8Array | number, failing: Failing) {
    super(content);
    this.#failing = failing;
  }

  override read(offset: number, into: Uint8Array): IoOutcome {
    return this.#failing.fails("BackingStore.read") ? "failed" : super.read(offset, into);
  }

  override write(offset: number, from: Uint8Array): IoOutcome {
    return this.#failing.fails("BackingStore.write") ? "failed" : super.write(offset, from);
  }

  override sync(): IoOutcome {
    return this.#failing.fails("BackingStore.sync") ? "failed" : super.sync();
  }

  override resize(bytes: number): IoOutcome {
    return this.#failing.fails("BackingStore.resize") ? "full" : super.resize(bytes);
  }
}

/** A file that answers later, and rejects now and then. */
export class LateBacking implements AsyncBackingStore {
  /** What has been written and acknowledged, and nothing else. */
  readonly file: MemoryBacking;
  readonly #coin: Coin;

  constructor(bytes: number, coin: Coin) {
    this.file = new MemoryBacking(bytes);
    this.#coin = coin;
  }

  size(): number {
    return this.file.size();
  }

  async readLater(offset: number, into: Uint8Array): Promise<void> {
    const fails = this.#coin.fails();
    await Promise.resolve();
    if (fails) throw new Error("the coin");
    this.file.read(offset, into);
  }

  async writeLater(offset: number, from: Uint8Array): Promise<void> {
    const fails = this.#coin.fails();
    for (let turn = 0; turn < 3; turn++) await Promise.resolve();
    if (fails) throw new Error("the coin");
    this.file.write(offset, from);
  }
}
