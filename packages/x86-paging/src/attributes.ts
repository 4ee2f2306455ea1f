/**
 * What a mapping is like, whatever the mode: one small integer, packed so that ranges can be compared with `===`.
 *
 *   26 encrypted   25:16 software   15:12 key   11 ignore PAT   10:8 memory type   7 D   6 A   5 G   4 XU   3 X   2 U   1 W   0 R
 *
 * Memory type: on x86 tables the PAT index (PAT PCD PWT as bits 2 1 0), in EPT the type itself.
 */

import { PagingError } from "./errors.ts";
import type { PagingLevel, PagingMode } from "./mode.ts";
import { RIGHT_EXECUTE, RIGHT_READ, RIGHT_USER, RIGHT_USER_EXECUTE, RIGHT_WRITE } from "./rights.ts";
import type { Pfn } from "./units.ts";
import { TWO_32 } from "./units.ts";
import { entryRights } from "./walk.ts";

/** Bit of packed attributes: global, the translation survives a change of CR3. */
export const ATTR_GLOBAL = 32;
/** Bit of packed attributes: accessed, the processor used the translation. */
export const ATTR_ACCESSED = 64;
/** Bit of packed attributes: dirty, the page was stored to. */
export const ATTR_DIRTY = 128;
/** Lowest of the three bits of packed attributes that hold the memory type: the PAT index, or EPT's type. */
export const ATTR_TYPE_SHIFT = 8;
/** Bit of packed attributes: EPT ignores the guest's PAT. */
export const ATTR_IGNORE_PAT = 2048;
/** Lowest of the four bits of packed attributes that hold the protection key. */
export const ATTR_KEY_SHIFT = 12;
/** Lowest of the ten bits of packed attributes that hold the bits left to software. */
export const ATTR_SOFTWARE_SHIFT = 16;
/** Bit of packed attributes: encrypted, the C-bit of SME and SEV. */
export const ATTR_ENCRYPTED = 0x4000000;

/** Attributes spelt out. What is left out is off or 0; `read` is on unless said otherwise. */
export interface AttributeFields {
  readonly read?: boolean;
  readonly write?: boolean;
  readonly user?: boolean;
  readonly execute?: boolean;
  readonly userExecute?: boolean;
  readonly global?: boolean;
  readonly accessed?: boolean;
  readonly dirty?: boolean;
  /** PAT index or EPT memory type, 0 … 7. */
  readonly memoryType?: number;
  readonly ignorePat?: boolean;
  /** Protection key, 0 … 15. */
  readonly key?: number;
  /** Software bits as a mask, bit n for the mode's n-th software bit. */
  readonly software?: number;
  readonly encrypted?: boolean;
}

function inRange(name: string, value: number, limit: number): number {
  if (!Number.isInteger(value) || value < 0 || value >= limit) {
    throw new PagingError("bad-attributes", `${name} ${value} is not within 0 … ${limit - 1}`, { value });
  }
  return value;
}

/** Packs attributes. Throws `bad-attributes` for a number out of range. */
export function attributes(fields: AttributeFields): number {
  const on = (value: boolean | undefined, bit: number): number => (value === true ? bit : 0);
  return (
    (fields.read === false ? 0 : RIGHT_READ)
    | on(fields.write, RIGHT_WRITE)
    | on(fields.user, RIGHT_USER)
    | on(fields.execute, RIGHT_EXECUTE)
    | on(fields.userExecute, RIGHT_USER_EXECUTE)
    | on(fields.global, ATTR_GLOBAL)
    | on(fields.accessed, ATTR_ACCESSED)
    | on(fields.dirty, ATTR_DIRTY)
    | (inRange("memory type", fields.memoryType ?? 0, 8) << ATTR_TYPE_SHIFT)
    | on(fields.ignorePat, ATTR_IGNORE_PAT)
    | (inRange("key", fields.key ?? 0, 16) << ATTR_KEY_SHIFT)
    | (inRange("software bits", fields.software ?? 0, 1024) << ATTR_SOFTWARE_SHIFT)
    | on(fields.encrypted, ATTR_ENCRYPTED)
  );
}

