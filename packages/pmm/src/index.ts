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
  TakeWishes,
  Watermarks,
} from "./ports.ts";
export { sortedRanges } from "./range.ts";
export type { FrameRange } from "./range.ts";
export { Pmm } from "./pmm.ts";
export type { PmmAttachment } from "./pmm.ts";
export type { BootHandover, PmmOptions } from "./set-up.ts";
export type { PmmShare } from "./share.ts";
export type { Geometry, Layout } from "./layout.ts";
export type { TableBuffers, TableOptions } from "./tables.ts";
export { DMA_32, ISA_DMA } from "./request.ts";
export type { FrameSpan } from "./plug.ts";
export type { FrameSums, PmmStats, RankStats, ZoneStats } from "./stats.ts";
export type { OrderName, Traffic, TrafficRow } from "./traffic.ts";
export { Balloon } from "./balloon.ts";
export type { BalloonOptions } from "./balloon.ts";
export { PmmService } from "./service.ts";
export type { Census, FrameCount, HeldCount, Obstacle, OrderStats } from "./census.ts";
export type { FrameUse } from "./misuse.ts";
export type { FrameFacts } from "./facts.ts";
export type { EvacuationProgress, EvacuationRefusal, EvacuationStart, RangeEvacuation } from "./evacuations.ts";
export type { Retirement } from "./retirement.ts";
export { BootAllocator } from "./boot-allocator.ts";
export { BalloonHost, HostedGuest } from "./host.ts";
export type { HostTouch } from "./host.ts";
export { PluggableRegion } from "./pluggable.ts";
export type { Migrate, PluggableMemory, PluggableOptions } from "./pluggable.ts";
export { Quarantine } from "./quarantine.ts";
export type { Clock, QuarantineOptions } from "./quarantine.ts";
export { Rates } from "./rates.ts";
export type { Rate, TrafficRates } from "./rates.ts";
export { colourOf, coloursOf } from "./colour.ts";
export type { CacheGeometry } from "./colour.ts";
