/**
 * The page walk: from an address, given as (low, high) words, to a frame, rights, and the fault that the processor would raise.
 *
 * Two paths give one answer. The unrolled path (4- and 5-level tables, 4K leaves, nothing odd) accumulates R/W and U/S by
 * AND and NX by OR and tests once at the end. Whatever it does not like is walked again by the exact path, which
 * is driven by the mode's description and decides everything in the manual's order.
 *
 * Neither allocates: the caller brings a `Walk` and reads it after the call.
 */

import type { PagingLevel, PagingMode } from "./mode.ts";
import { indexOf, isLeaf, leafFrameOf, tableFrameOf } from "./mode.ts";
import type { TableMemory } from "./ports.ts";
import {
  ACCESS_FETCH,
  ACCESS_IMPLICIT,
  ACCESS_KIND,
  ACCESS_SHADOW_STACK,
  ACCESS_USER,
  ACCESS_WRITE,
  ALL_RIGHTS,
  RIGHT_EXECUTE,
  RIGHT_READ,
  RIGHT_USER,
  RIGHT_USER_EXECUTE,
  RIGHT_WRITE,
} from "./rights.ts";
import type { PagingState } from "./state.ts";
import { MAX_DEPTH } from "./state.ts";
import type { Pfn } from "./units.ts";

/** The walk ended in a translation. */
export const TRANSLATED = -1;
/** The address is not canonical: #GP (or #SS through the stack segment), no walk takes place. */
export const NON_CANONICAL = -2;
/** The rights of the EPT entries deny the access, one is not present, or the address is wider than the tables; `qualification` says more. */
export const EPT_VIOLATION = -3;
/** An EPT entry holds a combination that the manual forbids. */
export const EPT_MISCONFIGURATION = -4;

/** Page-fault error code: the fault is no missing entry. */
export const FAULT_PRESENT = 1;
/** Page-fault error code: a write. */
export const FAULT_WRITE = 2;
/** Page-fault error code: made in user mode. */
export const FAULT_USER = 4;
/** Page-fault error code: a reserved bit is set in an entry. */
export const FAULT_RESERVED = 8;
/** Page-fault error code: an instruction fetch (reported with NXE or SMEP). */
export const FAULT_FETCH = 16;
/** Page-fault error code: a protection key denies. */
export const FAULT_KEY = 32;
/** Page-fault error code: a shadow-stack access. */
export const FAULT_SHADOW_STACK = 64;

/** What a walk found. Reuse one; every walk overwrites it. */
export class Walk {
  /** The 4K frame that holds the address (inside a larger page too). Valid after `TRANSLATED`. */
  pfn: Pfn = 0;
  /** The level at which the walk ended: of the leaf, or of the entry that faulted; 0 where no entry was read. */
  level = 0;
  /** Words of the entry at `level`. */
  low = 0;
  high = 0;
  /** Rights accumulated over the levels (`RIGHT_…`). */
  rights = 0;
  /** AND of the low words of all entries, which tells whether A is set everywhere. */
  all = 0;
  /** EPT: the exit qualification of a violation. */
  qualification = 0;
  /** The address translated: the one asked for, without a LAM tag. */
  addressLow = 0;
  addressHigh = 0;
  /**
   * By level, filled by `walkExact`, `walkMarking` where it had to write, and by every walk that faults: the table's frame, the
   * entry's index, and its words. Valid from the root down to `level`.
   */
  readonly tables: Float64Array = new Float64Array(MAX_DEPTH + 1);
  readonly indices: Int32Array = new Int32Array(MAX_DEPTH + 1);
  readonly lows: Uint32Array = new Uint32Array(MAX_DEPTH + 1);
  readonly highs: Uint32Array = new Uint32Array(MAX_DEPTH + 1);
}

/**
 * Walks the tables for one access and changes nothing.
 *
 * Returns `TRANSLATED`, a page-fault error code (≥ 0), `NON_CANONICAL`, or an EPT exit. `access` is a sum of `ACCESS_…`. `low` and `high`
 * may be signed or unsigned words; signed ones are faster, because V8 boxes larger numbers.
 * Budget of a 4-level hit: four entries of two words, four frame look-ups, one table read.
 */
export function walk(
  state: PagingState,
  memory: TableMemory,
  low: number,
  high: number,
  access: number,
  into: Walk,
): number {
  if (state.unrolled === 4 && (high << 16) >> 16 === (high | 0)) {
    const directory = upperLevels(memory, state.root, low, high, into);
    if (directory >= 0 && lowerLevels(state, memory, directory, low, access, into)) return TRANSLATED;
  }
  return walkSlowly(state, memory, low, high, access, into);
}

