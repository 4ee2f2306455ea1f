/**
 * A machine to run memory managers on: physical memory and its map, processors with an MMU and a TLB, devices, and
 * hardware that fails on purpose. Deterministic; reads no clock and no random source.
 */
export { isMachineError, MachineError } from "./errors.ts";
export type { MachineErrorCode } from "./errors.ts";
export {
  addressOf,
  alignDown,
  alignUp,
  formatAddress,
  FRAME_BYTES,
  FRAME_WORDS,
  GIB,
  hexOf,
  KIB,
  MIB,
  NO_FRAME,
  pfnOf,
  PHYSICAL_LIMIT,
  vpnOf,
} from "./units.ts";
export type { Pfn, PhysAddr, VirtAddr, Vpn } from "./units.ts";

export {
  E820_ACPI,
  E820_LEGACY_PERSISTENT,
  E820_NVS,
  E820_PERSISTENT,
  E820_RESERVED,
  E820_UNUSABLE,
  E820_SOFT_RESERVED,
  E820_USABLE,
  typeName,
} from "./firmware/entry.ts";
export type { AffinityRange, FirmwareEntry, RawEntry } from "./firmware/entry.ts";
export { firmwareMapOf } from "./firmware/firmware-map.ts";
export type { BridgeWindow, FirmwareBar, FirmwareFacts, FirmwareMap, FirmwareMtrr } from "./firmware/firmware-map.ts";
export { firmwareMapFromJson } from "./firmware/json.ts";
export type { FirmwareJsonOptions } from "./firmware/json.ts";
export { sanitiseEntries } from "./firmware/sanitise.ts";
export type { MapChange, SanitisedEntries } from "./firmware/sanitise.ts";

export { frameRangesOf } from "./map/frame-ranges.ts";
export type { FrameRange, FrameRangeOptions } from "./map/frame-ranges.ts";
export { flatten } from "./map/node.ts";
export type { AliasOf, MapNode } from "./map/node.ts";
export type { MapNodeState, MapTreeState } from "./map/node-book.ts";
export { LAYER, PhysicalMap, physicalMapFromJson } from "./map/physical-map.ts";
export type { MapListener } from "./map/physical-map.ts";
export { printFlat, printTree } from "./map/printout.ts";
export { isMemory, traitsOf } from "./map/region.ts";
export type { Cacheability, Region, RegionKind, RegionTraits } from "./map/region.ts";
export { gapsWithin, summariseMap } from "./map/summary.ts";
export type { BarWindow, HexRange, MapSummary } from "./map/summary.ts";

export type { FaultHandler, InterruptHandler } from "./ports.ts";
export { PhysicalMemory } from "./memory/physical-memory.ts";
export { MemoryFrames } from "./memory/memory-frames.ts";
export type { FrameStore, FrameWatch, MemoryOptions, MemoryStats } from "./memory/memory-ports.ts";
export type { MmioDevice } from "./map/region.ts";
export { AccessFault } from "./cpu/access-fault.ts";
export type { FaultKind } from "./cpu/access-fault.ts";
export { Bulk } from "./cpu/bulk.ts";
export { Cpu } from "./cpu/cpu.ts";
export type { AccessMeter, CpuStats } from "./cpu/cpu-stats.ts";
export { Translator } from "./cpu/translator.ts";
export { WiredControl } from "./cpu/wired-control.ts";
export type { CpuState } from "./cpu/cpu-state.ts";
export { Adversary, ETERNAL_TLB } from "./cpu/adversary.ts";
export type { AdversaryOptions, AdversaryState, StaleUse } from "./cpu/adversary.ts";
export type { EntryChange, TranslationWaysState } from "./cpu/translation-ways.ts";
export { Mmu } from "./cpu/mmu.ts";
export type { MmuCounts, MmuObserver, MmuOptions } from "./cpu/mmu-ports.ts";
export {
  CR0_CD,
  CR0_NW,
  CR0_PE,
  CR0_PG,
  CR0_WP,
  CR4_LA57,
  CR4_PAE,
  CR4_PCIDE,
  CR4_PGE,
  CR4_PKE,
  CR4_PKS,
  CR4_PSE,
  CR4_SMAP,
  CR4_SMEP,
  EFER_LMA,
  EFER_LME,
  EFER_NXE,
  LONG_MODE,
  RESET_STATE,
} from "./cpu/registers.ts";
export type { Registers } from "./cpu/registers.ts";
export { PLAIN_64X4_TLB, ROOMY_TLB, SKYLAKE_TLB, ZEN2_TLB } from "./cpu/tlb-geometry.ts";
export type { TlbGeometry } from "./cpu/tlb-geometry.ts";
export type { TlbShape } from "./cpu/tlb-array.ts";
export type { CpuOutcome, DeliveryPath } from "./cpu/wired-control.ts";
export { Machine } from "./machine.ts";
export type { MachineOptions, TimingOptions } from "./machine.ts";

