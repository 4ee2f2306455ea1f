/** `@pagewright/vmm`: virtual memory management over ports: address spaces, demand paging, page cache, swap. */
export {
  NO_FRAME,
  PAGE_SIZE,
  TABLE_PAGES,
  addressOf,
  offsetOf,
  pagesFor,
  vpnOf,
  type Pfn,
  type PhysAddr,
  type VirtAddr,
  type Vpn,
} from "./units.ts";
export {
  ACCESSED,
  DIRTY,
  EXECUTE,
  GLOBAL,
  MEMORY_TYPES,
  PRESENT,
  READ,
  RIGHTS_MASK,
  UNCACHED,
  UNCACHED_MINUS,
  USER,
  WRITE,
  WRITE_BACK,
  WRITE_COMBINING,
  WRITE_THROUGH,
  rightsText,
  typeOf,
  withType,
  type MemoryType,
} from "./rights.ts";
export { VmmError, isVmmError, type VmmErrorCode } from "./errors.ts";
export type {
  AddressLayout,
  AddressSpaceSwitch,
  AsyncBackingStore,
  AsyncSwapStore,
  BackingStore,
  Clock,
  Compressor,
  EntrySink,
  EvacuationPlan,
  RunPlan,
  FlushSink,
  FrameHints,
  FramePressure,
  FrameSource,
  FrameWindow,
  Interleaving,
  IoOutcome,
  MemoryTypes,
  Pager,
  PagerAnswer,
  Random,
  ReplacementPolicy,
  SpecialFrames,
  SpecialOutcome,
  SpecialRequest,
  SwapStore,
  LargeLeaves,
  TableStructure,
  TlbControl,
  TranslationSystem,
  TranslationTables,
} from "./ports.ts";
export { Vmm } from "./vmm.ts";
export type { VmmOptions, WriteExecutePolicy } from "./vmm-options.ts";
export type { GroupShare, GroupStats } from "./reclaim/grouped-policy.ts";
export type { RefaultStats } from "./reclaim/refault-meter.ts";
export type { VmmStats } from "./stats.ts";
export {
  RateMeter,
  RateMeters,
  type NodeRates,
  type ObjectRates,
  type PolicyRates,
  type RateReport,
  type Rates,
  type RegionRates,
  type SpaceRates,
} from "./statistics/rates.ts";
export type { Events, FaultCounts } from "./statistics/events.ts";
export type {
  MemoryReport,
  NodeReport,
  ObjectReport,
  PolicyReport,
  SpaceReport,
  SystemReport,
} from "./statistics/report.ts";
export type { PageCount } from "./statistics/page-count.ts";
export { PAGE_1G, PAGE_2M, type PageSize } from "./large/blocks.ts";
export { LargePages, type LargePageStats, type LargePageUse } from "./large/large-pages.ts";
export { Collapser, MAX_MISSING } from "./large/collapser.ts";
export type { CommitPolicy } from "./commit.ts";
export { isResolved, isViolation, type FaultOutcome, type Outcome, type Refusal } from "./outcome.ts";
export { AddressSpace, KERNEL_HIGH, KERNEL_LOW, USER_HIGH, USER_LOW } from "./space/space.ts";
export type { GapSearch, MapRequest, Placement } from "./space/mapping.ts";
export type { RemapRequest } from "./space/remapping.ts";
export type { Advice } from "./space/advice.ts";
export type { SpaceLimits } from "./space/limits.ts";
export {
  STACK_GAP,
  type AccessPattern,
  type CloneTreatment,
  type LockState,
  type Region,
  type RegionTraits,
} from "./space/region.ts";
export { ACTIONS, FAULT_TABLE, SOURCES, faultTableText } from "./space/fault-table.ts";
export { SpaceMemory, type MemoryWatch } from "./space-memory.ts";
export { MemoryObject, type ObjectKind } from "./objects/object.ts";
export { AnonymousObject, type ObjectOutcome, type Seal } from "./objects/anonymous-object.ts";
export { CachedFile, type SyncCursor } from "./objects/cached-file.ts";
export { FileObject } from "./objects/file-object.ts";
export { DeviceObject } from "./objects/device-object.ts";
export { PagerObject, type PagerOptions, type ProvideOutcome } from "./objects/pager-object.ts";
export {
  LONGEST_NAME,
  SharedHandle,
  SharedNames,
  type AnonymousSource,
  type NameRefusal,
  type OpenOptions,
} from "./objects/shared-names.ts";
export { AWAIT_LIMIT } from "./space/residency.ts";
export type { RunOutcome } from "./space/running.ts";
export { MemoryBacking } from "./objects/memory-backing.ts";
export { PlainMemory } from "./frames/plain-memory.ts";
export { FrameReserve } from "./frames/frame-reserve.ts";
export type { OutOfMemoryHandler } from "./pressure/last-resort.ts";
export { PlainTables } from "./tables/plain-tables.ts";
export { PlainLargeLeaves, PlainTranslationSystem } from "./tables/plain-system.ts";
export { FULL_LIMIT, FlushPlan, type PlanTarget } from "./flush-plan.ts";
export { MemorySwap } from "./swap/memory-swap.ts";
export { SWAP_BUSY, SWAP_FULL, SwapSpace, TIER_SLOTS } from "./swap/swap-space.ts";
export type { SwapPriority } from "./swap/swap-space.ts";
export { FENCE_AFTER, READ_TRIES } from "./swap/tier.ts";
export type { SwapTierStats } from "./swap/tier-stats.ts";
export { ManualClock, SeededRandom } from "./environment.ts";
export { TRANSFER_UNIT } from "./space/transfer.ts";
export { BufferObject } from "./objects/buffer-object.ts";
export { AsyncFileObject } from "./objects/async-file-object.ts";
export { DmaTransfer, type DeviceReach, type Segment, type TransferDirection } from "./dma/transfer.ts";
export type { DmaOutcome, DmaRequest } from "./dma/allocate.ts";
export { Migrator, type EvacuationOutcome, type MigrationRefusal, type StuckFrame } from "./migration.ts";
export type { RegionReport, UsageReport } from "./space/report.ts";
export type { PurgeableHandle } from "./reclaim/purgeable.ts";
export type { FramePlacement, NodePolicy } from "./space/frame-placement.ts";
export type { BalancerStats } from "./numa/balancer.ts";