/** What is not a plain hit in 4-level tables. */
function walkSlowly(
  state: PagingState,
  memory: TableMemory,
  low: number,
  high: number,
  access: number,
  into: Walk,
): number {
  if (state.unrolled === 5 && fiveLevels(state, memory, low, high, access, into)) return TRANSLATED;
  return walkExact(state, memory, low, high, access, into);
}

/*
 * The unrolled path, in pieces small enough for V8 to inline them all into a caller's loop (budget: 460 bytecodes each, 920 together;
 * one piece of all four levels takes 1.3 times the time). An address in an entry
 * is taken to have no bits above 42, so that frame numbers stay 32-bit integers (as doubles: twice the time); `oddHigh` holds those bits.
 */

function fiveLevels(
  state: PagingState,
  memory: TableMemory,
  low: number,
  high: number,
  access: number,
  into: Walk,
): boolean {
  if ((high << 7) >> 7 !== (high | 0)) return false;
  const words = memory.words(state.root);
  const at = memory.base(state.root) + ((high >>> 15) & 0x3fe);
  const low5 = words[at]!;
  const high5 = words[at + 1]!;
  if ((low5 & 0x81) !== 1) return false;
  const directory = upperLevels(memory, ((high5 & 0x7ff) << 20) | (low5 >>> 12), low, high, into);
  if (directory < 0) return false;
  into.all &= low5;
  into.high |= high5;
  return lowerLevels(state, memory, directory, low, access, into);
}

/** The page directory, or −1 where the exact path must decide; AND and OR of the entries so far are left in `into`. */
function upperLevels(memory: TableMemory, root: Pfn, low: number, high: number, into: Walk): Pfn {
  let words = memory.words(root);
  let at = memory.base(root) + ((high >>> 6) & 0x3fe);
  const low4 = words[at]!;
  const high4 = words[at + 1]!;
  if ((low4 & 0x81) !== 1) return -1;
  const pfn = ((high4 & 0x7ff) << 20) | (low4 >>> 12);
  words = memory.words(pfn);
  at = memory.base(pfn) + (((high << 3) | ((low >>> 29) & 6)) & 0x3fe);
  const low3 = words[at]!;
  const high3 = words[at + 1]!;
  if ((low3 & 0x81) !== 1) return -1;
  into.all = low4 & low3;
  into.high = high4 | high3;
  return ((high3 & 0x7ff) << 20) | (low3 >>> 12);
}

function lowerLevels(
  state: PagingState,
  memory: TableMemory,
  directory: Pfn,
  low: number,
  access: number,
  into: Walk,
): boolean {
  let words = memory.words(directory);
  let at = memory.base(directory) + ((low >>> 20) & 0x3fe);
  const low2 = words[at]!;
  const high2 = words[at + 1]!;
  if ((low2 & 0x81) !== 1) return false;
  const pfn = ((high2 & 0x7ff) << 20) | (low2 >>> 12);
  words = memory.words(pfn);
  at = memory.base(pfn) + ((low >>> 11) & 0x3fe);
  const low1 = words[at]!;
  const high1 = words[at + 1]!;
  const all = into.all & low2 & low1;
  const any = into.high | high2 | high1;
  const rights = (all & 6) | 1 | (~(any >>> 28) & 8); // U and W by AND, R always, X by OR of NX
  if (((any & state.oddHigh) | ((low1 & state.allowed[(access << 5) | rights]!) ^ 1)) !== 0) return false;
  into.pfn = ((high1 & 0x7ff) << 20) | (low1 >>> 12);
  into.level = 1;
  into.low = low1;
  into.high = high1;
  into.rights = rights;
  into.all = all;
  return state.keyed === 0 || !isKeyDenied(state, rights, (high1 >>> 27) & 15, access);
}

/**
 * Whether the protection key of a page denies the access. Which register rules is decided by the page: PKRU for user
 * pages, PKRS for supervisor pages. Keys never stop fetches. Source: SDM 3A, Protection Keys.
 */
export function isKeyDenied(state: PagingState, rights: number, key: number, access: number): boolean {
  const kind = access & ACCESS_KIND;
  if (kind === ACCESS_FETCH) return false;
  const userPage = (rights & RIGHT_USER) !== 0;
  if (!(userPage ? state.userKeys : state.supervisorKeys)) return false;
  const denied = (userPage ? state.pkru : state.pkrs) >>> (key * 2);
  if ((denied & 1) !== 0) return true;
  return (denied & 2) !== 0 && kind === ACCESS_WRITE && (isUserAccess(access) || state.writeProtect);
}

