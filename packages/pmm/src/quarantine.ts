/*
 * Corrected memory errors: each frame has a leaky bucket that an error fills by one and time empties. A frame whose bucket
 * overflows is quarantined, that is, retired: many corrected errors foretell one that cannot be corrected.
 */
import { PmmError } from "./errors.ts";
import type { Retirement } from "./retirement.ts";
import type { Pfn } from "./units.ts";

/** Where time comes from: milliseconds, never backwards. */
export interface Clock {
  now(): number;
}

/** When a frame is quarantined. */
export interface QuarantineOptions {
  /** Corrected errors in the bucket at which a frame is retired, ≥ 1. */
  readonly limit: number;
  /** Errors that leak out of a bucket per hour. */
  readonly leakPerHour: number;
}

const HOUR_MS = 3_600_000;

/** Counts corrected errors and retires frames that have too many. */
export class Quarantine {
  readonly #retire: (pfn: Pfn) => Retirement;
  readonly #clock: Clock;
  readonly #options: QuarantineOptions;
  readonly #buckets = new Map<Pfn, { level: number; time: number }>();
  readonly #waiting = new Set<Pfn>();

  /** Retires through `memory`, an allocator. */
  constructor(memory: { retire(pfn: Pfn): Retirement }, clock: Clock, options: QuarantineOptions) {
    if (!(options.limit >= 1) || !(options.leakPerHour >= 0)) {
      throw new PmmError("bad-argument", "A quarantine needs a limit ≥ 1 and a leak ≥ 0");
    }
    this.#retire = (pfn) => memory.retire(pfn);
    this.#clock = clock;
    this.#options = options;
  }

  /** Frames that are to retire but were in use, ascending. */
  get waiting(): readonly Pfn[] {
    return [...this.#waiting].sort((a, b) => a - b);
  }

  /** Errors in a frame's bucket now. */
  levelOf(pfn: Pfn): number {
    const bucket = this.#buckets.get(pfn);
    if (bucket === undefined) return 0;
    const leaked = ((this.#clock.now() - bucket.time) / HOUR_MS) * this.#options.leakPerHour;
    return Math.max(0, bucket.level - leaked);
  }

  /** Notes one corrected error; the outcome of the retirement where it was one too many, else undefined. */
  corrected(pfn: Pfn): Retirement | undefined {
    const level = this.levelOf(pfn) + 1;
    this.#buckets.set(pfn, { level, time: this.#clock.now() });
    return level >= this.#options.limit ? this.#quarantine(pfn) : undefined;
  }

  /** Tries frames again that were on another worker's page stack; returns how many retired now. */
  retry(): number {
    let retired = 0;
    for (const pfn of this.waiting) if (this.#quarantine(pfn).retired) retired += 1;
    return retired;
  }

  /** Checks that no bucket is above the limit unless its frame waits or is retired. */
  check(): void {
    for (const [pfn, { level }] of this.#buckets) {
      if (level >= this.#options.limit && !this.#waiting.has(pfn)) {
        throw new PmmError("broken-invariant", "A full bucket belongs to a frame that waits to retire", { pfn });
      }
    }
  }

  #quarantine(pfn: Pfn): Retirement {
    const outcome = this.#retire(pfn);
    if (outcome.retired) {
      this.#waiting.delete(pfn);
      this.#buckets.delete(pfn);
    } else this.#waiting.add(pfn);
    return outcome;
  }
}
