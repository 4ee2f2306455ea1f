/**
 * Entries of 4- and 5-level tables as typed objects: what a level cannot hold does not compile.
 *
 *   level 5, 4   table or not present            level 2   table, 2M leaf or not present
 *   level 3      table, 1G leaf or not present   level 1   4K leaf or not present
 *
 * For people and tools; hot paths work on the words.
 */

import { bigintOfWords, wordsOfBigint } from "./address.ts";
import type { AttributeFields } from "./attributes.ts";
import {
  attributeFields,
  attributeHigh,
  attributeLow,
  attributes,
  attributesOf,
  leafFrameHigh,
  leafFrameLow,
} from "./attributes.ts";
import { PagingError } from "./errors.ts";
import { isLeaf, leafFrameOf, levelOf, tableFrameOf } from "./mode.ts";
import { MODE_5_LEVEL } from "./modes.ts";
import type { Pfn } from "./units.ts";

/** A level of 4- or 5-level tables. */
export type LongLevel = 1 | 2 | 3 | 4 | 5;

/** P = 0: hardware ignores the other 63 bits. */
export interface NotPresentEntry {
  readonly kind: "not-present";
  /** Bits 63:1, for the operating system. */
  readonly payload: bigint;
}

/** An entry that refers to a table. It has no D, G, PAT or key. */
export interface TableEntry {
  readonly kind: "table";
  readonly table: Pfn;
  readonly write?: boolean;
  readonly user?: boolean;
  readonly execute?: boolean;
  readonly accessed?: boolean;
  readonly writeThrough?: boolean;
  readonly cacheDisable?: boolean;
  /** Ignored bits 11:8 as a mask. */
  readonly software?: number;
}

/** A leaf of one page size. */
export interface LeafEntry<Size extends "4K" | "2M" | "1G"> extends Omit<
  AttributeFields,
  "read" | "userExecute" | "ignorePat"
> {
  readonly kind: Size;
  /** First frame; a multiple of the page size. */
  readonly frame: Pfn;
}

/** What an entry of level `L` can be. */
export type EntryAt<L extends LongLevel> =
  | NotPresentEntry
  | (L extends 1
      ? LeafEntry<"4K">
      : L extends 2
        ? TableEntry | LeafEntry<"2M">
        : L extends 3
          ? TableEntry | LeafEntry<"1G">
          : TableEntry);

/** Any entry of any level. */
export type AnyEntry = NotPresentEntry | TableEntry | LeafEntry<"4K"> | LeafEntry<"2M"> | LeafEntry<"1G">;

const bit = (value: boolean | undefined, mask: number): number => (value === true ? mask : 0);

/** A shadow-stack page's leaf: R/W = 0, D = 1. Every entry above it must have R/W = 1. */
export function shadowStackLeaf(frame: Pfn, user: boolean): LeafEntry<"4K"> {
  return { kind: "4K", frame, user, write: false, dirty: true, accessed: true };
}

/** The 64-bit entry. Throws `unaligned` for a frame that is no multiple of the page size, `out-of-range` for one beyond 52 bits. */
export function encodeEntry<L extends LongLevel>(level: L, entry: EntryAt<L>): bigint {
  const any: AnyEntry = entry;
  if (any.kind === "not-present") {
    if ((any.payload & 1n) === 1n) throw new PagingError("bad-attributes", "a payload must leave bit 0 clear", {});
    return BigInt.asUintN(64, any.payload);
  }
  const format = levelOf(MODE_5_LEVEL, level);
  const frame = any.kind === "table" ? any.table : any.frame;
  if (!Number.isSafeInteger(frame) || frame < 0 || frame >= 2 ** 40)
    throw new PagingError("out-of-range", `frame ${frame} does not fit 40 bits`, { frame });
  if (any.kind === "table") {
    const low =
      1
      | bit(any.write, 2)
      | bit(any.user, 4)
      | bit(any.writeThrough, 8)
      | bit(any.cacheDisable, 16)
      | bit(any.accessed, 32)
      | (((any.software ?? 0) & 15) << 8);
    return bigintOfWords(low, any.execute === false ? 0x80000000 : 0) | (BigInt(frame) << 12n);
  }
  if (Math.floor(frame / format.pages) * format.pages !== frame) {
    throw new PagingError("unaligned", `frame ${frame} is not the first of a ${any.kind} page`, { frame });
  }
  const packed = attributes({ ...any, execute: any.execute !== false });
  const low = attributeLow(MODE_5_LEVEL, format, packed, -1) | leafFrameLow(format, frame);
  return bigintOfWords(low, attributeHigh(MODE_5_LEVEL, packed, -1) | leafFrameHigh(format, frame));
}

/** The entry that 64 bits mean at a level; reserved bits are passed over. */
export function decodeEntry<L extends LongLevel>(level: L, value: bigint): EntryAt<L> {
  return decodeAny(level, value) as EntryAt<L>;
}

function decodeAny(level: LongLevel, value: bigint): AnyEntry {
  const [low, high] = wordsOfBigint(value);
  if ((low & 1) === 0) return { kind: "not-present", payload: value };
  const format = levelOf(MODE_5_LEVEL, level);
  if (!isLeaf(MODE_5_LEVEL, format, low)) {
    return {
      kind: "table",
      table: tableFrameOf(format, low, high),
      write: (low & 2) !== 0,
      user: (low & 4) !== 0,
      writeThrough: (low & 8) !== 0,
      cacheDisable: (low & 16) !== 0,
      accessed: (low & 32) !== 0,
      execute: high >>> 31 === 0,
      software: (low >>> 8) & 15,
    };
  }
  const {
    read: _read,
    userExecute: _userExecute,
    ignorePat: _ignorePat,
    ...fields
  } = attributeFields(attributesOf(MODE_5_LEVEL, format, low, high));
  const kind = level === 1 ? "4K" : level === 2 ? "2M" : "1G";
  return { kind, frame: leafFrameOf(format, low, high), ...fields };
}
