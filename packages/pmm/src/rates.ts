/* Taken and given per second, by zone: two snapshots and a clock. */
import type { Clock } from "./quarantine.ts";
import type { PmmStats } from "./stats.ts";

/** Traffic of one zone. */
export interface ZoneRate {
  readonly zone: string;
  readonly takenPerSecond: number;
  readonly givenPerSecond: number;
}

/** Measures traffic between two calls of `read`. */
export class Rates {
  readonly #stats: () => PmmStats;
  readonly #clock: Clock;
  #last: PmmStats;
  #time: number;

  /** Of an allocator, by a clock in milliseconds. */
  constructor(memory: { stats(): PmmStats }, clock: Clock) {
    this.#stats = () => memory.stats();
    this.#clock = clock;
    this.#last = memory.stats();
    this.#time = clock.now();
  }

  /** Rates since the last call, or since the start; all 0 where no time has passed. */
  read(): ZoneRate[] {
    const stats = this.#stats();
    const time = this.#clock.now();
    const seconds = (time - this.#time) / 1000;
    const perSecond = (frames: number): number => (seconds > 0 ? frames / seconds : 0);
    const rates = stats.zones.map((zone) => {
      const before = this.#last.zones.find(({ name }) => name === zone.name);
      return {
        zone: zone.name,
        takenPerSecond: perSecond(zone.takenFrames - (before?.takenFrames ?? 0)),
        givenPerSecond: perSecond(zone.givenFrames - (before?.givenFrames ?? 0)),
      };
    });
    this.#last = stats;
    this.#time = time;
    return rates;
  }
}
