/* Taken and given per second, by zone, node, order, colour and client: two looks at the traffic and a clock. */
import type { Clock } from "./quarantine.ts";
import type { Traffic, TrafficRow } from "./traffic.ts";

/** Traffic of one zone, node, order, colour or client, in frames per second. */
export interface Rate {
  /** As in `TrafficRow`. */
  readonly name: string;
  readonly takenPerSecond: number;
  readonly givenPerSecond: number;
}

/** Rates by what they are of; see `Traffic`. */
export type TrafficRates = { readonly [kind in keyof Traffic]: readonly Rate[] };

/** Measures traffic between two calls of `read`. */
export class Rates {
  readonly #traffic: () => Traffic;
  readonly #clock: Clock;
  #last: Traffic;
  #time: number;

  /** Of an allocator, by a clock in milliseconds. */
  constructor(memory: { traffic(): Traffic }, clock: Clock) {
    this.#traffic = () => memory.traffic();
    this.#clock = clock;
    this.#last = memory.traffic();
    this.#time = clock.now();
  }

  /**
   * Rates since the last call, or since the start; all 0 where no time has passed, and the next call says it then. Exact to the frame for what happened in between while workers rest;
   * of a worker at work just now, a take may show in the next read only.
   */
  read(): TrafficRates {
    const traffic = this.#traffic();
    const time = this.#clock.now();
    const seconds = (time - this.#time) / 1000;
    const last = this.#last;
    if (seconds > 0) {
      this.#last = traffic;
      this.#time = time;
    }
    const rates = (kind: keyof Traffic): Rate[] => ratesOf(traffic[kind], last[kind], seconds);
    return {
      zones: rates("zones"),
      nodes: rates("nodes"),
      orders: rates("orders"),
      colours: rates("colours"),
      clients: rates("clients"),
    };
  }
}

/** Per second, row by row; what had no row before had no traffic. */
function ratesOf(rows: readonly TrafficRow[], last: readonly TrafficRow[], seconds: number): Rate[] {
  const before = new Map(last.map((row) => [row.name, row]));
  const perSecond = (frames: number): number => (seconds > 0 ? frames / seconds : 0);
  return rows.map(({ name, takenFrames, givenFrames }) => ({
    name,
    takenPerSecond: perSecond(takenFrames - (before.get(name)?.takenFrames ?? 0)),
    givenPerSecond: perSecond(givenFrames - (before.get(name)?.givenFrames ?? 0)),
  }));
}
