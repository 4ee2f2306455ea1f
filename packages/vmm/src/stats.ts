/** Counters of the manager: plain numbers, so that counting costs one addition. */
import type { FaultCounts } from "./statistics/events.ts";

/** What happened since the manager was made. Units: pages or events. */
export interface VmmStats extends FaultCounts {
  /** Pages mapped by fault-around or read ahead without a fault of their own. */
  prefetched: number;
  /** Of these, pages that were read from a store. */
  fetchedAhead: number;
  /** Pages read ahead that were used before they left. */
  prefetchHits: number;
  /** Pages read ahead that left without having been used. */
  prefetchWaste: number;
  /** Pages of files that were let go behind a sequential stream. */
  droppedBehind: number;
  /** Pages that lost their frame. */
  evictions: number;
  /** Times that the accessed bits of all pages were gathered. */
  harvests: number;
  /** Pages written to swap or to their file. */
  writebacks: number;
  /** Pages read from swap. */
  swapIns: number;
  /** Pages written to swap. */
  swapOuts: number;
  /** Pages read from files. */
  fileReads: number;
  /** Pages written to files. */
  fileWrites: number;
  /** Stores that failed a transfer. */
  ioErrors: number;
  /** Frames filled with zeroes while somebody waited. */
  zeroedFrames: number;
  /** Frames filled with zeroes in idle time. */
  stockedFrames: number;
  /** Pages moved to another frame. */
  migrations: number;
}

/** All counters at zero; one literal, as `noEvents` is. */
export function emptyStats(): VmmStats {
  return {
    minorFaults: 0,
    majorFaults: 0,
    zeroFaults: 0,
    copyFaults: 0,
    spuriousFaults: 0,
    failedFaults: 0,
    prefetched: 0,
    fetchedAhead: 0,
    prefetchHits: 0,
    prefetchWaste: 0,
    droppedBehind: 0,
    evictions: 0,
    harvests: 0,
    writebacks: 0,
    swapIns: 0,
    swapOuts: 0,
    fileReads: 0,
    fileWrites: 0,
    ioErrors: 0,
    zeroedFrames: 0,
    stockedFrames: 0,
    migrations: 0,
  };
}
