/**
 * The upper part of the walk that most misses need: 4-level tables in plain memory whose entries have A set and nothing odd.
 *
 * Every entry is read every time. What is remembered is only where the table is kept that the entry read last at a level refers
 * to: while root and entries read the same, no frame is looked up and no load waits for another. Frame numbers stay 32-bit
 * integers; whatever fails the one test per entry is left to the walk that decides exactly.
 */
import type { PagingState } from "@pagewright/x86-paging";
import type { PhysicalMemory } from "../memory/physical-memory.ts";
import type { Pfn, Vpn } from "../units.ts";

/** Present, accessed. */
const USED = 0x21;
/** These and the bit that makes an entry a leaf (in the root table: reserved). */
const USED_OR_LARGE = 0xa1;
/** Entries that a walk down to the page table reads. */
export const QUICK_READS = 3;

/** The upper part of a 4-level walk. */
export class QuickWalk {
  /** After `table`: U and W (bits 2:1) accumulated by AND; the rest is not meaningful. */
  low = 0;
  /** After `table`: NX (bit 31) accumulated by OR; the rest is not meaningful. */
  high = 0;
  declare private readonly memory: PhysicalMemory;
  declare private readonly state: PagingState;
  private root: Pfn = -1;
  private rootAt = 0;
  /** The root's entry read last (0, which is not present: none) and the index of the first word of the table below it. */
  private low4 = 0;
  private high4 = 0;
  private upperAt = 0;
  /** The same of the table below the root. */
  private low3 = 0;
  private high3 = 0;
  private directoryAt = 0;

  /** Creates a walk through `memory` under `state`. */
  constructor(memory: PhysicalMemory, state: PagingState) {
    this.memory = memory;
    this.state = state;
    memory.onMove(() => {
      this.forget();
    });
  }

  /** Forgets what was read: whenever tables are kept elsewhere, or other bits are reserved. */
  forget(): void {
    this.root = -1;
    this.low4 = 0;
    this.low3 = 0;
    this.upperAt = 0;
    this.directoryAt = 0;
  }

  /**
   * Returns the place (see `PhysicalMemory.place`) of the page table for a canonical `vpn` and sets `low` and `high`; a number ≤ 0
   * where the exact walk must decide. Changes nothing in memory.
   */
  table(vpn: Vpn): number {
    if (this.state.root !== this.root && !this.takeRoot()) return 0;
    const { words } = this.memory.host;
    let at = this.rootAt + (Math.floor(vpn * 2 ** -27) & 511) * 2;
    const low4 = words[at]! | 0;
    const high4 = words[at + 1]! | 0;
    if ((low4 !== this.low4 || high4 !== this.high4) && !this.takeUpper(low4, high4)) return 0;
    at = this.upperAt + ((vpn >>> 17) & 0x3fe);
    const low3 = words[at]! | 0;
    const high3 = words[at + 1]! | 0;
    if ((low3 !== this.low3 || high3 !== this.high3) && !this.takeDirectory(low3, high3)) return 0;
    at = this.directoryAt + ((vpn >>> 8) & 0x3fe);
    const low2 = words[at]! | 0;
    const high2 = words[at + 1]! | 0;
    const low = low4 & low3 & low2;
    if ((low & 1) === 0 || this.isOdd(low2, high2)) return 0;
    this.low = low;
    this.high = high4 | high3 | high2;
    return this.memory.place(((high2 & 0x7ff) << 20) | (low2 >>> 12));
  }

  private isOdd(low: number, high: number): boolean {
    return (((low & USED_OR_LARGE) ^ USED) | (high & this.state.oddHigh)) !== 0;
  }

  private takeRoot(): boolean {
    const place = this.memory.place(this.state.root);
    if (place <= 0) return false;
    this.root = this.state.root;
    this.rootAt = place - 1;
    return true;
  }

  private takeUpper(low: number, high: number): boolean {
    const place = this.placeBelow(low, high);
    if (place <= 0) return false;
    this.low4 = low;
    this.high4 = high;
    this.upperAt = place - 1;
    return true;
  }

  private takeDirectory(low: number, high: number): boolean {
    const place = this.placeBelow(low, high);
    if (place <= 0) return false;
    this.low3 = low;
    this.high3 = high;
    this.directoryAt = place - 1;
    return true;
  }

  private placeBelow(low: number, high: number): number {
    return this.isOdd(low, high) ? 0 : this.memory.place(((high & 0x7ff) << 20) | (low >>> 12));
  }
}
