import { AddressTable } from "./address-table.ts";
import { NO_ADDRESS, requireInvariant, requireRequest } from "./allocator.ts";
import type { Allocator, HeapStats } from "./allocator.ts";
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
  readonly #sizes: AddressTable = new AddressTable();
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

  /** Notes a new block, if there is one. */
  #enter(address: number, size: number): number {
    if (address === NO_ADDRESS) return address;
    this.#sizes.add(address, size);
    this.#used += size;
    return address;
  }

  /** Allocates within the quota. */
  override allocate(size: number, alignment = 0, hint = 0): number {
    requireRequest(size, alignment);
    if (this.#used + size > this.limit) return NO_ADDRESS;
    return this.#enter(this.inner.allocate(size, alignment, hint), size);
  }

  /** Frees, and counts. */
  override free(address: number): void {
    this.inner.free(address);
    this.#forget(address);
  }

  #forget(address: number): void {
    const size = this.#sizes.take(address);
    // Less than 0: from before this quota.
    if (size > 0) this.#used -= size;
  }

  /** Resizes within the quota. */
  override resize(address: number, size: number, alignment = 0, hint = 0): number {
    const before = this.#sizes.find(address);
    // None of this quota's blocks: the allocator behind says what is wrong with it.
    if (before < 0) return this.inner.resize(address, size, alignment, hint);
    requireRequest(size, alignment);
    if (this.#used - before + size > this.limit) return NO_ADDRESS;
    const to = this.inner.resize(address, size, alignment, hint);
    if (to === NO_ADDRESS) return to;
    this.#forget(address);
    return this.#enter(to, size);
  }

  /** Ends all lives. */
  override reset(): void {
    this.inner.reset();
    this.#forgetAll();
  }

  /** Ends all lives and gives all memory back. */
  override destroy(): void {
    this.inner.destroy();
    this.#forgetAll();
  }

  #forgetAll(): void {
    this.#sizes.clear();
    this.#used = 0;
  }

  /** With the quota's own state. */
  override stats(): HeapStats {
    const stats = this.inner.stats();
    return { ...stats, metadataBytes: stats.metadataBytes + this.#sizes.bytes };
  }

  /** Checks the allocator behind, and the count. */
  override check(): void {
    this.inner.check();
    let used = 0;
    this.#sizes.forEach((address, size) => {
      requireInvariant(this.inner.owns(address), address, "the quota counts live blocks");
      used += size;
    });
    requireInvariant(used === this.#used && used <= this.limit, used, "the quota counts what is live");
  }
}
