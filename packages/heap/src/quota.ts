import { NO_ADDRESS, requireRequest } from "./allocator.ts";
import type { Allocator } from "./allocator.ts";
import { HeapError } from "./errors.ts";
import { Wrapper } from "./wrapper.ts";

/** A wrapper that refuses what would take more than `limit` in live blocks (usable sizes): exhaustion is its answer. */
export class Quota extends Wrapper {
  /** The most that may be live. */
  readonly limit: number;
  #used = 0;

  constructor(inner: Allocator, limit: number) {
    super(inner);
    if (!(limit >= 0)) throw new HeapError("bad-option", limit);
    this.limit = limit;
  }

  /** What is live. */
  get used(): number {
    return this.#used;
  }

  #admit(address: number): number {
    if (address === NO_ADDRESS) return address;
    const size = this.inner.usableSize(address);
    if (this.#used + size > this.limit) {
      this.inner.free(address);
      return NO_ADDRESS;
    }
    this.#used += size;
    return address;
  }

  /** Allocates within the quota. */
  override allocate(size: number, alignment = 0, hint = 0): number {
    requireRequest(size, alignment);
    return this.#used + size > this.limit ? NO_ADDRESS : this.#admit(this.inner.allocate(size, alignment, hint));
  }

  /** Frees, and counts. */
  override free(address: number): void {
    const size = this.inner.owns(address) ? this.inner.usableSize(address) : 0;
    this.inner.free(address);
    this.#used -= size;
  }

  /** Resizes within the quota, whose measure is the size asked for until the block has one. */
  override resize(address: number, size: number): number {
    const before = this.inner.usableSize(address);
    requireRequest(size, 0);
    if (this.#used - before + size > this.limit) return NO_ADDRESS;
    const to = this.inner.resize(address, size);
    if (to !== NO_ADDRESS) this.#used += this.inner.usableSize(to) - before;
    return to;
  }

  /** Ends all lives. */
  override reset(): void {
    this.inner.reset();
    this.#used = 0;
  }

  /** Gives all memory back. */
  override destroy(): void {
    this.inner.destroy();
    this.#used = 0;
  }

  /** Checks the allocator behind, and the count. */
  override check(): void {
    this.inner.check();
    let live = 0;
    this.walk((address) => (live += this.inner.usableSize(address)));
    if (live !== this.#used) throw new HeapError("corrupt", live, "the quota counts what is live");
  }
}
