export { BLOCK_FRAMES, FRAME_BYTES, GROUP_FRAMES, NO_FRAME, ORDER_1G, ORDER_2M, ORDER_4K, PFN_LIMIT } from "./units.ts";
export type { Pfn, PhysAddr } from "./units.ts";
export { frameText, PmmError } from "./errors.ts";
export type { PmmErrorCode, PmmErrorFacts } from "./errors.ts";
export type {
  EvacuationPlan,
  FrameHints,
  FramePressure,
  FrameSource,
  Grant,
  PressureLevel,
  Refusal,
  RefusalReason,
  SpecialFrames,
  SpecialRequest,
  Watermarks,
} from "./ports.ts";
export { sortedRanges } from "./range.ts";
export type { FrameRange } from "./range.ts";
export { Pmm } from "./pmm.ts";
export type { PmmOptions, PmmStats, ZoneStats } from "./pmm.ts";
