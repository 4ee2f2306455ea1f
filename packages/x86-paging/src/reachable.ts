/** Which frames serve as tables, and at which addresses a frame is mapped. Each table is looked into once per level. */

import { LeafCursor } from "./cursor.ts";
import { isLeaf, levelOf, tableFrameOf } from "./mode.ts";
import type { TableMemory } from "./ports.ts";
import type { PagingState } from "./state.ts";
import type { Pfn, Vpn } from "./units.ts";

/** One use of a frame as a table. */
export interface TableUse {
  readonly pfn: Pfn;
  readonly level: number;
  /** How many entries refer to it at this level (1 for the root). */
  readonly references: number;
}

/**
 * Every frame that a walk can read as a table, once per level at which it is used, root first. O(tables), whatever the sharing.
 * Garbage taken for tables may refer to 2^40 more: no more than `limit` are reported.
 */
export function reachableTables(state: PagingState, memory: TableMemory, limit: number = 0x100000): TableUse[] {
  const mode = state.mode;
  const found: TableUse[] = [];
  let current = new Map<Pfn, number>([[state.root, 1]]);
  for (let n = mode.depth; n > 0; n--) {
    const level = levelOf(mode, n);
    const below = new Map<Pfn, number>();
    for (const [pfn, references] of current) {
      if (found.length >= limit) return found;
      found.push({ pfn, level: n, references });
      const words = level.inRegisters ? state.rootEntries : memory.words(pfn);
      const base = level.inRegisters ? 0 : memory.base(pfn);
      for (let i = 0; i < level.entries && n > 1; i++) {
        const low = words[base + i * mode.entryWords]!;
        if ((low & state.presentMask) === 0 || isLeaf(mode, level, low)) continue;
        const high = mode.entryWords === 2 ? words[base + i * 2 + 1]! : 0;
        const child = tableFrameOf(level, low & state.addressLow, high & state.addressHigh);
        below.set(child, (below.get(child) ?? 0) + 1);
      }
    }
    current = below;
  }
  return found;
}

/** Every page at which a frame is mapped, in index order. O(leaves); stops after `limit` pages. */
export function pagesOfFrame(state: PagingState, memory: TableMemory, pfn: Pfn, limit: number = Infinity): Vpn[] {
  const cursor = new LeafCursor(state, memory);
  const pages: Vpn[] = [];
  while (pages.length < limit && cursor.next()) {
    if (pfn >= cursor.pfn && pfn < cursor.pfn + cursor.pages) pages.push(cursor.vpn + (pfn - cursor.pfn));
  }
  return pages;
}
