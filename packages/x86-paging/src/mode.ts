/**
 * A paging mode as data. Codec, walker, mapper, iterator and printers read this description; no mode has code of its own.
 *
 * `defineMode` checks a `ModeDefinition` written by people (bit numbers, level names) and compiles it to masks by level.
 */

import { PagingError } from "./errors.ts";
import type { RightsRule } from "./rights.ts";
import { TWO_32 } from "./units.ts";

/** A run of bits of an entry: bit `at` of the entry is bit `to` of the value, `width` bits long. */
export interface BitField {
  readonly at: number;
  readonly width: number;
  readonly to: number;
}

/** Where an entry keeps its single bits. What is left out does not exist in the mode. */
export interface EntryBits {
  /** Any of these bits makes the entry present (x86: bit 0; EPT: bits 2:0). */
  readonly present: readonly number[];
  readonly read?: number;
  readonly write?: number;
  readonly user?: number;
  readonly execute?: number;
  readonly noExecute?: number;
  readonly userExecute?: number;
  readonly accessed?: number;
  readonly dirty?: number;
  readonly global?: number;
  readonly writeThrough?: number;
  readonly cacheDisable?: number;
  readonly ignorePat?: number;
  /** First bit of EPT's three-bit memory type. */
  readonly memoryType?: number;
  /** First bit of the four-bit protection key. */
  readonly key?: number;
  /** Bits that hardware ignores and software may use, in order of the mask that `software` attributes give. */
  readonly software?: readonly number[];
}

/** One level of the tree. Level 1 is the one nearest the page. */
export interface LevelDefinition {
  /** Name of the table, as in "PML4". */
  readonly name: string;
  /** Lowest bit of the virtual address that selects the entry. */
  readonly shift: number;
  /** How many bits do. */
  readonly indexBits: number;
  /** When an entry is a leaf: always, never, when a bit is 1, or when it has a read, write or execute right (RISC-V). */
  readonly leaf: "always" | "never" | "rights" | { readonly bit: number };
  /** Name of the page that a leaf maps, as in "2M". */
  readonly page?: string;
  /** Where a leaf keeps its PAT bit. */
  readonly pat?: number;
  /** Where an entry keeps the address of the next table. */
  readonly table?: BitField;
  /** Where a leaf keeps its physical address. */
  readonly frame?: BitField;
  /** More address bits of a leaf (PSE-36). */
  readonly frameExtension?: BitField;
  /** Bits that must be 0 in an entry that refers to a table, beyond unused address bits. */
  readonly reservedTable?: readonly number[];
  /** Bits that must be 0 in a leaf. */
  readonly reservedLeaf?: readonly number[];
  /** Entries of this level carry no rights (PAE page-directory-pointer entries). */
  readonly withoutRights?: boolean;
  /** The processor keeps these entries in registers, loaded with the root (PAE). */
  readonly inRegisters?: boolean;
}

/** A paging mode as people write it. */
export interface ModeDefinition {
  readonly name: string;
  readonly entryBytes: 4 | 8;
  /** How many low bits of a virtual address are translated. */
  readonly addressBits: number;
  /** What the bits above must be: copies of the highest translated bit, zeros, or nothing in particular. */
  readonly extension: "sign" | "zero" | "ignored";
  /** The widest physical address that an entry can hold. */
  readonly physicalBits: number;
  readonly bits: EntryBits;
  /** Whether rights are those of all levels together, or of the leaf alone. */
  readonly inherit: "all-levels" | "leaf";
  readonly rule: RightsRule;
  /** From level 1 up. None: an address is its own translation. */
  readonly levels: readonly LevelDefinition[];
}

/** When an entry of a level is a leaf, as a small integer. */
export const LEAF_NEVER = 0;
/** Every present entry is a leaf. */
export const LEAF_ALWAYS = 1;
/** The bit `leafMask` decides. */
export const LEAF_BIT = 2;
/** A right decides: no read, write or execute right means table. */
export const LEAF_RIGHTS = 3;

