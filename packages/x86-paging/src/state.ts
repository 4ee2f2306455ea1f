/**
 * Everything of a processor that decides a walk, compiled once when registers change: root, reserved-bit masks,
 * keys, and a table that answers "do these rights allow this access" in one read.
 */

import { PagingError } from "./errors.ts";
import type { PagingMode } from "./mode.ts";
import { fieldMasks, levelOf } from "./mode.ts";
import { ACCESS_COUNT, ACCESS_SHADOW_STACK, allows } from "./rights.ts";
import type { RightsPolicy } from "./rights.ts";
import type { Pfn } from "./units.ts";

/** What may be set of a `PagingState`. Features left out are off, widths at their largest. */
export interface PagingOptions extends Partial<RightsPolicy> {
  readonly mode: PagingMode;
  /** The frame of the root table: CR3, nCR3, EPTP or satp. */
  readonly root?: Pfn;
  /** MAXPHYADDR, 32 … 52 (default: the most that the mode's entries hold). Address bits from here up are reserved. */
  readonly maxPhysicalBits?: number;
  /** EFER.NXE (default true). Where false, bit 63 is reserved. */
  readonly noExecute?: boolean;
  /** CR4.PKE: protection keys for user pages, by `pkru`. */
  readonly userKeys?: boolean;
  /** CR4.PKS: protection keys for supervisor pages, by `pkrs`. */
  readonly supervisorKeys?: boolean;
  readonly pkru?: number;
  readonly pkrs?: number;
  /** SME/SEV: the bit of an entry that says "encrypted" and is not part of the address. */
  readonly encryptionBit?: number;
  /** Width that LAM leaves translated in user addresses: 0 (off), 48 or 57. */
  readonly lamUser?: number;
  /** The same for supervisor addresses. */
  readonly lamSupervisor?: number;
  /** EPT: execute-only entries are supported (default true). */
  readonly executeOnly?: boolean;
  /** EPTP bit 6, or a mode with such bits: walks set accessed and dirty bits (default true). */
  readonly accessedDirty?: boolean;
}

/** Most levels that a mode may have. */
export const MAX_DEPTH = 6;

/**
 * The compiled state. Fields are for the walker to read; change them through `configure`, `root` and `setKeys` only.
 *
 * `allowed[access * 32 + rights]` is 1 where allowed (0 for all shadow-stack accesses: the exact walk judges them by the leaf). `reserved…[level]` are masks of bits that must be 0.
 */
export class PagingState {
  mode: PagingMode;
  /** Frame of the root table. Assign it to switch address spaces. */
  root: Pfn = 0;
  /** PAE: the four page-directory-pointer registers, as (low, high) words. */
  readonly rootEntries: Uint32Array = new Uint32Array(8);
  readonly allowed: Uint8Array = new Uint8Array(ACCESS_COUNT * 32);
  readonly reservedTableLow: Uint32Array = new Uint32Array(MAX_DEPTH + 1);
  readonly reservedTableHigh: Uint32Array = new Uint32Array(MAX_DEPTH + 1);
  readonly reservedLeafLow: Uint32Array = new Uint32Array(MAX_DEPTH + 1);
  readonly reservedLeafHigh: Uint32Array = new Uint32Array(MAX_DEPTH + 1);
  /** Low-word bits of which one makes an entry present: the mode's, and under mode-based execute control EPT's bit 10. */
  presentMask = 0;
  /** 4, 5 or 0: levels of the unrolled walk, where it applies. */
  unrolled = 0;
  /** High-word bits that the unrolled walk leaves to the exact one, as a signed word: reserved ones, and frames from 2^31 on. */
  oddHigh = 0;
  /** High-word mask of an address in an entry: all ones but the encryption bit. */
  addressHigh = 0xffffffff;
  /** The same for the low word. */
  addressLow = 0xffffffff;
  /** 1 where protection keys of either kind are on. */
  keyed = 0;
  userKeys = false;
  supervisorKeys = false;
  pkru = 0;
  pkrs = 0;
  writeProtect = false;
  /** Whether bit 4 of the error code says "fetch". */
  fetchReported = false;
  lamUser = 0;
  lamSupervisor = 0;
  executeOnly = true;
  accessedDirty = true;
  maxPhysicalBits = 52;

  constructor(options: PagingOptions) {
    this.mode = options.mode;
    this.configure(options);
  }

