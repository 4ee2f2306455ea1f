/** What happened per second of the clock: differences of counters, which cost one addition each and run always. */
import type { Clock } from "../ports.ts";
import type { VmmStats } from "../stats.ts";
import { noEvents, type Events } from "./events.ts";

/** Events per second, over the time since the sample before. All 0 where no time has passed. */
export interface Rates extends Readonly<Events> {
  /** Seconds that the rates are over. */
  readonly seconds: number;
}

/** Turns counters into rates. Costs nothing between two samples. */
export class RateMeter {
  readonly #clock: Clock;
  readonly #read: () => Readonly<Events>;
  #before: Readonly<Events>;
  #moment: number;

  /** A meter of what `read` tells, from now on. */
  constructor(clock: Clock, read: () => Readonly<Events>) {
    this.#clock = clock;
    this.#read = read;
    this.#before = { ...read() };
    this.#moment = clock.nanoseconds();
  }

  /** The rates since the last call, or since the meter was made. */
  sample(): Rates {
    const now = this.#clock.nanoseconds();
    const seconds = (now - this.#moment) / 1e9;
    const rates = noEvents();
    if (seconds <= 0) return { ...rates, seconds };
    const events = { ...this.#read() };
    for (const name of Object.keys(rates) as (keyof Events)[])
      rates[name] = (events[name] - this.#before[name]) / seconds;
    this.#before = events;
    this.#moment = now;
    return { ...rates, seconds };
  }
}

/** The events of a whole manager, by its counters. */
export function eventsOfAll(stats: Readonly<VmmStats>): Events {
  const { minorFaults, majorFaults, zeroFaults, copyFaults, spuriousFaults, failedFaults, evictions } = stats;
  return {
    minorFaults,
    majorFaults,
    zeroFaults,
    copyFaults,
    spuriousFaults,
    failedFaults,
    pagesFetched: stats.swapIns + stats.fileReads,
    pagesWritten: stats.swapOuts + stats.fileWrites,
    evictions,
  };
}
