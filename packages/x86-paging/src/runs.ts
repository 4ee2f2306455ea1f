/** Neighbouring leaves that say the same, merged. */

import { ATTR_ACCESSED, ATTR_DIRTY, attributesOf } from "./attributes.ts";
import { LeafCursor } from "./cursor.ts";
import { levelOf } from "./mode.ts";
import type { TableMemory } from "./ports.ts";
import type { PagingState } from "./state.ts";
import type { Pfn, Vpn } from "./units.ts";

/** Pages in a row that map frames in a row with the same effective rights, attributes and page size. */
export interface Run {
  /** First page. */
  readonly vpn: Vpn;
  /** 4K pages. */
  readonly pages: number;
  /** First frame. */
  readonly pfn: Pfn;
  /** Level of the leaves. */
  readonly level: number;
  /** Rights accumulated from the root down (`RIGHT_…`). */
  readonly rights: number;
  /** The leaves' own attributes (`ATTR_…`), accessed and dirty left out. */
  readonly attributes: number;
}

/** What keeps a listing of hostile tables finite. */
export interface RunOptions {
  /** First page (default: the whole address space). */
  readonly vpn?: Vpn;
  /** How many pages. */
  readonly pages?: number;
  /** Merge across frames that are not in a row: only rights and attributes count (default false). */
  readonly anyFrame?: boolean;
  /** Stop after this many leaves (default: no limit; a table may map 2^36 of them). */
  readonly leafLimit?: number;
}

/** The merged runs of a range, in index order, one at a time. */
export function* runs(state: PagingState, memory: TableMemory, options: RunOptions = {}): Generator<Run, void> {
  const cursor = new LeafCursor(state, memory, options.vpn, options.pages);
  const mode = state.mode;
  const anyFrame = options.anyFrame ?? false;
  const limit = options.leafLimit ?? Infinity;
  let open = false;
  let raw = 0;
  let vpn = 0;
  let pages = 0;
  let pfn = 0;
  let level = 0;
  let rights = 0;
  let packed = 0;
  let leaves = 0;
  while (leaves < limit && cursor.next()) {
    leaves++;
    const own =
      attributesOf(mode, levelOf(mode, cursor.level), cursor.low, cursor.high) & ~(ATTR_ACCESSED | ATTR_DIRTY);
    const adjoins =
      open && cursor.raw === raw + pages && cursor.level === level && cursor.rights === rights && own === packed;
    if (adjoins && (anyFrame || cursor.pfn === pfn + pages)) {
      pages += cursor.pages;
      continue;
    }
    if (open) yield { vpn, pages, pfn, level, rights, attributes: packed };
    open = true;
    raw = cursor.raw;
    vpn = cursor.vpn;
    pages = cursor.pages;
    pfn = cursor.pfn;
    level = cursor.level;
    rights = cursor.rights;
    packed = own;
  }
  if (open) yield { vpn, pages, pfn, level, rights, attributes: packed };
}