/** A compiled level. Masks come as (low word, high word). */
export interface PagingLevel {
  readonly definition: LevelDefinition;
  /** 1 for the level nearest the page. */
  readonly level: number;
  readonly name: string;
  readonly page: string;
  readonly shift: number;
  readonly entries: number;
  /** Weight of one index step in 4K pages: what one entry covers. */
  readonly pages: number;
  readonly leafKind: number;
  readonly leafMask: number;
  /** Mask of the next table's address, and 2^k that turns the masked 64-bit number into a frame number. */
  readonly tableLow: number;
  readonly tableHigh: number;
  readonly tableScale: number;
  /** The same of a leaf's physical address. */
  readonly frameLow: number;
  readonly frameHigh: number;
  readonly frameScale: number;
  /** 1 / frameScale: writing an entry multiplies by it, a division takes four times as long. */
  readonly frameUnit: number;
  /** PSE-36: mask in the low word, its shift, and its weight in frames. */
  readonly extensionMask: number;
  readonly extensionShift: number;
  readonly extensionScale: number;
  /** PAT bit of a leaf as a mask of the low word, or 0. */
  readonly patMask: number;
  readonly reservedTableLow: number;
  readonly reservedTableHigh: number;
  readonly reservedLeafLow: number;
  readonly reservedLeafHigh: number;
  readonly withoutRights: boolean;
  readonly inRegisters: boolean;
}

/** A compiled mode: what every other function of this package takes. Frozen. */
export interface PagingMode {
  readonly definition: ModeDefinition;
  readonly name: string;
  /** Number of levels; the root is `levels[depth]`. */
  readonly depth: number;
  /** `levels[n]` is level n; `levels[0]` is absent. */
  readonly levels: readonly (PagingLevel | undefined)[];
  /** Words of an entry: 1 or 2. */
  readonly entryWords: number;
  readonly addressBits: number;
  readonly presentMask: number;
  /** Masks of the low word; 0 where the mode has no such bit. */
  readonly readMask: number;
  readonly writeMask: number;
  readonly userMask: number;
  readonly executeMask: number;
  readonly userExecuteMask: number;
  readonly accessedMask: number;
  readonly dirtyMask: number;
  readonly globalMask: number;
  readonly writeThroughMask: number;
  readonly cacheDisableMask: number;
  readonly ignorePatMask: number;
  readonly memoryTypeShift: number;
  /** Mask of the high word. */
  readonly noExecuteHigh: number;
  /** Shift of the key in the high word, or −1. */
  readonly keyShift: number;
  /** Low-word rights bits together: what tells a RISC-V leaf. */
  readonly leafRights: number;
  /** 4 or 5 when tables have the x86-64 shape, for which the walker has an unrolled path; else 0. */
  readonly unrolled: number;
}

/** Mask of the low word for a bit number, 0 for none. Throws `bad-mode` for a bit that is not in the low word. */
function lowMask(name: string, bit: number | undefined): number {
  if (bit === undefined) return 0;
  if (!Number.isInteger(bit) || bit < 0 || bit > 31) {
    throw new PagingError("bad-mode", `${name}: bit ${bit} is not within 31:0`, { bit });
  }
  return (1 << bit) >>> 0;
}

/** The (low, high) masks of bits `at` … `at + width − 1`. */
export function fieldMasks(at: number, width: number): readonly [number, number] {
  let low = 0;
  let high = 0;
  for (let bit = at; bit < at + width; bit++) {
    if (bit < 32) low += 2 ** bit;
    else high += 2 ** (bit - 32);
  }
  return [low, high];
}

function bitMasks(bits: readonly number[]): readonly [number, number] {
  let low = 0;
  let high = 0;
  for (const bit of new Set(bits)) {
    if (bit < 32) low += 2 ** bit;
    else high += 2 ** (bit - 32);
  }
  return [low, high];
}