/** Unpacks attributes: the opposite of {@link attributes}, every field spelt out. */
export function attributeFields(packed: number): Required<AttributeFields> {
  const has = (bit: number): boolean => (packed & bit) !== 0;
  return {
    read: has(RIGHT_READ),
    write: has(RIGHT_WRITE),
    user: has(RIGHT_USER),
    execute: has(RIGHT_EXECUTE),
    userExecute: has(RIGHT_USER_EXECUTE),
    global: has(ATTR_GLOBAL),
    accessed: has(ATTR_ACCESSED),
    dirty: has(ATTR_DIRTY),
    memoryType: (packed >>> ATTR_TYPE_SHIFT) & 7,
    ignorePat: has(ATTR_IGNORE_PAT),
    key: (packed >>> ATTR_KEY_SHIFT) & 15,
    software: (packed >>> ATTR_SOFTWARE_SHIFT) & 1023,
    encrypted: has(ATTR_ENCRYPTED),
  };
}

function softwareMask(mode: PagingMode, packed: number, half: 0 | 1): number {
  const bits = mode.definition.bits.software ?? [];
  let mask = 0;
  for (let rest = (packed >>> ATTR_SOFTWARE_SHIFT) & 1023, i = 0; rest !== 0; rest >>>= 1, i++) {
    const bit = bits[i];
    if ((rest & 1) === 0) continue;
    if (bit === undefined) throw new PagingError("bad-attributes", `${mode.name} has no software bit ${i}`, { bit: i });
    if (bit >> 5 === half) mask |= 1 << (bit & 31);
  }
  return mask >>> 0;
}

function unsupported(mode: PagingMode, what: string): never {
  throw new PagingError("bad-attributes", `${mode.name} entries cannot say: ${what}`, {});
}

/** Throws `bad-attributes` where the mode's entries cannot express the attributes. */
export function checkAttributes(mode: PagingMode, packed: number): void {
  if ((packed & RIGHT_READ) === 0 && mode.readMask === 0) unsupported(mode, "not readable");
  if ((packed & RIGHT_EXECUTE) === 0 && mode.executeMask === 0 && mode.noExecuteHigh === 0)
    unsupported(mode, "not executable");
  if ((packed & ATTR_GLOBAL) !== 0 && mode.globalMask === 0) unsupported(mode, "global");
  if ((packed & ATTR_IGNORE_PAT) !== 0 && mode.ignorePatMask === 0) unsupported(mode, "ignore PAT");
  if (((packed >>> ATTR_KEY_SHIFT) & 15) !== 0 && mode.keyShift < 0) unsupported(mode, "a protection key");
  if (((packed >>> ATTR_TYPE_SHIFT) & 7) !== 0 && mode.memoryTypeShift < 0 && mode.writeThroughMask === 0)
    unsupported(mode, "a memory type");
  if ((packed & 15) === 0) unsupported(mode, "no right at all");
}

/** The low word of a leaf's attributes, without its address. The mode's own way of saying "leaf" and "present" included. */
export function attributeLow(mode: PagingMode, level: PagingLevel, packed: number, encryption: number): number {
  const type = (packed >>> ATTR_TYPE_SHIFT) & 7;
  let low = level.leafMask;
  if (mode.readMask === 0 || mode.presentMask !== (mode.readMask | mode.writeMask | mode.executeMask) >>> 0)
    low |= mode.presentMask;
  if ((packed & RIGHT_READ) !== 0) low |= mode.readMask;
  if ((packed & RIGHT_WRITE) !== 0) low |= mode.writeMask;
  if ((packed & RIGHT_USER) !== 0) low |= mode.userMask;
  if ((packed & RIGHT_EXECUTE) !== 0) low |= mode.executeMask;
  if ((packed & RIGHT_USER_EXECUTE) !== 0) low |= mode.userExecuteMask;
  if ((packed & ATTR_GLOBAL) !== 0) low |= mode.globalMask;
  if ((packed & ATTR_ACCESSED) !== 0) low |= mode.accessedMask;
  if ((packed & ATTR_DIRTY) !== 0) low |= mode.dirtyMask;
  if ((packed & ATTR_IGNORE_PAT) !== 0) low |= mode.ignorePatMask;
  if (mode.memoryTypeShift >= 0) low |= type << mode.memoryTypeShift;
  if ((type & 1) !== 0) low |= mode.writeThroughMask;
  if ((type & 2) !== 0) low |= mode.cacheDisableMask;
  if ((type & 4) !== 0) low |= level.patMask;
  if ((packed & ATTR_ENCRYPTED) !== 0 && encryption < 32) low |= 2 ** encryption;
  return (low | softwareMask(mode, packed, 0)) >>> 0;
}