function isUserAccess(access: number): boolean {
  return (access & (ACCESS_USER | ACCESS_IMPLICIT)) === ACCESS_USER;
}

/** The walk by the mode's description: any mode, every check in the manual's order, the tables on the way recorded in `into`. */
export function walkExact(
  state: PagingState,
  memory: TableMemory,
  low: number,
  high: number,
  access: number,
  into: Walk,
): number {
  const mode = state.mode;
  into.level = 0;
  into.rights = 0;
  into.qualification = 0;
  if (!prepareAddress(state, low, high, access, into))
    return mode.definition.rule === "ept" ? fault(state, into, 0, access, 0) : NON_CANONICAL;
  const addressLow = into.addressLow;
  const addressHigh = into.addressHigh;
  let table = state.root;
  let rights = ALL_RIGHTS;
  into.all = 0xffffffff;
  for (let n = mode.depth; n > 0; n--) {
    const level = mode.levels[n];
    if (level === undefined) break;
    const index = indexOf(level, addressLow, addressHigh);
    readEntry(state, memory, level, table, index, into);
    const entryLow = into.low;
    const entryHigh = into.high;
    const present = (entryLow & state.presentMask) !== 0;
    const leaf = present && isLeaf(mode, level, entryLow);
    if (!present) return fault(state, into, rights & entryRights(mode, level, entryLow, entryHigh), access, 0);
    if (isReserved(state, level, entryLow, entryHigh, leaf)) {
      return mode.definition.rule === "ept"
        ? EPT_MISCONFIGURATION
        : fault(state, into, rights, access, FAULT_PRESENT | FAULT_RESERVED);
    }
    if (leaf || (!level.withoutRights && mode.definition.inherit === "all-levels")) into.all &= entryLow;
    const aboveWritable = (rights & RIGHT_WRITE) !== 0;
    if (mode.definition.inherit === "all-levels") rights &= entryRights(mode, level, entryLow, entryHigh);
    else if (leaf) rights = entryRights(mode, level, entryLow, entryHigh);
    if (leaf) {
      const offset = pageWithin(level, addressLow, addressHigh);
      into.pfn = leafFrameOf(level, entryLow & state.addressLow, entryHigh & state.addressHigh) + offset;
      return finish(state, into, rights, access, aboveWritable);
    }
    table = tableFrameOf(level, entryLow & state.addressLow, entryHigh & state.addressHigh);
  }
  into.pfn = addressLow >>> 12;
  into.rights = ALL_RIGHTS;
  return TRANSLATED;
}

/** Which 4K page of a leaf's page the address is in. */
function pageWithin(level: PagingLevel, low: number, high: number): number {
  const pages = level.pages;
  return pages <= 0x100000 ? (low >>> 12) & (pages - 1) : (low >>> 12) + (high & (pages / 0x100000 - 1)) * 0x100000;
}

function readEntry(
  state: PagingState,
  memory: TableMemory,
  level: PagingLevel,
  table: Pfn,
  index: number,
  into: Walk,
): void {
  const n = level.level;
  const wide = state.mode.entryWords === 2;
  let words = state.rootEntries;
  let at = index * state.mode.entryWords;
  if (!level.inRegisters) {
    words = memory.words(table);
    at += memory.base(table);
  }
  into.tables[n] = table;
  into.indices[n] = index;
  into.level = n;
  into.low = into.lows[n] = words[at]! >>> 0;
  into.high = into.highs[n] = wide ? words[at + 1]! >>> 0 : 0;
}

/** Applies LAM and checks that the address is canonical; the address to walk is left in `into`. */
function prepareAddress(state: PagingState, low: number, high: number, access: number, into: Walk): boolean {
  const { addressBits, definition } = state.mode;
  into.addressLow = low >>> 0;
  into.addressHigh = high >>> 0;
  if (definition.extension === "ignored") return true;
  const lam = high >>> 31 === 0 ? state.lamUser : state.lamSupervisor;
  if (lam !== 0 && (access & ACCESS_KIND) !== ACCESS_FETCH) into.addressHigh = untagHigh(high, lam);
  const shift = 64 - addressBits;
  const extended =
    definition.extension === "sign" ? (into.addressHigh << shift) >> shift : (into.addressHigh << shift) >>> shift;
  return extended >>> 0 === into.addressHigh;
}

/** The high word of an address whose bits 62:`width` are a LAM tag: they are replaced by copies of bit `width − 1`; bit 63 stays. */
export function untagHigh(high: number, width: number): number {
  const shift = 64 - width;
  return ((((high << shift) >> shift) & 0x7fffffff) | (high & 0x80000000)) >>> 0;
}

