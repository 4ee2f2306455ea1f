import { NO_ADDRESS, requireInvariant, requireRequest } from "./allocator.ts";
import type { Allocator } from "./allocator.ts";
import { HeapError } from "./errors.ts";
import { Wrapper } from "./wrapper.ts";

/**
 * A wrapper that refuses what would make the sizes asked for of live blocks more than `limit` together: exhaustion is its answer. Exact, also where a block is resized, as it is
 * decided before the allocator behind is asked; what that one rounds up is not counted.
 */
export class Quota extends Wrapper {
  /** The most that may be live. */
  readonly limit: number;
  /** The size asked for of each live block. */
  readonly #sizes = new Map<number, number>();
  #used = 0;

  /** @throws HeapError `bad-option` for a limit below 0. */
  constructor(inner: Allocator, limit: number) {
    super(inner);
    if (!(limit >= 0)) throw new HeapError("bad-option", limit);
    this.limit = limit;
  }

  /** What is live. */
  get used(): number {
    return this.#used;
  }

  /** Notes what a block has been asked for instead of `before`. */
  #note(address: number, before: number, size: number): number {
    if (address === NO_ADDRESS) return address;
    this.#used += size - before;
    this.#sizes.set(address, size);
    return address;
  }

  /** Allocates within the quota. */
  override allocate(size: number, alignment = 0, hint = 0): number {
    requireRequest(size, alignment);
    if (this.#used + size > this.limit) return NO_ADDRESS;
    return this.#note(this.inner.allocate(size, alignment, hint), 0, size);
  }

  /** Frees, and counts. */
  override free(address: number): void {
    this.inner.free(address);
    this.#used -= this.#sizes.get(address) ?? 0;
    this.#sizes.delete(address);
  }

  /** Resizes within the quota. */
  override resize(address: number, size: number): number {
    const before = this.#sizes.get(address);
    // None of this quota's blocks: the allocator behind says what is wrong with it.
    if (before === undefined) return this.inner.resize(address, size);
    requireRequest(size, 0);
    if (this.#used - before + size > this.limit) return NO_ADDRESS;
    const to = this.inner.resize(address, size);
    if (to !== NO_ADDRESS && to !== address) this.#sizes.delete(address);
    return this.#note(to, before, size);
  }

  /** Ends all lives. */
  override reset(): void {
    this.inner.reset();
    this.#sizes.clear();
    this.#used = 0;
  }

  /** Checks the allocator behind, and the count. */
  override check(): void {
    this.inner.check();
    let used = 0;
    for (const [address, size] of this.#sizes) {
      requireInvariant(this.inner.owns(address), address, "the quota counts live blocks");
      used += size;
    }
    requireInvariant(used === this.#used && used <= this.limit, used, "the quota counts what is live");
  }
}