/** The high word of a leaf's attributes, without its address. */
export function attributeHigh(mode: PagingMode, packed: number, encryption: number): number {
  let high = (packed & RIGHT_EXECUTE) === 0 ? mode.noExecuteHigh : 0;
  if (mode.keyShift >= 0) high |= ((packed >>> ATTR_KEY_SHIFT) & 15) << mode.keyShift;
  if ((packed & ATTR_ENCRYPTED) !== 0 && encryption >= 32) high |= 2 ** (encryption - 32);
  return (high | softwareMask(mode, packed, 1)) >>> 0;
}

/** The low word of a leaf's address field. */
export function leafFrameLow(level: PagingLevel, pfn: Pfn): number {
  if (level.extensionScale !== 0) {
    const upper = Math.floor(pfn / level.extensionScale);
    return (
      ((((pfn - upper * level.extensionScale) * level.frameUnit) & level.frameLow)
        | ((upper & level.extensionMask) << level.extensionShift))
      >>> 0
    );
  }
  return (pfn * level.frameUnit) >>> 0;
}

/** The high word of a leaf's address field. */
export function leafFrameHigh(level: PagingLevel, pfn: Pfn): number {
  return level.extensionScale !== 0 ? 0 : Math.floor((pfn * level.frameUnit) / TWO_32) >>> 0;
}

/** The attributes of a leaf entry, as packed. `encryption` is the C-bit's position or −1. */
export function attributesOf(mode: PagingMode, level: PagingLevel, low: number, high: number, encryption = -1): number {
  let packed = entryRights(mode, level, low, high);
  if (mode.userExecuteMask === 0) packed &= ~RIGHT_USER_EXECUTE;
  if (mode.userMask === 0) packed &= ~RIGHT_USER;
  if ((low & mode.globalMask) !== 0) packed |= ATTR_GLOBAL;
  if ((low & mode.accessedMask) !== 0) packed |= ATTR_ACCESSED;
  if ((low & mode.dirtyMask) !== 0) packed |= ATTR_DIRTY;
  if ((low & mode.ignorePatMask) !== 0) packed |= ATTR_IGNORE_PAT;
  packed |= memoryTypeOf(mode, level, low) << ATTR_TYPE_SHIFT;
  if (mode.keyShift >= 0) packed |= ((high >>> mode.keyShift) & 15) << ATTR_KEY_SHIFT;
  const software = mode.definition.bits.software ?? [];
  for (let i = 0; i < software.length; i++) {
    const bit = software[i] ?? 0;
    if ((((bit < 32 ? low : high) >>> (bit & 31)) & 1) !== 0) packed |= 1 << (ATTR_SOFTWARE_SHIFT + i);
  }
  if (encryption >= 0 && (((encryption < 32 ? low : high) >>> (encryption & 31)) & 1) !== 0) packed |= ATTR_ENCRYPTED;
  return packed;
}

/** The memory-type selector of a leaf: the PAT index (PAT PCD PWT) on x86 tables, the type itself in EPT. */
export function memoryTypeOf(mode: PagingMode, level: PagingLevel, low: number): number {
  if (mode.memoryTypeShift >= 0) return (low >>> mode.memoryTypeShift) & 7;
  let type = 0;
  if ((low & mode.writeThroughMask) !== 0) type |= 1;
  if ((low & mode.cacheDisableMask) !== 0) type |= 2;
  if ((low & level.patMask) !== 0) type |= 4;
  return type;
}

/** The protection key of a leaf: 0 where the mode has none. */
export function keyOf(mode: PagingMode, high: number): number {
  return mode.keyShift < 0 ? 0 : (high >>> mode.keyShift) & 15;
}
