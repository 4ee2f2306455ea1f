/** One entry of any mode in words, bit by bit. */

import { formatBigint, bigintOfWords } from "./address.ts";
import { memoryTypeOf } from "./attributes.ts";
import { patType } from "./memory-type.ts";
import type { PagingLevel, PagingMode } from "./mode.ts";
import { isLeaf, leafFrameOf, levelOf, tableFrameOf } from "./mode.ts";
import { MEMORY_TYPE_NAMES } from "./registers.ts";
import type { PagingState } from "./state.ts";
import { physOf } from "./units.ts";
import { isReserved } from "./walk.ts";

/** One bit or field of an entry. */
export interface EntryBit {
  /** "R/W", "NX", "address" … */
  readonly name: string;
  /** As in "1" or "51:12". */
  readonly bits: string;
  readonly text: string;
}

/** An entry in words and data: what kind it is, where it leads, its bits one by one, and what is reserved. */
export interface EntryExplanation {
  readonly mode: string;
  readonly level: number;
  /** "PD entry" … */
  readonly name: string;
  /** "not-present", "table", or the page size, as in "2M". */
  readonly kind: string;
  readonly value: bigint;
  /** Physical address of the table or page; absent where not present. */
  readonly address?: bigint;
  readonly bits: readonly EntryBit[];
  /** Bits that must be 0 and are not, with the reason. */
  readonly reserved: readonly ReservedBit[];
  readonly sentence: string;
}

/** Why a bit is reserved. */
export type ReservedCause = "no-execute" | "page-size" | "alignment" | "address-width" | "combination" | "format";

/** A bit that must be 0. */
export interface ReservedBit {
  readonly bit: number;
  readonly cause: ReservedCause;
  readonly text: string;
}

function bitSet(low: number, high: number, position: number): boolean {
  return (((position < 32 ? low : high) >>> (position & 31)) & 1) === 1;
}

/** Every reserved bit that is set in a present entry, highest first, with why it is reserved. */
export function reservedBitsOf(state: PagingState, level: PagingLevel, low: number, high: number): ReservedBit[] {
  const mode = state.mode;
  const leaf = isLeaf(mode, level, low);
  if (!isReserved(state, level, low, high, leaf)) return [];
  const n = level.level;
  const maskLow = leaf ? state.reservedLeafLow[n]! : state.reservedTableLow[n]!;
  const maskHigh = leaf ? state.reservedLeafHigh[n]! : state.reservedTableHigh[n]!;
  const found: ReservedBit[] = [];
  for (let bit = 63; bit >= 0; bit--) {
    if (bitSet(low, high, bit) && bitSet(maskLow, maskHigh, bit)) found.push(reservedBit(state, level, leaf, bit));
  }
  if (found.length === 0)
    found.push({
      bit: 0,
      cause: "combination",
      text: "a combination of rights or a memory type that the format forbids",
    });
  return found;
}

/** Reserved bits in words, separated by semicolons; those that a misaligned page sets are named together. */
export function reservedText(reserved: readonly ReservedBit[]): string {
  const misaligned = reserved.filter(({ cause }) => cause === "alignment");
  const [first] = misaligned;
  if (first === undefined || misaligned.length === 1) return reserved.map(({ text }) => text).join("; ");
  const together = first.text.replace(`bit ${first.bit}`, `bits ${misaligned.map(({ bit }) => bit).join(", ")}`);
  const texts = reserved.flatMap((item) => (item === first ? together : item.cause === "alignment" ? [] : item.text));
  return texts.join("; ");
}

function reservedBit(state: PagingState, level: PagingLevel, leaf: boolean, bit: number): ReservedBit {
  const width = state.maxPhysicalBits;
  const fixed = leaf ? level.definition.reservedLeaf : level.definition.reservedTable;
  if (bit === state.mode.definition.bits.noExecute && fixed?.includes(bit) !== true) {
    return { bit, cause: "no-execute", text: "bit 63 (NX) is reserved while EFER.NXE is 0" };
  }
  if (fixed?.includes(bit) !== true)
    return { bit, cause: "address-width", text: `bit ${bit} is an address bit beyond MAXPHYADDR (${width})` };
  if (leaf && bit > 11 && bit < 32)
    return {
      bit,
      cause: "alignment",
      text: `bit ${bit} of a ${level.page} page must be 0: the page is not aligned to its size`,
    };
  if (!leaf && bit === 7)
    return {
      bit,
      cause: "page-size",
      text: `bit 7 (PS) is reserved in a ${level.name} entry: there are no pages of that size`,
    };
  return { bit, cause: "format", text: `bit ${bit} is reserved in a ${level.name} entry` };
}

