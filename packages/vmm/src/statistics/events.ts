/** What happened to one space, one object, or all of a manager's memory: numbers that only grow. */
import type { Core } from "../core.ts";
import type { FaultOutcome } from "../outcome.ts";
import { PAGE_OBJECT } from "../pages/pages.ts";

/** Counts of faults, by kind. */
export interface FaultCounts {
  /** Faults that needed no store. */
  minorFaults: number;
  /** Faults that read a page from a store. */
  majorFaults: number;
  /** Of the minor faults, those for new pages. */
  zeroFaults: number;
  /** Of the minor faults, copies on write. */
  copyFaults: number;
  /** Faults that found the translation there: stale entries. */
  spuriousFaults: number;
  /** Faults that could not be resolved, those that have to wait included. */
  failedFaults: number;
}

/** What happened to pages: those of an object count for it, private ones for the space that mapped them last. */
export interface Events extends FaultCounts {
  /** Pages read from swap and files. */
  pagesFetched: number;
  /** Pages written to swap and files. */
  pagesWritten: number;
  /** Pages that lost their frame. */
  evictions: number;
}

/** All at zero. */
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

/** Where what happens to a page is counted; null: whose it is nobody knows any more. */
export function eventsOf({ mappings, objects, pages, sheets }: Core, page: number): Events | null {
  const object = pages.has(page, PAGE_OBJECT) ? objects.get(pages.owner[page]!) : undefined;
  if (object !== undefined) return object.events;
  return sheets.find(mappings.lastSheetOf(page))?.space.events ?? null;
}