  /**
   * Compiles new options in place. O(levels + 2048). Throws `out-of-range` for a width, root or encryption bit out of range.
   */
  configure(options: PagingOptions): void {
    const mode = options.mode;
    const width = options.maxPhysicalBits ?? mode.definition.physicalBits;
    if (!Number.isInteger(width) || width < 12 || width > 64) {
      throw new PagingError("out-of-range", `MAXPHYADDR ${width} is not within 12 … 64`, { width });
    }
    const noExecute = options.noExecute ?? true;
    const smep = options.smep ?? false;
    this.mode = mode;
    this.root = options.root ?? this.root;
    this.maxPhysicalBits = width;
    this.writeProtect = options.writeProtect ?? false;
    this.fetchReported = smep || (noExecute && mode.noExecuteHigh !== 0);
    this.lamUser = options.lamUser ?? 0;
    this.lamSupervisor = options.lamSupervisor ?? 0;
    this.executeOnly = options.executeOnly ?? true;
    this.accessedDirty = options.accessedDirty ?? true;
    this.presentMask = (mode.presentMask | (options.modeBasedExecute === true ? mode.userExecuteMask : 0)) >>> 0;
    this.setKeys(options.userKeys ?? false, options.supervisorKeys ?? false, options.pkru ?? 0, options.pkrs ?? 0);
    this.#compileAddressMask(options.encryptionBit);
    this.#compileReserved(noExecute);
    this.#compileAllowed({
      writeProtect: this.writeProtect,
      smep,
      smap: options.smap ?? false,
      modeBasedExecute: options.modeBasedExecute ?? false,
      executableReadable: options.executableReadable ?? false,
    });
  }

  /** Sets protection keys: CR4.PKE, CR4.PKS and the two registers. */
  setKeys(userKeys: boolean, supervisorKeys: boolean, pkru: number, pkrs: number): void {
    const has = this.mode.keyShift >= 0;
    this.userKeys = has && userKeys;
    this.supervisorKeys = has && supervisorKeys;
    this.pkru = pkru;
    this.pkrs = pkrs;
    this.keyed = this.userKeys || this.supervisorKeys ? 1 : 0;
  }

  #compileAddressMask(bit: number | undefined): void {
    const [low, high] = bit === undefined ? [0, 0] : fieldMasks(bit, 1);
    if (bit !== undefined && (bit < 12 || bit > 62)) {
      throw new PagingError("out-of-range", `the encryption bit ${bit} is not an address bit`, { bit });
    }
    this.addressLow = ~low >>> 0;
    this.addressHigh = ~high >>> 0;
  }

  #compileReserved(noExecute: boolean): void {
    const mode = this.mode;
    const executeHigh = noExecute ? 0 : mode.noExecuteHigh;
    let common = 0xffffffff;
    for (let n = 1; n <= mode.depth; n++) {
      const level = levelOf(mode, n);
      const table = unusedAddressBits(level.definition.table, this.maxPhysicalBits);
      const leaf = unusedAddressBits(level.definition.frame, this.maxPhysicalBits);
      const extension = unusedAddressBits(level.definition.frameExtension, this.maxPhysicalBits);
      const low = this.addressLow;
      const high = this.addressHigh;
      this.reservedTableLow[n] = (level.reservedTableLow | (table[0] & low)) >>> 0;
      this.reservedTableHigh[n] =
        (level.reservedTableHigh | (table[1] & high) | (level.withoutRights ? 0 : executeHigh)) >>> 0;
      this.reservedLeafLow[n] = (level.reservedLeafLow | ((leaf[0] | extension[0]) & low)) >>> 0;
      this.reservedLeafHigh[n] = (level.reservedLeafHigh | (leaf[1] & high) | executeHigh) >>> 0;
      common &= n === 1 ? this.reservedLeafHigh[n]! : this.reservedTableHigh[n]!;
    }
    this.oddHigh = common | (0xff800 & this.addressHigh);
    const plainFrames = this.addressLow === 0xffffffff && (this.addressHigh & 0x7ff) === 0x7ff;
    this.unrolled = this.maxPhysicalBits >= 32 && plainFrames ? mode.unrolled : 0;
  }

  #compileAllowed(policy: RightsPolicy): void {
    const rule = this.mode.definition.rule;
    for (let access = 0; access < ACCESS_COUNT; access++) {
      for (let rights = 0; rights < 32; rights++) {
        const plain = (access & ACCESS_SHADOW_STACK) === 0;
        this.allowed[access * 32 + rights] = plain && allows(rule, policy, rights, access) ? 1 : 0;
      }
    }
  }
}

function unusedAddressBits(
  field: { at: number; width: number; to: number } | undefined,
  width: number,
): readonly [number, number] {
  if (field === undefined) return [0, 0];
  const used = Math.min(field.width, Math.max(0, width - field.to));
  return fieldMasks(field.at + used, field.width - used);
}
