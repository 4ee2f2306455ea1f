/**
 * How short a manager's memory is, who is told, and who gives back: the gauge over its free frames, the meter of its stalls, and its shrinkers, in one place.
 */
import { PressureGauge, type PressureLevel, type Watermarks } from "./pressure-gauge.ts";
import { Shrinkers, type Shrinker, type ShrinkerStats, type ShrinkResult } from "./shrinkers.ts";
import { StallMeter, type Stall } from "./stall-meter.ts";
import type { Clock, FramePressure } from "../ports.ts";

/** Told of each new level, with the frames that are free then. */
export type PressureListener = (level: PressureLevel, freeFrames: number) => void;

/** What pressure is judged by. */
export interface PressureParts {
  /** Frames that hold pages now. */
  readonly resident: number;
  /** Frames that hold pages at most. */
  readonly residentLimit: number;
  /** How full the frame source is; null: unknown. */
  readonly framePressure: FramePressure | null;
  /** Time. */
  readonly clock: Clock;
}

/** Parts of the resident limit at which the level changes: free frames below 1/64, 1/32, 1/16. */
const MIN_SHARE = 64;

/** The pressure on a manager's memory. */
export class MemoryPressure {
  /** Time lost to waiting for memory. */
  readonly stalls: StallMeter;
  /** Caches that give memory back before pages go to swap. */
  readonly shrinkers: Shrinkers = new Shrinkers();
  readonly #parts: PressureParts;
  readonly #gauge: PressureGauge;
  readonly #listeners: Set<PressureListener> = new Set();
  #lastRound: readonly ShrinkResult[] = [];

  /** The pressure on the memory of `parts`. */
  constructor(parts: PressureParts) {
    this.#parts = parts;
    this.stalls = new StallMeter(parts.clock);
    this.stalls.activate();
    this.#gauge = new PressureGauge(marksOf(parts), (level, free) => {
      for (const listener of this.#listeners) listener(level, free);
    });
  }

  /** The level now: `none`, `low` (background work should run) or `min` (faults have to wait for frames). */
  get level(): PressureLevel {
    return this.update();
  }

  /** Changes of level so far. */
  get changes(): number {
    return this.#gauge.changes;
  }

  /** What each shrinker gave in the last round in which any was asked. */
  get lastRound(): readonly ShrinkResult[] {
    return this.#lastRound;
  }

  /** Frames that a fault could have without another page leaving. */
  get freeFrames(): number {
    const { resident, residentLimit, framePressure } = this.#parts;
    return Math.max(0, Math.min(residentLimit - resident, framePressure?.freeFrames ?? Infinity));
  }

  /** Looks at the free frames and tells listeners of a new level; the level. */
  update(): PressureLevel {
    return this.#gauge.update(this.freeFrames);
  }

  /** Calls `listener` at each change of level from now on; returns what ends that. */
  onLevel(listener: PressureListener): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Adds a cache that gives memory back; returns what removes it. */
  addShrinker(shrinker: Shrinker): () => void {
    return this.shrinkers.add(shrinker);
  }

  /** Asks the shrinkers, in order of priority, for `pages` pages; returns how many they gave together. */
  shrink(pages: number): number {
    const round = this.shrinkers.shrink(pages);
    if (round.length > 0) this.#lastRound = round;
    return round.reduce((sum, { gave }) => sum + gave, 0);
  }

  /** What each shrinker gave so far, in the order in which they are asked. */
  shrinkerStats(): ShrinkerStats[] {
    return this.shrinkers.stats();
  }

  /** Shares of time in which at least one task waited for memory. */
  some(): Stall {
    return this.stalls.some();
  }

  /** Shares of time in which all tasks did. */
  full(): Stall {
    return this.stalls.full();
  }

  /** Throws with the sentence of the broken invariant. */
  check(): void {
    this.#gauge.check();
    this.stalls.check();
    this.shrinkers.check();
  }
}

/** By the resident limit where there is one, else by the source's own watermarks. */
function marksOf({ residentLimit, framePressure }: PressureParts): Watermarks {
  if (Number.isFinite(residentLimit)) {
    const min = Math.max(1, Math.floor(residentLimit / MIN_SHARE));
    return { min, low: min * 2, high: min * 4 };
  }
  const { min = 0, low = 0, high = 0 } = framePressure?.watermarks ?? {};
  return { min, low: Math.max(low, min + 1), high: Math.max(high, low + 1, min + 2) };
}