/** The rights that one entry gives, without those above it. */
export function entryRights(mode: PagingMode, level: PagingLevel, low: number, high: number): number {
  if (level.withoutRights) return ALL_RIGHTS;
  let rights = 0;
  if (mode.readMask === 0 || (low & mode.readMask) !== 0) rights |= RIGHT_READ;
  if (mode.writeMask === 0 || (low & mode.writeMask) !== 0) rights |= RIGHT_WRITE;
  if (mode.userMask === 0 || (low & mode.userMask) !== 0) rights |= RIGHT_USER;
  const executable = mode.executeMask === 0 || (low & mode.executeMask) !== 0;
  if (executable && (high & mode.noExecuteHigh) === 0) rights |= RIGHT_EXECUTE;
  if (mode.userExecuteMask === 0 || (low & mode.userExecuteMask) !== 0) rights |= RIGHT_USER_EXECUTE;
  return rights;
}

/** Whether a present entry has a bit or a combination set that must not be. */
export function isReserved(state: PagingState, level: PagingLevel, low: number, high: number, leaf: boolean): boolean {
  const n = level.level;
  const maskLow = leaf ? state.reservedLeafLow[n]! : state.reservedTableLow[n]!;
  const maskHigh = leaf ? state.reservedLeafHigh[n]! : state.reservedTableHigh[n]!;
  if ((low & maskLow) !== 0 || (high & maskHigh) !== 0) return true;
  const rule = state.mode.definition.rule;
  if (rule === "ept") return isMisconfigured(state, low, leaf);
  return rule === "riscv" && leaf && (low & state.mode.writeMask) !== 0 && (low & state.mode.readMask) === 0;
}

/** EPT: writable but not readable; execute-only where unsupported; memory types 2, 3 and 7. Source: SDM 3C, EPT Misconfigurations. */
function isMisconfigured(state: PagingState, low: number, leaf: boolean): boolean {
  const mode = state.mode;
  if ((low & mode.readMask) === 0) {
    if ((low & mode.writeMask) !== 0) return true;
    if (!state.executeOnly) return true;
  }
  const type = (low >>> mode.memoryTypeShift) & 7;
  return leaf && (type === 2 || type === 3 || type === 7);
}

function finish(state: PagingState, into: Walk, rights: number, access: number, aboveWritable: boolean): number {
  const mode = state.mode;
  into.rights = rights;
  let code = 0;
  const allowed =
    (access & ACCESS_SHADOW_STACK) === 0
      ? state.allowed[((access & 63) << 5) | rights]! === 1
      : allowsShadow(mode, into, rights, access, aboveWritable);
  if (!allowed) code = FAULT_PRESENT;
  if (state.keyed !== 0 && isKeyDenied(state, rights, (into.high >>> mode.keyShift) & 15, access))
    code = FAULT_PRESENT | FAULT_KEY;
  return code === 0 ? TRANSLATED : fault(state, into, rights, access, code);
}

/**
 * A shadow-stack access needs a shadow-stack page: leaf R/W=0 and D=1, R/W=1 in every entry above; and the page's U/S is that
 * of the access. Source: SDM 3A, Shadow-Stack Pages; SDM 1, CET.
 */
function allowsShadow(mode: PagingMode, into: Walk, rights: number, access: number, aboveWritable: boolean): boolean {
  const encoded = (into.low & mode.writeMask) === 0 && (into.low & mode.dirtyMask) !== 0;
  return aboveWritable && encoded && isUserAccess(access) === ((rights & RIGHT_USER) !== 0);
}

function fault(state: PagingState, into: Walk, rights: number, access: number, cause: number): number {
  const kind = access & ACCESS_KIND;
  into.rights = rights;
  if (state.mode.definition.rule === "ept") {
    into.qualification =
      (1 << (kind === ACCESS_FETCH ? 2 : kind))
      | ((rights & 3) << 3)
      | ((rights & RIGHT_EXECUTE) << 2)
      | ((rights & RIGHT_USER_EXECUTE) << 2);
    return EPT_VIOLATION;
  }
  let code = cause;
  if (kind === ACCESS_WRITE) code |= FAULT_WRITE;
  if (isUserAccess(access)) code |= FAULT_USER;
  if (kind === ACCESS_FETCH && state.fetchReported) code |= FAULT_FETCH;
  if ((access & ACCESS_SHADOW_STACK) !== 0) code |= FAULT_SHADOW_STACK;
  return code;
}
