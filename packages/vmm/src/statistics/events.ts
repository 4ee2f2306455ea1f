/** What happened to one region, space or object, or to all of a manager's memory: numbers that only grow. */
import type { FaultOutcome } from "../outcome.ts";

/** Counts of faults, by kind. */
export interface FaultCounts {
  /** Faults resolved without reading from a store. */
  minorFaults: number;
  /** Faults that read a page from a store. */
  majorFaults: number;
  /** Of the minor faults, those that filled a new page with zeroes or mapped the frame of zeroes. */
  zeroFaults: number;
  /** Of the minor faults, those that copied a page on write. */
  copyFaults: number;
  /** Faults that found the translation already there: a stale entry elsewhere. */
  spuriousFaults: number;
  /** Faults that could not be resolved, those that have to wait included. */
  failedFaults: number;
}

/** What happened to pages, and the faults on them. */
export interface Events extends FaultCounts {
  /** Pages read from swap and files. */
  pagesFetched: number;
  /** Pages written to swap and files. */
  pagesWritten: number;
  /** Pages that lost their frame. */
  evictions: number;
}

/** All at zero. One literal: adding to an object that was made by spreading another one took V8 ten times as long. */
export function noEvents(): Events {
  return {
    minorFaults: 0,
    majorFaults: 0,
    zeroFaults: 0,
    copyFaults: 0,
    spuriousFaults: 0,
    failedFaults: 0,
    pagesFetched: 0,
    pagesWritten: 0,
    evictions: 0,
  };
}

/** The names of all counts. */
export const EVENT_NAMES: readonly (keyof Events)[] = Object.keys(noEvents()) as (keyof Events)[];

/** Counts one fault. */
export function countFault(counts: FaultCounts, outcome: FaultOutcome): void {
  if (outcome === "zero") {
    counts.minorFaults++;
    counts.zeroFaults++;
  } else if (outcome === "minor") counts.minorFaults++;
  else if (outcome === "major") counts.majorFaults++;
  else if (outcome === "copy") {
    counts.minorFaults++;
    counts.copyFaults++;
  } else if (outcome === "spurious") counts.spuriousFaults++;
  else counts.failedFaults++;
}
