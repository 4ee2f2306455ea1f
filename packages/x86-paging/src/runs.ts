/** Neighbouring leaves that say the same, merged. */

import { ATTR_ACCESSED, ATTR_DIRTY, attributesOf } from "./attributes.ts";
import { BoundedCursor } from "./bounded-cursor.ts";
import type { LeafBound } from "./bounded-cursor.ts";
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

/** What is listed, and how far. */
export interface RunOptions extends LeafBound {
  /** First page (default: the whole address space). */
  readonly vpn?: Vpn;
  /** How many pages. */
  readonly pages?: number;
  /** Merge across frames that are not in a row: only rights and attributes count (default false). */
  readonly anyFrame?: boolean;
}

/** The merged runs of a range, in index order, one at a time. */
export function* runs(state: PagingState, memory: TableMemory, options: RunOptions = {}): Generator<Run, void> {
  const cursor = new BoundedCursor(state, memory, options, options.vpn, options.pages);
  const mode = state.mode;
  const anyFrame = options.anyFrame ?? false;
  let open = false;
  let raw = 0;
  let vpn = 0;
  let pages = 0;
  let pfn = 0;
  let level = 0;
  let rights = 0;
  let packed = 0;
  while (cursor.next()) {
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
