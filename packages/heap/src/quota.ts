import { NO_ADDRESS, requireInvariant, requireRequest } from "./allocator.ts";
import type { Allocator } from "./allocator.ts";
import { HeapError } from "./errors.ts";
import { LiveTable } from "./live-table.ts";
import { Wrapper } from "./wrapper.ts";

/** Records at first. */
const LEAST = 64;

/**
 * A wrapper that refuses what would make the sizes asked for of live blocks more than `limit` together: exhaustion is its answer. Exact, also where a block is resized, as it is
 * decided before the allocator behind is asked; what that one rounds up is not counted.
 */
export class Quota extends Wrapper {
  /** The most that may be live. */
  readonly limit: number;
  /** From a live block's address to its record. */
  readonly #records: LiveTable = new LiveTable((record) => this.#addresses[record]!);
  /** The address of each record's block, NO_ADDRESS where the record is free. */
  #addresses: Float64Array = new Float64Array(LEAST);
  /** The size asked for of each record's block; in a free record, the free one after it. */
  #sizes: Float64Array = new Float64Array(LEAST);
  /** Records that have ever been in use. */
  #count = 0;
  /** The first free one of those, −1: none. */
  #free = -1;
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
    const record = this.#free < 0 ? this.#extend() : this.#free;
    if (record === this.#free) this.#free = this.#sizes[record]!;
    this.#addresses[record] = address;
    this.#sizes[record] = size;
    this.#records.add(address, record);
    this.#used += size;
    return address;
  }

  #extend(): number {
    if (this.#count === this.#sizes.length) {
      const [addresses, sizes] = [this.#addresses, this.#sizes];
      this.#addresses = new Float64Array(2 * this.#count);
      this.#sizes = new Float64Array(2 * this.#count);
      this.#addresses.set(addresses);
      this.#sizes.set(sizes);
    }
    return this.#count++;
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
    const record = this.#records.take(address);
    if (record < 0) return; // From before this quota.
    this.#used -= this.#sizes[record]!;
    this.#addresses[record] = NO_ADDRESS;
    this.#sizes[record] = this.#free;
    this.#free = record;
  }

  /** Resizes within the quota. */
  override resize(address: number, size: number, alignment = 0, hint = 0): number {
    const record = this.#records.find(address);
    // None of this quota's blocks: the allocator behind says what is wrong with it.
    if (record < 0) return this.inner.resize(address, size, alignment, hint);
    requireRequest(size, alignment);
    const more = size - this.#sizes[record]!;
    if (this.#used + more > this.limit) return NO_ADDRESS;
    const to = this.inner.resize(address, size, alignment, hint);
    if (to === NO_ADDRESS) return to;
    if (to !== address) {
      this.#records.take(address);
      this.#addresses[record] = to;
      this.#records.add(to, record);
    }
    this.#sizes[record] = size;
    this.#used += more;
    return to;
  }

  /** Ends all lives. */
  override reset(): void {
    this.inner.reset();
    this.#records.clear();
    this.#count = 0;
    this.#free = -1;
    this.#used = 0;
  }

  /** Checks the allocator behind, and the count. */
  override check(): void {
    this.inner.check();
    let used = 0;
    let live = 0;
    for (let record = 0; record < this.#count; record++) {
      const address = this.#addresses[record]!;
      if (address === NO_ADDRESS) continue;
      requireInvariant(this.inner.owns(address), address, "the quota counts live blocks");
      used += this.#sizes[record]!;
      live++;
    }
    requireInvariant(live === this.#records.count, live, "the quota finds each block that it counts");
    requireInvariant(used === this.#used && used <= this.limit, used, "the quota counts what is live");
  }
}
