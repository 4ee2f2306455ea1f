/**
 * The CPU's shortcut to host memory, one per privilege: for a 4K page whose translation is in the first-level TLB and
 * that plain memory answers, a tag per access kind tells in one comparison that everything is in order. A slot is half a
 * cache line of the host:
 *
 *   4·slot          +1              +2              +3            (float64)     slot = page number mod 4096
 *   ┌───────────────┬───────────────┬───────────────┬───────┬───────┐
 *   │ load tag      │ store tag     │ fetch tag     │ host  │       │           host: 32-bit word 8·slot + 6
 *   └───────────────┴───────────────┴───────────────┴───────┴───────┘
 *
 *   tag    the page's address when accesses of the kind are allowed (stores: and D is set), else NaN
 *   host   index of the page's first word in the host buffer
 *
 * Invariant: a tag that is not NaN belongs to a translation that is in the TLB of its kind now. The check
 * `tag === va − (va & 0xffc)` fails for a misaligned address too, because its low two bits stay in the difference.
 */
import type { VirtAddr } from "../units.ts";

/** Slots of a view, a power of two. */
const SLOTS = 4096;

/** One privilege's shortcuts. */
export class FastView {
  /** The tags; see the top of this file. */
  readonly tags: Float64Array = new Float64Array(4 * SLOTS).fill(NaN);
  /** The same bytes, for the host indices. */
  readonly words: Int32Array = new Int32Array(this.tags.buffer);
  private readonly filled: Int32Array = new Int32Array(SLOTS);
  private count = 0;

  /** Makes sure that a slot speaks of `page`, whose first word is at `host`: tags of another page are dropped. Returns the slot's first index. */
  claim(slot: number, page: VirtAddr, host: number): number {
    const { tags } = this;
    const at = slot * 4;
    if (tags[at]! !== page && tags[at + 1]! !== page && tags[at + 2]! !== page) {
      tags[at] = NaN;
      tags[at + 1] = NaN;
      tags[at + 2] = NaN;
      if (this.count < SLOTS) this.filled[this.count] = at;
      this.count++;
    }
    this.words[at * 2 + 6] = host;
    return at;
  }

  /** Forgets one slot's data tags. */
  dropData(slot: number): void {
    if (this.count === 0) return;
    this.tags[slot * 4] = NaN;
    this.tags[slot * 4 + 1] = NaN;
  }

  /** Forgets one slot's fetch tag. */
  dropFetch(slot: number): void {
    if (this.count === 0) return;
    this.tags[slot * 4 + 2] = NaN;
  }

  /** Forgets everything. Cost: proportional to the slots filled since the last time. */
  dropAll(): void {
    if (this.count >= SLOTS) this.tags.fill(NaN);
    else
      for (let nth = 0; nth < this.count; nth++) {
        const at = this.filled[nth]!;
        this.tags[at] = NaN;
        this.tags[at + 1] = NaN;
        this.tags[at + 2] = NaN;
      }
    this.count = 0;
  }
}