export { VirtualClock } from "./system/clock.ts";
export type { ClockState } from "./system/clock.ts";
export { CostMeter } from "./system/cost-meter.ts";
export type { CostMeterOptions, CostStats } from "./system/cost-meter.ts";
export { DEFAULT_COSTS, uniformDistances } from "./system/costs.ts";
export type { Costs, Distances } from "./system/costs.ts";
export type { CpuEvent, CpuTrace, EventSink, MachineEvent } from "./system/events.ts";
export { Interrupts } from "./system/interrupts.ts";
export type { InterruptsState, InterruptStats, PendingInterrupt } from "./system/interrupts.ts";
export { LastLevelCache } from "./system/last-level-cache.ts";
export type { CacheShape, CacheState, CacheStats } from "./system/last-level-cache.ts";
export { MtrrGuard } from "./system/mtrr-guard.ts";
export type { CacheGuard, MtrrProgress } from "./system/mtrr-guard.ts";
export { SeededRandom } from "./system/random.ts";
export { Scheduler } from "./system/scheduler.ts";
export type { SchedulerState, SchedulerStats, Task } from "./system/scheduler.ts";
export { restoreSnapshot, snapshotObstacle, takeSnapshot } from "./system/snapshot.ts";
export type { MachineSnapshot } from "./system/snapshot.ts";
export { MemoryImage } from "./system/memory-image.ts";
export type { MemoryImageState } from "./system/memory-image.ts";
export type { Pieces, Snapshotted } from "./system/snapshotted.ts";
export { Parts } from "./system/parts.ts";
export { Names } from "./system/names.ts";
export { Stepper } from "./system/stepper.ts";

export { eccVerdict } from "./faults/ecc.ts";
export type { EccVerdict } from "./faults/ecc.ts";
export { FaultyRam } from "./faults/faulty-ram.ts";
export type { FaultyRamState, MachineCheck, MachineCheckHandler } from "./faults/faulty-ram.ts";
export { Scrubber } from "./faults/scrubber.ts";
export type { ScrubberState } from "./faults/scrubber.ts";
export { Balloon } from "./hotplug/balloon.ts";
export type { BalloonState } from "./hotplug/balloon.ts";
export { BlockMemoryDevice } from "./hotplug/block-memory.ts";
export type { BlockMemoryOptions, BlockMemoryState } from "./hotplug/block-memory.ts";
export { DIMM_GRANULE, DimmSlots } from "./hotplug/dimms.ts";
export type { Dimm, DimmSlotsState, HotplugHandler } from "./hotplug/dimms.ts";
export { ACCESS_NJ, RANK_WATTS, RankPower, WAKE_NS } from "./power/rank-power.ts";
export type { RankSnapshot, RankState, RankStats } from "./power/rank-power.ts";
export { RankedMemory } from "./power/ranked-memory.ts";

export { AddressClaims } from "./map/claims.ts";
export type { AddressWindow, Claim, ClaimsState, ClaimTraits, SpaceWish } from "./map/claims.ts";

