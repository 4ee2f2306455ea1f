/** What happened per second of the clock: differences of counts, which cost one addition each and run always. */
import type { Core } from "../core.ts";
import type { ObjectKind } from "../objects/object.ts";
import type { Clock } from "../ports.ts";
import { addressOf, type VirtAddr } from "../units.ts";
import { EVENT_NAMES, noEvents, type Events } from "./events.ts";

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
    if (seconds <= 0) return { ...noEvents(), seconds };
    const events = { ...this.#read() };
    const rates = perSecond(events, this.#before, seconds);
    this.#before = events;
    this.#moment = now;
    return { ...rates, seconds };
  }
}

/** What happened in a region. */
export interface RegionRates extends Readonly<Events> {
  /** Its first address. */
  readonly start: VirtAddr;
  /** The address behind it. */
  readonly end: VirtAddr;
}

/** What happened to a space. */
export interface SpaceRates extends Readonly<Events> {
  /** Its number. */
  readonly asid: number;
  /** Its name, empty if it has none. */
  readonly name: string;
  /** Its regions, by address. */
  readonly regions: readonly RegionRates[];
}

/** What happened to an object. */
export interface ObjectRates extends Readonly<Events> {
  /** Its number. */
  readonly number: number;
  /** What it is. */
  readonly kind: ObjectKind;
}

/** What happened to pages in the frames of a NUMA node. */
export interface NodeRates extends Readonly<Events> {
  /** The node; −1: faults that ended without a page in a frame, and everything where nobody knows nodes. */
  readonly node: number;
}

/** What happened to what a policy chooses from: faults in regions that are not locked, and transfers of pages that no lock holds. */
export interface PolicyRates extends Readonly<Events> {
  /** Its name. */
  readonly name: string;
}

/** Events per second of everything that a manager has, over the time since the sample before. */
export interface RateReport {
  /** Seconds that the rates are over. */
  readonly seconds: number;
  /** In all. */
  readonly system: Readonly<Events>;
  /** By space, the kernel's included. */
  readonly spaces: readonly SpaceRates[];
  /** By object. */
  readonly objects: readonly ObjectRates[];
  /** By NUMA node. */
  readonly nodes: readonly NodeRates[];
  /** Of what may leave. */
  readonly policy: PolicyRates;
}

/** Rates of everything: what {@link RateMeter} is for one thing. What came into being since the last sample has its own from then on. */
export class RateMeters {
  readonly #core: Core;
  /** Counts at the last sample, by the space, region or object, "system", "policy", or node that they are of. */
  #before: Map<unknown, Readonly<Events>> = new Map();
  #moment: number;

  /** Meters of a core, from now on. */
  constructor(core: Core) {
    this.#core = core;
    this.#moment = core.clock.nanoseconds();
    this.#report(1);
  }

  /** The rates since the last call, or since the meters were made. O(spaces + regions + objects). */
  sample(): RateReport {
    const now = this.#core.clock.nanoseconds();
    const seconds = (now - this.#moment) / 1e9;
    const before = this.#before;
    const report = this.#report(seconds);
    if (seconds > 0) this.#moment = now;
    else this.#before = before;
    return report;
  }

  #report(seconds: number): RateReport {
    const { objects, policy, spaces, tally } = this.#core;
    const before = this.#before;
    const counts = new Map<unknown, Readonly<Events>>();
    const rates = (of: unknown, events: Readonly<Events>): Events => {
      counts.set(of, { ...events });
      return seconds > 0 ? perSecond(events, before.get(of) ?? noEvents(), seconds) : noEvents();
    };
    this.#before = counts;
    return {
      seconds,
      system: rates("system", tally.system),
      spaces: [...spaces.values()].map((space) => ({
        ...rates(space, space.events),
        asid: space.asid,
        name: space.name,
        regions: space.regions.within(space.low, space.high).map((region) => ({
          ...rates(region, region.events),
          start: addressOf(region.start),
          end: addressOf(region.end),
        })),
      })),
      objects: [...objects.values()].map((object) => ({
        ...rates(object, object.events),
        number: object.number,
        kind: object.kind,
      })),
      nodes: [...tally.nodes].sort(([a], [b]) => a - b).map(([node, events]) => ({ ...rates(node, events), node })),
      policy: { ...rates("policy", tally.policy), name: policy.name },
    };
  }
}

function perSecond(now: Readonly<Events>, before: Readonly<Events>, seconds: number): Events {
  const rates = noEvents();
  for (const name of EVENT_NAMES) rates[name] = (now[name] - before[name]) / seconds;
  return rates;
}
