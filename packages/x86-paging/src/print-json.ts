/** What tables map as plain objects: what `JSON.stringify` takes, addresses as hex strings, since JSON's numbers end at 2^53. */

import { bigintOfVpn } from "./address.ts";
import type { AttributeFields } from "./attributes.ts";
import { attributeFields, attributesOf } from "./attributes.ts";
import { BoundedCursor } from "./bounded-cursor.ts";
import type { Difference, Side } from "./compare.ts";
import type { PagingMode } from "./mode.ts";
import { levelOf } from "./mode.ts";
import type { TableMemory } from "./ports.ts";
import { rightsText } from "./rights.ts";
import type { Run, RunOptions } from "./runs.ts";
import { runs } from "./runs.ts";
import type { PagingState } from "./state.ts";

/** A run, or a single leaf. Addresses are `0x` and hex digits without leading zeros, `end` is one past the last byte. */
export interface JsonRun {
  readonly start: string;
  readonly end: string;
  /** Physical address of `start`. */
  readonly physical: string;
  /** 4K pages. */
  readonly pages: number;
  /** Size of the leaves: "4K", "2M" … */
  readonly page: string;
  /** Rights accumulated from the root down, as `rightsText` prints them. */
  readonly rights: string;
  readonly global: boolean;
  /** PAT index, or the type itself in EPT. */
  readonly memoryType: number;
  /** Protection key, 0 … 15. */
  readonly key: number;
  /** Bits left to software as a mask: bit n for the mode's n-th one. */
  readonly software: number;
  /** The C-bit of SME and SEV. */
  readonly encrypted: boolean;
}

/** One side of a difference. */
export interface JsonSide extends Required<AttributeFields> {
  readonly physical: string;
  readonly rights: string;
  readonly page: string;
}

/** A range that two sets of tables map differently. */
export interface JsonDifference {
  readonly kind: Difference["kind"];
  readonly start: string;
  readonly end: string;
  /** 4K pages. */
  readonly pages: number;
  /** Absent where `kind` is "mapped". */
  readonly before?: JsonSide;
  /** Absent where `kind` is "unmapped". */
  readonly after?: JsonSide;
}

/** Which range, how many leaves at most, and whether neighbours are merged. */
export interface JsonListingOptions extends RunOptions {
  /** Every leaf by itself, not merged with its neighbours (default false). */
  readonly leaves?: boolean;
}

function hex(value: bigint): string {
  return `0x${value.toString(16)}`;
}

function span(vpn: number, pages: number): { readonly start: string; readonly end: string } {
  const start = bigintOfVpn(vpn);
  return { start: hex(start), end: hex(start + BigInt(pages) * 4096n) };
}

/** A run as a plain object. */
export function jsonRun(mode: PagingMode, run: Run): JsonRun {
  const { global, memoryType, key, software, encrypted } = attributeFields(run.attributes);
  return {
    ...span(run.vpn, run.pages),
    physical: hex(BigInt(run.pfn) * 4096n),
    pages: run.pages,
    page: mode.levels[run.level]?.page ?? "",
    rights: rightsText(run.rights),
    global,
    memoryType,
    key,
    software,
    encrypted,
  };
}

/** What a range maps, one plain object after the other, in index order. `leafLimit` keeps hostile tables finite. */
export function* jsonRuns(
  state: PagingState,
  memory: TableMemory,
  options: JsonListingOptions = {},
): Generator<JsonRun, void> {
  const mode = state.mode;
  if (options.leaves !== true) {
    for (const run of runs(state, memory, options)) yield jsonRun(mode, run);
    return;
  }
  const cursor = new BoundedCursor(state, memory, options, options.vpn, options.pages);
  while (cursor.next()) {
    const { vpn, pages, pfn, level, rights } = cursor;
    const attributes = attributesOf(mode, levelOf(mode, level), cursor.low, cursor.high);
    yield jsonRun(mode, { vpn, pages, pfn, level, rights, attributes });
  }
}

function jsonSide(mode: PagingMode, side: Side): JsonSide {
  return {
    physical: hex(BigInt(side.pfn) * 4096n),
    rights: rightsText(side.rights),
    page: mode.levels[side.level]?.page ?? "",
    ...attributeFields(side.attributes),
  };
}

/** A difference as a plain object. */
export function jsonDifference(mode: PagingMode, difference: Difference): JsonDifference {
  const { kind, vpn, pages, before, after } = difference;
  return {
    kind,
    ...span(vpn, pages),
    pages,
    ...(before === undefined ? {} : { before: jsonSide(mode, before) }),
    ...(after === undefined ? {} : { after: jsonSide(mode, after) }),
  };
}
