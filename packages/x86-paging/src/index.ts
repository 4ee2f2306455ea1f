export type { PhysAddr, Pfn, VirtAddr, Vpn } from "./units.ts";
export { highWord, lowWord, NO_FRAME, PAGE_SIZE, pfnOf, physOf, virtOf, vpnOf } from "./units.ts";
export type { TableFrames, TableMemory } from "./ports.ts";
export { ABSENT_FRAME } from "./ports.ts";
export type { PagingErrorCode } from "./errors.ts";
export { PagingError } from "./errors.ts";
export type { RightsPolicy, RightsRule } from "./rights.ts";
export {
  ACCESS_AC,
  ACCESS_FETCH,
  ACCESS_IMPLICIT,
  ACCESS_KIND,
  ACCESS_READ,
  ACCESS_SHADOW_STACK,
  ACCESS_USER,
  ACCESS_WRITE,
  allows,
  RIGHT_EXECUTE,
  RIGHT_READ,
  RIGHT_USER,
  RIGHT_USER_EXECUTE,
  RIGHT_WRITE,
  rightsText,
} from "./rights.ts";
export type { BitField, EntryBits, LevelDefinition, ModeDefinition, PagingLevel, PagingMode } from "./mode.ts";
export { defineMode, indexOf, isLeaf, leafFrameOf, levelOf, tableFrameOf } from "./mode.ts";
export {
  MODE_32_BIT,
  MODE_32_BIT_NO_PSE,
  MODE_4_LEVEL,
  MODE_5_LEVEL,
  MODE_EPT,
  MODE_EPT_5_LEVEL,
  MODE_NPT,
  MODE_NPT_5_LEVEL,
  MODE_PAE,
  MODE_UNPAGED,
} from "./modes.ts";
export type { PagingOptions } from "./state.ts";
export { PagingState } from "./state.ts";
export {
  entryRights,
  EPT_MISCONFIGURATION,
  EPT_VIOLATION,
  FAULT_FETCH,
  FAULT_KEY,
  FAULT_PRESENT,
  FAULT_RESERVED,
  FAULT_SHADOW_STACK,
  FAULT_USER,
  FAULT_WRITE,
  isKeyDenied,
  NON_CANONICAL,
  TRANSLATED,
  untagHigh,
  Walk,
  walk,
  walkExact,
} from "./walk.ts";
export { walkMarking } from "./mark.ts";
export {
  bigintOfVirt,
  bigintOfVpn,
  bigintOfWords,
  formatAddress,
  formatBigint,
  isCanonical,
  isCanonicalBigint,
  isCanonicalVirt,
  parseNumber,
  splitAddress,
  untagBigint,
  virtOfBigint,
  virtOfWords,
  vpnHigh,
  vpnLow,
  vpnOfBigint,
  vpnOfWords,
  wordsOfBigint,
} from "./address.ts";
export type { AttributeFields } from "./attributes.ts";
export {
  ATTR_ACCESSED,
  ATTR_DIRTY,
  ATTR_ENCRYPTED,
  ATTR_GLOBAL,
  ATTR_IGNORE_PAT,
  ATTR_KEY_SHIFT,
  ATTR_SOFTWARE_SHIFT,
  ATTR_TYPE_SHIFT,
  attributeFields,
  attributes,
  attributesOf,
  keyOf,
  memoryTypeOf,
} from "./attributes.ts";
export type { FlushRange, FlushScope, FrameVisitor } from "./flush-plan.ts";
export {
  FLUSH_ACCESSED,
  FLUSH_NONE,
  FLUSH_REQUIRED,
  FLUSH_SPURIOUS,
  FlushPlan,
  needOfChange,
  NOTHING_TO_FLUSH,
  SINGLE_PAGE_CEILING,
} from "./flush-plan.ts";
export type { Refusal, RefusalReason } from "./refusal.ts";
export { TableShares } from "./shares.ts";
export type { MapperOptions } from "./table-editor.ts";
export type { HarvestVisitor, MapOptions, Mapping } from "./mapper.ts";
export { Mapper } from "./mapper.ts";
export { isL1tfSafe, PAYLOAD_LIMIT, payloadHigh, payloadLow, payloadTag, payloadValue } from "./payload.ts";
export type { Explanation, Register, RegisterField } from "./register.ts";
export { decodeRegister, encodeRegister, explainRegister, reservedBits } from "./register.ts";
export type { InvpcidDescriptor } from "./registers.ts";
export {
  CR0,
  CR3,
  CR3_WITHOUT_PCID,
  CR4,
  decodeInvpcid,
  EFER,
  encodeInvpcid,
  explainInvpcid,
  INVPCID_TYPES,
  MEMORY_TYPE_NAMES,
  PAGE_FAULT_ERROR,
  PAT,
  PAT_AT_RESET,
  PKRS,
  PKRU,
} from "./registers.ts";
export type { PagingRegisters } from "./from-registers.ts";
export { loadPdptes, modeOfRegisters, optionsOfRegisters, stateOfRegisters } from "./from-registers.ts";
export type { EffectiveType, MemoryTypeRule } from "./memory-type.ts";
export {
  effectiveType,
  MEMORY_TYPE_TABLE,
  MEMORY_UC,
  MEMORY_UC_MINUS,
  MEMORY_WB,
  MEMORY_WC,
  MEMORY_WP,
  MEMORY_WT,
  nestedType,
  overlappingType,
  patType,
} from "./memory-type.ts";
export type { AnyEntry, EntryAt, LeafEntry, LongLevel, NotPresentEntry, TableEntry } from "./entry.ts";
export { decodeEntry, encodeEntry, shadowStackLeaf } from "./entry.ts";
export type { EntryBit, EntryExplanation, ReservedBit, ReservedCause } from "./explain-entry.ts";
export { explainEntry, reservedBitsOf } from "./explain-entry.ts";
export type { WalkCheck, WalkExplanation, WalkFailure, WalkStep } from "./explain-walk.ts";
export { accessText, explainWalk } from "./explain-walk.ts";
export { LeafCursor, rawOfVpn, vpnOfRaw } from "./cursor.ts";
export type { LeafBound } from "./bounded-cursor.ts";
export type { Run, RunOptions } from "./runs.ts";
export { runs } from "./runs.ts";
export type { TableUse } from "./reachable.ts";
export { pagesOfFrame, reachableTables } from "./reachable.ts";
export type { ListingOptions } from "./print-qemu.ts";
export { qemuMem, qemuTlb } from "./print-qemu.ts";
export type { DescriptorTable, DiagnosisInput, Finding, ImageMemory } from "./diagnose/finding.ts";
export { diagnose } from "./diagnose/diagnose.ts";
export { mergePages, moveTables, shareTables, splitPage } from "./restructure.ts";
export {
  installRecursiveSlot,
  recursiveFlush,
  recursiveOffset,
  recursivePage,
  recursiveRange,
  removeRecursiveSlot,
} from "./recursive.ts";
export type { CompareOptions, Difference, Side } from "./compare.ts";
export { compareTables } from "./compare.ts";
export { NESTED_FAULT, NestedWalk, NestedWalker, NPT_FINAL, NPT_TABLE } from "./nested.ts";
export type { AliasConflict, AliasOptions } from "./alias.ts";
export { findAliasConflicts } from "./alias.ts";
export type { FrameSpan, LintFinding, LintOptions, LintRule, LintSeverity, StackSpan } from "./lint/finding.ts";
export { lint } from "./lint/lint.ts";
export type { RegionMarker } from "./print-linux.ts";
export { linuxMarkers, linuxPageTables } from "./print-linux.ts";
export { xv6Tree } from "./print-xv6.ts";
export type { JsonDifference, JsonListingOptions, JsonRun, JsonSide } from "./print-json.ts";
export { jsonDifference, jsonRun, jsonRuns } from "./print-json.ts";
export type { BuiltTables, Layout, LayoutRange } from "./builder.ts";
export { buildTables } from "./builder.ts";
