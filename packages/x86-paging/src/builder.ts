/**
 * Page tables out of a declarative layout, as bytes to embed in a kernel: no memory, no allocator, only where the tables will lie.
 */

import { attributes } from "./attributes.ts";
import type { AttributeFields } from "./attributes.ts";
import { formatBigint, vpnOfBigint } from "./address.ts";
import { PagingError } from "./errors.ts";
import { Mapper } from "./mapper.ts";
import type { PagingMode } from "./mode.ts";
import type { PhysAddr, Pfn } from "./units.ts";
import { NO_FRAME } from "./units.ts";
import { installRecursiveSlot } from "./recursive.ts";

/** One range of a layout. Addresses and sizes are in bytes. */
export interface LayoutRange extends AttributeFields {
  /** First virtual address, as 64 bits. */
  readonly start: bigint;
  /** Bytes, a multiple of 4096. */
  readonly size: bigint;
  /** First physical address. */
  readonly physical: bigint;
  /** Page size: "4K", "2M", "4M", "1G", or "largest" (default): the largest that fits, piece by piece. */
  readonly page?: string;
}

/** Which tables {@link buildTables} makes: mode, where they will lie, and what they map. */
export interface Layout {
  readonly mode: PagingMode;
  /** Physical address of the first table: the root. Tables follow it frame by frame. */
  readonly tablesAt: PhysAddr;
  readonly ranges: readonly LayoutRange[];
  /** Root entry that shall refer to the root. */
  readonly recursiveSlot?: number;
  /** Table frames at most (default 65536). */
  readonly tableLimit?: number;
}

/** Tables ready to embed. */
export interface BuiltTables {
  /** The tables, the root first, little-endian, to lie at `tablesAt`. */
  readonly bytes: Uint8Array;
  /** Value for CR3: `tablesAt`. */
  readonly root: PhysAddr;
  /** How many tables. */
  readonly tables: number;
}

/** The leaf level of a page size's name; undefined for "largest". Throws `bad-layout` for a size that the mode has not. */
function leafLevelOf(mode: PagingMode, page: string): number | undefined {
  if (page === "largest") return undefined;
  const level = mode.levels.find((item) => item?.page === page);
  if (level === undefined) throw new PagingError("bad-layout", `${mode.name} has no ${page} pages`, { page });
  return level.level;
}

/** Bits of a table's address: CR3 has 32 outside of long mode. */
function tableBitsOf({ definition }: PagingMode): number {
  return definition.addressBits === 32 ? 32 : definition.physicalBits;
}

/**
 * Builds the tables of a layout. Throws `bad-layout` for ranges that overlap, are not aligned to 4096 or to the page size asked for, do not fit the
 * address space, or need more tables than the limit, for tables that would lie where CR3 or an entry cannot refer to, and for a recursive slot that is in use
 * or not there.
 */
export function buildTables(layout: Layout): BuiltTables {
  const { mode } = layout;
  if (mode.depth === 0) throw new PagingError("bad-layout", `${mode.name} has no tables`);
  if (
    !Number.isSafeInteger(layout.tablesAt)
    || layout.tablesAt < 0
    || Math.floor(layout.tablesAt / 4096) * 4096 !== layout.tablesAt
  ) {
    throw new PagingError("bad-layout", `tables cannot lie at ${layout.tablesAt}: not a multiple of 4096`, {
      tablesAt: layout.tablesAt,
    });
  }
  const first = layout.tablesAt / 4096;
  const limit = layout.tableLimit ?? 65536;
  const tables: Uint32Array[] = [];
  const bits = tableBitsOf(mode);
  const take = (): Pfn => {
    if (tables.length >= limit) return NO_FRAME;
    const pfn = first + tables.length;
    if (pfn >= 2 ** (bits - 12)) {
      const at = formatBigint(BigInt(pfn) * 4096n);
      throw new PagingError("bad-layout", `a table of ${mode.name} paging cannot lie at ${at}: beyond ${bits} bits`, {
        pfn,
      });
    }
    tables.push(new Uint32Array(1024));
    return pfn;
  };
  const absent = new Uint32Array(1024);
  const memory = { words: (pfn: Pfn) => tables[pfn - first] ?? absent, base: () => 0 };
  const mapper = new Mapper({ mode, memory, frames: { take, give: () => undefined } }, take());
  for (const range of layout.ranges) mapRange(mapper, range);
  const slot = layout.recursiveSlot;
  if (slot !== undefined) asLayout(`recursive slot ${slot}`, () => installRecursiveSlot(mapper, slot));
  const bytes = new Uint8Array(tables.length * 4096);
  const view = new DataView(bytes.buffer);
  tables.forEach((words, i) => words.forEach((word, j) => view.setUint32(i * 4096 + j * 4, word, true)));
  return { bytes, root: layout.tablesAt, tables: tables.length };
}

function mapRange(mapper: Mapper, range: LayoutRange): void {
  const where = `range at ${formatBigint(range.start)}`;
  for (const [name, value] of [
    ["start", range.start],
    ["size", range.size],
    ["physical", range.physical],
  ] as const) {
    if (value % 4096n !== 0n || value < 0n)
      throw new PagingError("bad-layout", `${where}: ${name} is not a multiple of 4096`, { name });
  }
  if (range.size === 0n) throw new PagingError("bad-layout", `${where} is empty`, {});
  const wanted = leafLevelOf(mapper.mode, range.page ?? "largest");
  const packed = attributes(range);
  const vpn = vpnOfBigint(range.start);
  const result = asLayout(where, () =>
    mapper.map(
      vpn,
      Number(range.size / 4096n),
      Number(range.physical / 4096n),
      packed,
      wanted === undefined ? {} : { level: wanted },
    ),
  );
  if (!result.ok) throw new PagingError("bad-layout", `${where}: ${result.sentence}`, {});
}

/** Does `work`; what it throws of paging becomes `bad-layout`, with the part of the layout in front. */
function asLayout<T>(where: string, work: () => T): T {
  try {
    return work();
  } catch (error) {
    if (PagingError.is(error) && error.code !== "bad-layout")
      throw new PagingError("bad-layout", `${where}: ${error.message}`, {});
    throw error;
  }
}
