/** The 512 translations under one table in plain memory, single ones or one 2M leaf. */
import { ACCESSED, DIRTY, PRESENT } from "../rights.ts";
import { NO_FRAME, TABLE_PAGES, type Pfn } from "../units.ts";

/** Bits of a state that use sets, not whoever maps. */
export const STATE_MASK: number = ACCESSED | DIRTY;

/** The translations under one table. Invariant: where {@link leaf} is set, {@link used} is 0 and all entries are absent. */
export class PlainTable {
  readonly frames: Float64Array = new Float64Array(TABLE_PAGES).fill(NO_FRAME);
  /** Attributes and state; 0 where absent. */
  readonly states: Uint16Array = new Uint16Array(TABLE_PAGES);
  /** Present entries. */
  used = 0;
  /** Attributes and state of the 2M leaf that stands for all entries; 0 where there is none. */
  leaf = 0;
  /** First frame of that leaf. */
  leafFrame: Pfn = NO_FRAME;

  /** Makes an empty table a 2M leaf. */
  setLeaf(pfn: Pfn, attributes: number): void {
    this.leaf = attributes + PRESENT;
    this.leafFrame = pfn;
  }

  /** The leaf becomes 512 single translations with the same attributes and state. */
  split(): void {
    for (let at = 0; at < TABLE_PAGES; at++) this.frames[at] = this.leafFrame + at;
    this.states.fill(this.leaf);
    this.used = TABLE_PAGES;
    this.leaf = 0;
    this.leafFrame = NO_FRAME;
  }
}