export { IoPorts, PORT_LIMIT } from "./devices/io-ports.ts";
export type { IoPortsState, PortDevice, PortRange } from "./devices/io-ports.ts";
export { IsaDma, programIsaDma } from "./devices/isa-dma.ts";
export type { IsaDirection, IsaDmaState, IsaTransfer } from "./devices/isa-dma.ts";
export { BusMaster, DESCRIPTOR_BYTES, DESCRIPTOR_LAST, writeScatterGatherList } from "./devices/bus-master.ts";
export type { BusTransfer, MemorySegment } from "./devices/bus-master.ts";
export { MemoryMedium } from "./devices/block-medium.ts";
export type { BlockMedium } from "./devices/block-medium.ts";
export { BlockDevice, DEFAULT_DISK } from "./devices/block-device.ts";
export type {
  BlockCompletion,
  BlockDeviceOptions,
  BlockDeviceState,
  BlockOperation,
  BlockRequest,
  BlockStatus,
  InjectedFailure,
} from "./devices/block-device.ts";
export { Framebuffer } from "./devices/framebuffer.ts";
export type { FramebufferState, FramebufferStats } from "./devices/framebuffer.ts";
export { LINE_BYTES, WriteCombiner } from "./devices/write-combining.ts";
export type { BurstSink, WriteCombinerState, WriteCombiningStats } from "./devices/write-combining.ts";
export type { Time } from "./devices/time.ts";
export { BAR, COMMAND, CONFIG, CONFIG_BYTES, ConfigSpace } from "./devices/pci-config.ts";
export { PciFunction } from "./devices/pci-function.ts";
export type { Bar, BarSpec, IoBarSpec, MemoryBarSpec, PciIdentity } from "./devices/pci-function.ts";
export { BRIDGE_GRANULE, BRIDGE_IO_GRANULE, PciBridge } from "./devices/pci-bridge.ts";
export type { BridgeWindowKind } from "./devices/pci-bridge.ts";
export { PciBus } from "./devices/pci-bus.ts";
export type { PciAddress, PciNode, PciNodeState, PciState } from "./devices/pci-bus.ts";
export { PROBE_VALUE, probeBar, probeBars, windowsFor, writeBar } from "./devices/pci-probe.ts";
export type { ConfigAccess, ProbedBar } from "./devices/pci-probe.ts";
export { PciResources } from "./devices/pci-assign.ts";
export type { Assignment, PciResourcesState } from "./devices/pci-assign.ts";
export { assignPorts } from "./devices/pci-ports.ts";
export type { PortAssignment } from "./devices/pci-ports.ts";
export { MARCH_C_MINUS, MarchTest, MOVING_INVERSIONS } from "./memory-test/march.ts";
export type {
  MarchAlgorithm,
  MarchElement,
  MarchOperation,
  MarchState,
  MemoryFault,
  WordMemory,
} from "./memory-test/march.ts";

export {
  combineTypes,
  encodingOf,
  overlapTypes,
  typeOfCacheability,
  typeOfEncoding,
  typeOfKernelName,
} from "./mtrr/memory-type.ts";
export type { MemoryType } from "./mtrr/memory-type.ts";
export { MtrrManager, patFor } from "./mtrr/manager.ts";
export type { MtrrClaim, MtrrGrant, MtrrManagerState, MtrrOutcome, MtrrRefusal } from "./mtrr/manager.ts";
export { Pat, PAT_LINUX, PAT_RESET } from "./mtrr/pat.ts";
export { isBlock, maskOf, MtrrRegisters } from "./mtrr/registers.ts";
export type { MtrrState, TypedRange, VariableRange } from "./mtrr/registers.ts";
export { registersOf, reportMtrrs, validateMtrrs } from "./mtrr/report.ts";
export type { MtrrRegisterReport, MtrrReport, MtrrSetReport, MtrrSetsReport, RealMtrrReport } from "./mtrr/report.ts";
export { mtrrNeeds, synthesiseMtrrs } from "./mtrr/synthesis.ts";
export type { MtrrStrictness, SynthesisRules, TypeNeed } from "./mtrr/synthesis.ts";

export { firmwareMapFromDmesg, isDmesg } from "./firmware/dmesg.ts";
export type { DmesgOptions } from "./firmware/dmesg.ts";
export { applyMemoryWords, memoryWordOf, memoryWordsOf } from "./firmware/memmap.ts";
export type { MemoryWord } from "./firmware/memmap.ts";
export { entriesFromEfi } from "./firmware/efi.ts";
export { entriesFromMultiboot2 } from "./firmware/multiboot2.ts";
export { entriesFromE801 } from "./firmware/e801.ts";
export type { E801Sizes } from "./firmware/e801.ts";
export { badFramesOfText, badRamPatternsOf, framesOfPattern, mergeSpans } from "./firmware/bad-memory.ts";
export type { BadRamPattern, FrameSpan } from "./firmware/bad-memory.ts";
