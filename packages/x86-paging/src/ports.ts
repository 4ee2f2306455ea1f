/** What this package needs of others: the words of the frames that hold tables, and, to build tables, frames. */

import type { Pfn } from "./units.ts";

/**
 * The words of physical memory in which paging structures lie.
 *
 * One array may serve many frames, so that a walk creates no view. Readers (walker, iterator, printers) may be given a
 * copy; writers (mapper, accessed and dirty bits) need live memory. Both methods take any frame number that an
 * entry can hold and never throw: a frame that is not backed gives an array that reads as the bus would (see `ABSENT_FRAME`).
 */
export interface TableMemory {
  /** The array that holds the frame's 1024 words. */
  words(pfn: Pfn): Uint32Array;
  /** The index of the frame's first word in that array. */
  base(pfn: Pfn): number;
}

/** Where the mapper takes the frames of new tables from, and brings them back to. */
export interface TableFrames {
  /** A frame whose 4096 bytes read as zero, or `NO_FRAME`. */
  take(): Pfn;
  /** Takes a table frame back. Called only when the flush plan that set it free is completed, or for a frame never linked. */
  give(pfn: Pfn): void;
}

/** 1024 zero words: what `TableMemory.words` may return, with base 0, for a frame that does not exist. Never written. */
export const ABSENT_FRAME: Uint32Array = new Uint32Array(1024);
