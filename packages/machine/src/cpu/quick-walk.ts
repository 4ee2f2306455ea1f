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
import type { StructureCaches } from "./structure-caches.ts";

/** Present, accessed. */
const USED = 0x21;
/** These and the bit that makes an entry a leaf (in the root table: reserved). */
const USED_OR_LARGE = 0xa1;
/** U and W of the words of an entry are bits of rights as they are. */
const USER_AND_WRITE = 6;
/** Rights that entries of 4-level tables never take away: R, and X in user mode. */
const ALWAYS = 17;

/** Rights that words of an entry give, or those of several: low words by AND, high words by OR. */
export function rightsOf(low: number, high: number): number {
  return (low & USER_AND_WRITE) + ALWAYS + (~(high >>> 28) & 8);
}

/** The upper part of a 4-level walk. */
export class QuickWalk {
  /** After a walk: rights accumulated down to the page table. */
  rights = 0;
  declare private readonly memory: PhysicalMemory;
  declare private readonly state: PagingState;
  /** Host memory: held here because reading it through the memory costs three dependent loads. */
  declare private words: Uint32Array;
  private root: Pfn = -1;
  private rootAt = 0;
  /** The root's entry read last (0: none, and an entry that reads so is never taken for it) and the index of the first word of the table below it. */
  private low4 = 0;
  private high4 = 0;
  private upperAt = 0;
  /** The same of the table below the root. */
  private low3 = 0;
  private high3 = 0;
  private directoryAt = 0;
  /** Words accumulated down to it. */
  private aboveLow = 0;
  private aboveHigh = 0;
  /** The page directory's entry read last. */
  private low2 = 0;
  private high2 = 0;

  /** Creates a walk through `memory` under `state`. */
  constructor(memory: PhysicalMemory, state: PagingState) {
    this.memory = memory;
    this.state = state;
    this.words = memory.host.words;
    memory.onMove(() => {
      this.words = memory.host.words;
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
   * Returns the place (see `PhysicalMemory.place`) of the page table for a canonical `vpn` and sets `rights`; a number ≤ 0
   * where the exact walk must decide. Changes nothing in memory.
   */
  table(vpn: Vpn): number {
    if (this.state.root !== this.root && !this.takeRoot()) return 0;
    const { words } = this;
    const at = this.rootAt + (Math.floor(vpn * 2 ** -27) & 511) * 2;
    const low = words[at]! | 0;
    const high = words[at + 1]! | 0;
    if (low === 0 || ((low !== this.low4 || high !== this.high4) && !this.takeUpper(low, high))) return 0;
    return this.tableFromUpper(vpn, this.upperAt, low, high);
  }

  /** {@link table} from the place of a table of `level` (2 or 3) on; `rights` were accumulated down to it. */
  tableBelow(level: number, place: number, rights: number, vpn: Vpn): number {
    if (place <= 0) return 0;
    const low = (rights & USER_AND_WRITE) + USED;
    const high = ((rights & 8) ^ 8) << 28;
    return level === 2
      ? this.tableFromDirectory(vpn, place - 1, low, high)
      : this.tableFromUpper(vpn, place - 1, low, high);
  }

  private tableFromUpper(vpn: Vpn, table: number, low4: number, high4: number): number {
    const { words } = this;
    const at = table + ((vpn >>> 17) & 0x3fe);
    const low = words[at]! | 0;
    const high = words[at + 1]! | 0;
    if (low === 0 || ((low !== this.low3 || high !== this.high3) && !this.takeDirectory(low, high))) return 0;
    this.aboveLow = low4 & low;
    this.aboveHigh = high4 | high;
    return this.tableFromDirectory(vpn, this.directoryAt, low4 & low, high4 | high);
  }

  private tableFromDirectory(vpn: Vpn, table: number, low3: number, high3: number): number {
    const { words } = this;
    const at = table + ((vpn >>> 8) & 0x3fe);
    const low = words[at]! | 0;
    const high = words[at + 1]! | 0;
    if (this.isOdd(low, high)) return 0;
    this.low2 = low;
    this.high2 = high;
    this.rights = rightsOf(low3 & low, high3 | high);
    return this.memory.place(frameOf(low, high));
  }

  /** Puts the entries that the last walk, from `level` on (0: from the root), has read into `structures`. */
  remember(structures: StructureCaches, level: number, vpn: Vpn, asid: number): void {
    if (level === 0) structures.fill(4, vpn, asid, frameOf(this.low4, this.high4), rightsOf(this.low4, this.high4));
    if (level !== 2)
      structures.fill(3, vpn, asid, frameOf(this.low3, this.high3), rightsOf(this.aboveLow, this.aboveHigh));
    structures.fill(2, vpn, asid, frameOf(this.low2, this.high2), this.rights);
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
    return this.isOdd(low, high) ? 0 : this.memory.place(frameOf(low, high));
  }
}

/** The frame of the table that the words of an entry refer to. */
function frameOf(low: number, high: number): Pfn {
  return ((high & 0x7ff) << 20) | (low >>> 12);
}
