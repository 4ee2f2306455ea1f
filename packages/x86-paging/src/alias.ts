/** Frames that are mapped with different memory types at once: the processor's caches cannot keep them coherent. */

import { BoundedCursor, LEAF_LIMIT, RUN_LIMIT } from "./bounded-cursor.ts";
import { memoryTypeOf } from "./attributes.ts";
import { levelOf } from "./mode.ts";
import type { TableMemory } from "./ports.ts";
import { PAT_AT_RESET } from "./registers.ts";
import { patType } from "./memory-type.ts";
import type { PagingState } from "./state.ts";
import type { Pfn, Vpn } from "./units.ts";

/** Two mappings of the same frames with types that conflict. */
export interface AliasConflict {
  readonly pfn: Pfn;
  readonly pages: number;
  readonly firstVpn: Vpn;
  readonly firstType: number;
  readonly secondVpn: Vpn;
  readonly secondType: number;
}

interface Piece {
  start: Pfn;
  end: Pfn;
  vpn: Vpn;
  type: number;
}

/** What conflicts are looked for with. */
export interface AliasOptions {
  /** IA32_PAT (default: as after reset). */
  readonly pat?: bigint;
  /** Conflicts reported, at most (default 1000). */
  readonly limit?: number;
  /** Leaves looked at per address space, at most (default 2^24). */
  readonly leafLimit?: number;
  /** Runs of equal type looked at per address space, at most (default 2^20). */
  readonly runLimit?: number;
}

/**
 * Conflicting mappings in one or several address spaces. Runs of equal type are merged first. UC and UC− do not conflict.
 * O(n log n) in the runs, where few overlap. Source: SDM 3A, Programming the PAT.
 */
export function findAliasConflicts(
  states: readonly PagingState[],
  memory: TableMemory,
  options: AliasOptions = {},
): AliasConflict[] {
  const limit = options.limit ?? 1000;
  const pieces: Piece[] = [];
  for (const state of states) collect(state, memory, options, pieces);
  pieces.sort((a, b) => a.start - b.start);
  const conflicts: AliasConflict[] = [];
  let open: Piece[] = [];
  for (const piece of pieces) {
    open = open.filter((other) => other.end > piece.start);
    for (const other of open) {
      if (normal(other.type) === normal(piece.type)) continue;
      if (conflicts.length >= limit) return conflicts;
      const pages = Math.min(other.end, piece.end) - piece.start;
      conflicts.push({
        pfn: piece.start,
        pages,
        firstVpn: other.vpn + (piece.start - other.start),
        firstType: other.type,
        secondVpn: piece.vpn,
        secondType: piece.type,
      });
    }
    const covering = open.find((other) => other.type === piece.type && other.end >= piece.end);
    if (covering === undefined) open.push(piece);
  }
  return conflicts;
}

function normal(type: number): number {
  return type === 7 ? 0 : type;
}

function collect(state: PagingState, memory: TableMemory, options: AliasOptions, pieces: Piece[]): void {
  const pat = options.pat ?? PAT_AT_RESET;
  const { leafLimit = LEAF_LIMIT, runLimit = RUN_LIMIT } = options;
  let found = 0;
  const cursor = new BoundedCursor(state, memory, { leafLimit });
  const mode = state.mode;
  let last: Piece | undefined;
  const seen = new Set<string>();
  while (cursor.next()) {
    const selector = memoryTypeOf(mode, levelOf(mode, cursor.level), cursor.low);
    const type = mode.memoryTypeShift >= 0 ? selector : patType(selector, pat);
    if (last?.type === type && last.end === cursor.pfn && last.vpn + (last.end - last.start) === cursor.vpn) {
      last.end += cursor.pages;
      continue;
    }
    if (found++ >= runLimit) return;
    const key = `${cursor.pfn} ${cursor.pages} ${type}`;
    if (seen.has(key)) continue;
    seen.add(key);
    last = { start: cursor.pfn, end: cursor.pfn + cursor.pages, vpn: cursor.vpn, type };
    pieces.push(last);
  }
}
