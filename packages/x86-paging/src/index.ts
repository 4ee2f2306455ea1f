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