function requireField(definition: ModeDefinition, level: LevelDefinition, field: BitField | undefined): BitField {
  const limit = definition.entryBytes * 8;
  if (field === undefined) throw new PagingError("bad-mode", `${definition.name}: ${level.name} has no address field`);
  if (
    field.at < 0
    || field.width < 1
    || field.at + field.width > limit
    || field.to < 12
    || field.to + field.width > 64
  ) {
    throw new PagingError("bad-mode", `${definition.name}: the address field of ${level.name} does not fit`, {
      ...field,
    });
  }
  return field;
}

function compileLevel(definition: ModeDefinition, level: LevelDefinition, number: number): PagingLevel {
  const kind = level.leaf;
  const leafKind =
    kind === "always" ? LEAF_ALWAYS : kind === "never" ? LEAF_NEVER : kind === "rights" ? LEAF_RIGHTS : LEAF_BIT;
  const absent: BitField = { at: 12, width: 0, to: 12 };
  const table = leafKind === LEAF_ALWAYS ? absent : requireField(definition, level, level.table);
  const frame = leafKind === LEAF_NEVER ? absent : requireField(definition, level, level.frame);
  const [tableLow, tableHigh] = fieldMasks(table.at, table.width);
  const [frameLow, frameHigh] = fieldMasks(frame.at, frame.width);
  const [reservedTableLow, reservedTableHigh] = bitMasks(level.reservedTable ?? []);
  const [reservedLeafLow, reservedLeafHigh] = bitMasks(level.reservedLeaf ?? []);
  const extension = level.frameExtension;
  return {
    definition: level,
    level: number,
    name: level.name,
    page: level.page ?? "",
    shift: level.shift,
    entries: 2 ** level.indexBits,
    pages: 2 ** (level.shift - 12),
    leafKind,
    leafMask: typeof kind === "object" ? lowMask(level.name, kind.bit) : 0,
    tableLow,
    tableHigh,
    tableScale: 2 ** (table.to - table.at - 12),
    frameLow,
    frameHigh,
    frameScale: 2 ** (frame.to - frame.at - 12),
    frameUnit: 2 ** (frame.at + 12 - frame.to),
    extensionMask: extension === undefined ? 0 : 2 ** extension.width - 1,
    extensionShift: extension?.at ?? 0,
    extensionScale: extension === undefined ? 0 : 2 ** (extension.to - 12),
    patMask: lowMask(level.name, level.pat),
    reservedTableLow,
    reservedTableHigh,
    reservedLeafLow,
    reservedLeafHigh,
    withoutRights: level.withoutRights ?? false,
    inRegisters: level.inRegisters ?? false,
  };
}

function checkShape(definition: ModeDefinition): void {
  const { name, levels, addressBits } = definition;
  let bit = 12;
  levels.forEach((level, i) => {
    if (level.shift !== bit) {
      throw new PagingError("bad-mode", `${name}: ${level.name} starts at bit ${level.shift}, expected ${bit}`, {
        shift: level.shift,
      });
    }
    if (level.leaf === "always" && i > 0) throw new PagingError("bad-mode", `${name}: only level 1 may be all leaves`);
    bit += level.indexBits;
  });
  if (levels.length > 6) throw new PagingError("bad-mode", `${name}: more than 6 levels`, { levels: levels.length });
  if (levels.length > 0 && levels[0]?.leaf === "never")
    throw new PagingError("bad-mode", `${name}: level 1 must have leaves`);
  if (levels.length > 0 && bit !== addressBits) {
    throw new PagingError("bad-mode", `${name}: the levels translate ${bit} bits, not ${addressBits}`, {
      bit,
      addressBits,
    });
  }
}

