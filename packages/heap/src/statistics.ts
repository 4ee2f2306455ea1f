import { NO_ADDRESS } from "./allocator.ts";
import { Wrapper } from "./wrapper.ts";

/** What went through a {@link Statistics} wrapper so far. */
export interface AllocationCounts {
  readonly allocations: number;
  readonly frees: number;
  readonly resizes: number;
  /** Resizes after which the block was elsewhere. */
  readonly moves: number;
  /** Requests that were answered with exhaustion. */
  readonly refusals: number;
  /** Sum of the sizes asked for. */
  readonly requestedBytes: number;
  /** The largest number of blocks that were live at once. */
  readonly peakBlocks: number;
  /** By log2 of the size asked for, rounded up: how many allocations. */
  readonly bySize: readonly number[];
}

/** A wrapper that counts what goes through it: calls, sizes asked for, blocks that moved, refusals; {@link Statistics.counts} tells. */
export class Statistics extends Wrapper {
  #allocations = 0;
  #frees = 0;
  #resizes = 0;
  #moves = 0;
  #refusals = 0;
  #requested = 0;
  #peak = 0;
  readonly #bySize: Float64Array = new Float64Array(54);

  #count(address: number, size: number): number {
    if (address === NO_ADDRESS) this.#refusals++;
    else {
      this.#allocations++;
      this.#requested += size;
      const log = size < 2 ** 31 ? 32 - Math.clz32(size - 1) : Math.ceil(Math.log2(size));
      this.#bySize[size > 0 ? log : 0]!++;
      const live = this.#allocations - this.#frees;
      if (live > this.#peak) this.#peak = live;
    }
    return address;
  }

  /** Allocates, and counts. */
  override allocate(size: number, alignment = 0, hint = 0): number {
    return this.#count(this.inner.allocate(size, alignment, hint), size);
  }

  /** Frees, and counts. */
  override free(address: number): void {
    this.inner.free(address);
    this.#frees++;
  }

  /** Resizes, and counts. */
  override resize(address: number, size: number, alignment = 0, hint = 0): number {
    const to = this.inner.resize(address, size, alignment, hint);
    if (to === NO_ADDRESS) this.#refusals++;
    else this.#resizes++;
    if (to !== NO_ADDRESS && to !== address) this.#moves++;
    return to;
  }

  /** Ends all lives, which counts as their frees. */
  override reset(): void {
    this.inner.reset();
    this.#frees = this.#allocations;
  }

  /** What was counted so far. */
  counts(): AllocationCounts {
    return {
      allocations: this.#allocations,
      frees: this.#frees,
      resizes: this.#resizes,
      moves: this.#moves,
      refusals: this.#refusals,
      requestedBytes: this.#requested,
      peakBlocks: this.#peak,
      bySize: [...this.#bySize.subarray(0, this.#bySize.findLastIndex((count) => count > 0) + 1)],
    };
  }
}
