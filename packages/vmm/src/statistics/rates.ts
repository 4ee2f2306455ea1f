/** What happened per second of the clock: differences of the manager's counters, which cost one addition each and run always. */
import type { Clock } from "../ports.ts";
import type { VmmStats } from "../stats.ts";

/** Events per second, over the time since the sample before. All 0 where no time has passed. */
export interface Rates {
  /** Seconds that the rates are over. */
  readonly seconds: number;
  /** Faults that needed no store. */
  readonly minorFaults: number;
  /** Faults that read a page from a store. */
  readonly majorFaults: number;
  /** Of the minor faults, those for new pages. */
  readonly zeroFaults: number;
  /** Of the minor faults, copies on write. */
  readonly copyFaults: number;
  /** Faults that found the translation there: stale entries. */
  readonly spuriousFaults: number;
  /** Faults that could not be resolved. */
  readonly failedFaults: number;
  /** Pages read from swap and files. */
  readonly pagesFetched: number;
  /** Pages written to swap and files. */
  readonly pagesWritten: number;
  /** Pages that lost their frame. */
  readonly evictions: number;
}

type Counter = keyof VmmStats;

/** Turns counters into rates. Costs nothing between two samples. */
export class RateMeter {
  readonly #clock: Clock;
  readonly #stats: Readonly<VmmStats>;
  #before: Readonly<VmmStats>;
  #moment: number;

  /** A meter of a manager's counters, from now on. */
  constructor(clock: Clock, stats: Readonly<VmmStats>) {
    this.#clock = clock;
    this.#stats = stats;
    this.#before = { ...stats };
    this.#moment = clock.nanoseconds();
  }

  /** The rates since the last call, or since the meter was made. */
  sample(): Rates {
    const now = this.#clock.nanoseconds();
    const seconds = (now - this.#moment) / 1e9;
    const rates = this.#all(seconds);
    const { minorFaults, majorFaults, zeroFaults, copyFaults, spuriousFaults, failedFaults, evictions } = rates;
    const { swapIns, fileReads, swapOuts, fileWrites } = rates;
    const faults = { minorFaults, majorFaults, zeroFaults, copyFaults, spuriousFaults, failedFaults };
    if (seconds > 0) {
      this.#before = { ...this.#stats };
      this.#moment = now;
    }
    return { seconds, ...faults, pagesFetched: swapIns + fileReads, pagesWritten: swapOuts + fileWrites, evictions };
  }

  #all(seconds: number): VmmStats {
    const rates = { ...this.#stats };
    for (const name of Object.keys(rates) as Counter[])
      rates[name] = seconds > 0 ? (this.#stats[name] - this.#before[name]) / seconds : 0;
    return rates;
  }
}