function isUnrolled(definition: ModeDefinition, levels: readonly PagingLevel[]): boolean {
  const { bits, rule, inherit } = definition;
  const shaped = levels.every(
    (level) => level.definition.indexBits === 9 && !level.withoutRights && level.extensionScale === 0,
  );
  const leaves = levels.every((level) =>
    level.level === 1 || level.level > 3 ? level.leafKind === (level.level === 1 ? 1 : 0) : level.leafMask === 0x80,
  );
  const low =
    bits.present.length === 1 && bits.present[0] === 0 && bits.write === 1 && bits.user === 2 && bits.noExecute === 63;
  const fields = levels.every(
    (level) => level.level === 1 || (level.tableLow === 0xfffff000 && level.tableScale === 2 ** -12),
  );
  return (
    rule === "x86" && inherit === "all-levels" && definition.extension === "sign" && shaped && leaves && low && fields
  );
}

/**
 * Compiles a description to the form that walker, mapper and printers take.
 * Throws `bad-mode`, naming the level, where the description does not hold together.
 */
export function defineMode(definition: ModeDefinition): PagingMode {
  checkShape(definition);
  const { name, bits } = definition;
  const compiled = definition.levels.map((level, i) => compileLevel(definition, level, i + 1));
  const read = lowMask(name, bits.read);
  const write = lowMask(name, bits.write);
  const execute = lowMask(name, bits.execute);
  const depth = compiled.length;
  return Object.freeze({
    definition,
    name,
    depth,
    levels: [undefined, ...compiled],
    entryWords: definition.entryBytes / 4,
    addressBits: definition.addressBits,
    presentMask: bits.present.reduce((mask, bit) => (mask | lowMask(name, bit)) >>> 0, 0),
    readMask: read,
    writeMask: write,
    userMask: lowMask(name, bits.user),
    executeMask: execute,
    userExecuteMask: lowMask(name, bits.userExecute),
    accessedMask: lowMask(name, bits.accessed),
    dirtyMask: lowMask(name, bits.dirty),
    globalMask: lowMask(name, bits.global),
    writeThroughMask: lowMask(name, bits.writeThrough),
    cacheDisableMask: lowMask(name, bits.cacheDisable),
    ignorePatMask: lowMask(name, bits.ignorePat),
    memoryTypeShift: bits.memoryType ?? -1,
    noExecuteHigh: bits.noExecute === undefined ? 0 : (1 << (bits.noExecute - 32)) >>> 0,
    keyShift: bits.key === undefined ? -1 : bits.key - 32,
    leafRights: (read | write | execute) >>> 0,
    unrolled: (depth === 4 || depth === 5) && isUnrolled(definition, compiled) ? depth : 0,
  });
}

/** The level `n` of a mode; throws `out-of-range` where the mode has none. */
export function levelOf(mode: PagingMode, n: number): PagingLevel {
  const level = mode.levels[n];
  if (level === undefined) throw new PagingError("out-of-range", `${mode.name} has no level ${n}`, { level: n });
  return level;
}

/** The frame number in an entry that refers to a table. */
export function tableFrameOf(level: PagingLevel, low: number, high: number): number {
  return Math.floor((((high & level.tableHigh) >>> 0) * TWO_32 + ((low & level.tableLow) >>> 0)) * level.tableScale);
}

/** The first frame that a leaf entry maps. */
export function leafFrameOf(level: PagingLevel, low: number, high: number): number {
  const frame = (((high & level.frameHigh) >>> 0) * TWO_32 + ((low & level.frameLow) >>> 0)) * level.frameScale;
  return Math.floor(frame) + ((low >>> level.extensionShift) & level.extensionMask) * level.extensionScale;
}

/** Whether a present entry of this level is a leaf. */
export function isLeaf(mode: PagingMode, level: PagingLevel, low: number): boolean {
  const kind = level.leafKind;
  if (kind === LEAF_BIT) return (low & level.leafMask) !== 0;
  if (kind === LEAF_RIGHTS) return (low & mode.leafRights) !== 0;
  return kind === LEAF_ALWAYS;
}

/** The index into a table of this level that a (low, high) address selects. */
export function indexOf(level: PagingLevel, low: number, high: number): number {
  const shift = level.shift;
  const bits = shift < 32 ? (shift === 0 ? low : (low >>> shift) | (high << (32 - shift))) : high >>> (shift - 32);
  return bits & (level.entries - 1);
}
