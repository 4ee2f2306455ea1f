/**
 * The CPU's shortcut to host memory, one per privilege: for a 4K page whose translation is in the first-level TLB and
 * that plain memory answers, a tag per access kind tells in one comparison that everything is in order.
 *
 *   slot            = page number mod 4096
 *   load[slot]      the page's address when loads are allowed, else NaN
 *   store[slot]     the page's address when stores are allowed and D is set, else NaN
 *   fetch[slot]     the page's address when fetches are allowed, else NaN
 *   host[slot]      index of the page's first word in the host buffer
 *
 * Invariant: a tag that is not NaN belongs to a translation that is in the TLB of its kind now. The check
 * `tag[slot] === va − (va & 0xffc)` fails for a misaligned address too, because its low two bits stay in the difference.
 */
import type { VirtAddr } from "../units.ts";

/** Slots of a view, a power of two. */
export const FAST_SLOTS = 4096;

/** Mask of a slot number. */
export const FAST_MASK: number = FAST_SLOTS - 1;

/** One privilege's shortcuts. */
export class FastView {
  /** Load tags. */
  readonly load: Float64Array = new Float64Array(FAST_SLOTS).fill(NaN);
  /** Store tags. */
  readonly store: Float64Array = new Float64Array(FAST_SLOTS).fill(NaN);
  /** Fetch tags. */
  readonly fetch: Float64Array = new Float64Array(FAST_SLOTS).fill(NaN);
  /** Word index of the page in the host buffer. */
  readonly host: Int32Array = new Int32Array(FAST_SLOTS);
  private readonly filled: Int32Array = new Int32Array(FAST_SLOTS);
  private count = 0;

  /** Makes sure that a slot speaks of `page`: tags of another page are dropped. */
  claim(slot: number, page: VirtAddr, host: number): void {
    if (this.load[slot]! !== page && this.store[slot]! !== page && this.fetch[slot]! !== page) {
      this.load[slot] = NaN;
      this.store[slot] = NaN;
      this.fetch[slot] = NaN;
      if (this.count < FAST_SLOTS) this.filled[this.count] = slot;
      this.count++;
    }
    this.host[slot] = host;
  }

  /** Forgets one slot's data tags. */
  dropData(slot: number): void {
    if (this.count === 0) return;
    this.load[slot] = NaN;
    this.store[slot] = NaN;
  }

  /** Forgets one slot's fetch tag. */
  dropFetch(slot: number): void {
    if (this.count === 0) return;
    this.fetch[slot] = NaN;
  }

  /** Forgets everything. Cost: proportional to the slots filled since the last time. */
  dropAll(): void {
    if (this.count >= FAST_SLOTS) {
      this.load.fill(NaN);
      this.store.fill(NaN);
      this.fetch.fill(NaN);
    } else
      for (let at = 0; at < this.count; at++) {
        const slot = this.filled[at]!;
        this.load[slot] = NaN;
        this.store[slot] = NaN;
        this.fetch[slot] = NaN;
      }
    this.count = 0;
  }
}
