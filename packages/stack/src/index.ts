/** The Pagewright layers, assembled in one call, and the auditor that looks at all of them at once. @module */
export { createStack, Stack } from "./stack.ts";
export type { CompressedTier, ManagerSettings, StackOptions } from "./stack.ts";
export { firmwareMtrrs, MtrrMemoryTypes } from "./memory-types.ts";
export { IsaChannel, openIsaChannel, receiveInto, sendFrom } from "./device-transfer.ts";
export type { DeviceTransfer, IsaBus, IsaRefusal } from "./device-transfer.ts";
export { BalloonDriver, emptyRank, ErrorResponse, ModuleHandler, retireFrame, takeOffline } from "./maintenance.ts";
export type { Emptied } from "./maintenance.ts";
export { audit } from "./audit/audit.ts";
export type { AuditReport } from "./audit/findings.ts";
export { TableCensus } from "./audit/table-census.ts";
export type { Leaf, LeafVisitor } from "./audit/table-census.ts";
export { FrameLedger, LedgerFrames, LedgerRuns, LedgerWindow } from "./frame-ledger.ts";
export { PoolFrames } from "./pool-frames.ts";
export type { PoolGrowth } from "./pool-frames.ts";
export { isStackError, StackError } from "./errors.ts";
export type { StackErrorCode } from "./errors.ts";
