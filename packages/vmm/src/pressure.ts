/** `@pagewright/vmm/pressure`: what to do when memory runs short, and how to see that it does. */
export { PressureGauge, type PressureLevel, type Watermarks } from "./pressure/pressure-gauge.ts";
export { MemoryPressure, type PressureListener, type PressureParts } from "./pressure/memory-pressure.ts";
export { StallMeter, type Stall } from "./pressure/stall-meter.ts";
export { Shrinkers, type Shrinker, type ShrinkerStats, type ShrinkResult } from "./pressure/shrinkers.ts";
export { NEVER_DROPPED, NOT_DROPPED, PurgeableRanges, type PurgeOutcome } from "./pressure/purgeable.ts";
export {
  chooseVictim,
  largestFirst,
  type OutOfMemoryCandidate,
  type OutOfMemoryChoice,
  type OutOfMemoryPolicy,
  type OutOfMemoryScore,
} from "./pressure/out-of-memory.ts";
export { IdleTracker, type AccessHistogram } from "./reclaim/idle-tracker.ts";
export { RefaultMeter, type RefaultStats } from "./reclaim/refault-meter.ts";
export { ReadAhead, type ReadAdvice, type ReadAheadStats, type ReadPattern } from "./reclaim/read-ahead.ts";
export type { Clock } from "./ports.ts";
