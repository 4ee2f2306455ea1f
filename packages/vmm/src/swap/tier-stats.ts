/** What became of one store of swap space. Counts are since the start unless they say "now". */
export interface SwapTierStats {
  /** Its place in the order of stores, from 0; stores among which pages are striped have the same. */
  readonly priority: number;
  /** Slots, bad ones included. */
  readonly slots: number;
  /** Slots that hold a page now. */
  readonly used: number;
  /** Slots that are never used again. */
  readonly bad: number;
  /** Slots that cannot be used until the store is back, which threw or rejected when they were to be written. */
  readonly doubtful: number;
  /** Whether the store takes no more pages because transfers failed. What it has can still be asked for. */
  readonly fenced: boolean;
  /** Transfers under way now; 0 for a synchronous store. */
  readonly underWay: number;
  /** Pages read, those that moved to a store behind this one included. */
  readonly reads: number;
  /** Pages written. */
  readonly writes: number;
  /** Reads that the store failed, those of a store that could not be reached included. */
  readonly failedReads: number;
  /** Writes that the store failed. */
  readonly failedWrites: number;
  /** Reads that returned other bytes than were written, as their checksum tells. */
  readonly mismatches: number;
  /** Pages that gave way to newer ones: they are in a store behind this one. */
  readonly movedDown: number;
  /** What the store threw or rejected with last, as text; null if it never did. */
  readonly lastError: string | null;
}