const EPT_TYPES = ["UC", "WC", "2 (reserved)", "3 (reserved)", "WT", "WP", "WB", "7 (reserved)"];

function rightsBits(mode: PagingMode, level: PagingLevel, low: number, high: number): EntryBit[] {
  const bits = mode.definition.bits;
  const list: EntryBit[] = [];
  const add = (name: string, position: number | undefined, one: string, zero: string): void => {
    if (position === undefined) return;
    const text = bitSet(low, high, position) ? one : zero;
    if (text !== "") list.push({ name, bits: `${position}`, text });
  };
  if (level.withoutRights) return list;
  add("R", bits.read, "readable", "not readable");
  add(mode.definition.rule === "x86" ? "R/W" : "W", bits.write, "writable", "read-only");
  add("X", bits.execute, "executable", "not executable");
  add("XU", bits.userExecute, "executable from user addresses", "");
  add(mode.definition.rule === "x86" ? "U/S" : "U", bits.user, "user", "supervisor only");
  add("NX", bits.noExecute, "not executable", "executable");
  return list;
}

function statusBits(mode: PagingMode, level: PagingLevel, low: number, high: number, leaf: boolean): EntryBit[] {
  const bits = mode.definition.bits;
  const list: EntryBit[] = [];
  const add = (name: string, position: number | undefined, text: string): void => {
    if (position !== undefined && bitSet(low, high, position)) list.push({ name, bits: `${position}`, text });
  };
  add("A", bits.accessed, "accessed");
  if (leaf) add("D", bits.dirty, "dirty");
  if (leaf) add("G", bits.global, "global");
  if (leaf && bits.memoryType !== undefined) {
    const type = memoryTypeOf(mode, level, low);
    list.push({
      name: "type",
      bits: `${bits.memoryType + 2}:${bits.memoryType}`,
      text: `memory type ${EPT_TYPES[type] ?? ""}`,
    });
    add("IPAT", bits.ignorePat, "the guest's PAT is ignored");
  } else if (bits.writeThrough !== undefined) {
    add("PWT", bits.writeThrough, "write-through");
    add("PCD", bits.cacheDisable, "cache disabled");
    if (leaf) add("PAT", level.definition.pat, "PAT");
    const index = leaf ? memoryTypeOf(mode, level, low) : 0;
    if (leaf && index !== 0)
      list.push({
        name: "type",
        bits: "",
        text: `PAT entry ${index} (${MEMORY_TYPE_NAMES[patType(index)] ?? ""} after reset)`,
      });
  }
  if (leaf && mode.keyShift >= 0) {
    const key = (high >>> mode.keyShift) & 15;
    if (key !== 0) list.push({ name: "key", bits: "62:59", text: `protection key ${key}` });
  }
  for (const position of bits.software ?? []) add("software", position, `bit ${position} is set (ignored by hardware)`);
  return list;
}

/** Explains an entry at a level; with a `state`, reserved bits depend on its MAXPHYADDR and NXE. */
export function explainEntry(state: PagingState, n: number, low: number, high: number): EntryExplanation {
  const mode = state.mode;
  const level = levelOf(mode, n);
  const value = bigintOfWords(low, high);
  const base = { mode: mode.name, level: n, name: `${level.name} entry`, value };
  if ((low & state.presentMask) === 0) {
    const text =
      value === 0n
        ? "empty: nothing is mapped here"
        : "not present: hardware ignores the other bits, which the operating system may use";
    return {
      ...base,
      kind: "not-present",
      bits: [],
      reserved: [],
      sentence: `${level.name} entry ${formatBigint(value)}: ${text}`,
    };
  }
  const leaf = isLeaf(mode, level, low);
  const lowMasked = low & state.addressLow;
  const highMasked = high & state.addressHigh;
  const pfn = leaf ? leafFrameOf(level, lowMasked, highMasked) : tableFrameOf(level, lowMasked, highMasked);
  const address = BigInt(physOf(pfn));
  const bits = [...rightsBits(mode, level, low, high), ...statusBits(mode, level, low, high, leaf)];
  const reserved = reservedBitsOf(state, level, low, high);
  const below = mode.levels[n - 1]?.name ?? "table";
  const what = leaf
    ? `maps the ${level.page} page at ${formatBigint(address)}`
    : `refers to the ${below} at ${formatBigint(address)}`;
  const words = bits.map((item) => item.text).join(", ");
  const bad = reserved.length === 0 ? "" : `; RESERVED: ${reservedText(reserved)}`;
  return {
    ...base,
    kind: leaf ? level.page : "table",
    address,
    bits,
    reserved,
    sentence: `${level.name} entry ${formatBigint(value)} ${what}${words === "" ? "" : `: ${words}`}${bad}`,
  };
}
