/**
 * Mapping a range, in two passes over the tables: the first counts the table frames needed and finds what stands in the way, without
 * writing; the second cannot fail.
 *
 * Positions are raw page numbers in index order; `delta` is frame minus position.
 */

import { attributeHigh, attributeLow, leafFrameHigh, leafFrameLow } from "./attributes.ts";
import type { FlushPlan } from "./flush-plan.ts";
import type { PagingLevel } from "./mode.ts";
import { LEAF_NEVER } from "./mode.ts";
import type { TableEditor } from "./table-editor.ts";
import type { Pfn } from "./units.ts";
import { dropEntry, splitEntry } from "./unmap-range.ts";

/** What to map. */
export interface MapRequest {
  readonly start: number;
  readonly end: number;
  readonly delta: number;
  readonly packed: number;
  readonly largest: number;
  readonly replace: boolean;
}

function fitsLeaf(level: PagingLevel, request: MapRequest, at: number, start: number, end: number): boolean {
  if (level.level === 1) return true;
  if (level.level > request.largest || level.leafKind === LEAF_NEVER) return false;
  const pages = level.pages;
  if (start !== at || end !== at + pages) return false;
  const pfn = at + request.delta;
  return Math.floor(pfn / pages) * pages === pfn;
}

/** Table frames for the part [start, end) of a table that does not exist yet or is one large page, that table included. */
function countFresh(
  editor: TableEditor,
  request: MapRequest,
  n: number,
  at: number,
  start: number,
  end: number,
): number {
  if (n === 1) return 1;
  const level = editor.level(n);
  let needed = 1;
  for (let i = Math.floor((start - at) / level.pages), next = at + i * level.pages; next < end; next += level.pages) {
    const from = Math.max(start, next);
    const to = Math.min(end, next + level.pages);
    if (!fitsLeaf(level, request, next, from, to)) needed += countFresh(editor, request, n - 1, next, from, to);
  }
  return needed;
}

/** Whether any leaf is present in a table or below it. */
function hasLeaf(editor: TableEditor, table: Pfn, n: number): boolean {
  const level = editor.level(n);
  for (let i = 0; i < level.entries; i++) {
    editor.read(table, i);
    if (!editor.isPresent) continue;
    if (editor.isLeaf(level) || hasLeaf(editor, editor.tableFrame(level), n - 1)) return true;
  }
  return false;
}

/** Table frames that the request needs under `table`, or −1 with a refusal noted in the editor. */
export function countForMap(editor: TableEditor, request: MapRequest, table: Pfn, n: number, at: number): number {
  const level = editor.level(n);
  const start = Math.max(request.start, at);
  const end = Math.min(request.end, at + level.pages * level.entries);
  let needed = 0;
  for (
    let i = Math.floor((start - at) / level.pages), next = at + i * level.pages;
    next < end;
    i++, next += level.pages
  ) {
    const from = Math.max(start, next);
    const to = Math.min(end, next + level.pages);
    const leafHere = fitsLeaf(level, request, next, from, to);
    editor.read(table, i);
    if (!editor.isPresent) {
      if (!leafHere) needed += countFresh(editor, request, n - 1, next, from, to);
    } else if (editor.isLeaf(level)) {
      if (!request.replace) return editor.refuse("mapped", n, next);
      if (!leafHere) needed += countFresh(editor, request, n - 1, next, from, to);
    } else if (!leafHere || !isReplaceable(editor, request, level)) {
      const below = countForMap(editor, request, editor.tableFrame(level), n - 1, next);
      if (below < 0) return below;
      needed += below;
    }
  }
  return needed;
}

/** Whether the table that the entry read last refers to may give way to a leaf. The entry stays read. */
function isReplaceable(editor: TableEditor, request: MapRequest, level: PagingLevel): boolean {
  if (request.replace) return true;
  const { low, high } = editor;
  const free = !hasLeaf(editor, editor.tableFrame(level), level.level - 1);
  editor.low = low;
  editor.high = high;
  return free;
}

/** The second pass. The frames that the first counted are reserved. */
export function writeMap(
  editor: TableEditor,
  request: MapRequest,
  table: Pfn,
  n: number,
  at: number,
  plan: FlushPlan,
): void {
  const level = editor.level(n);
  const start = Math.max(request.start, at);
  const end = Math.min(request.end, at + level.pages * level.entries);
  if (n === 1 && !request.replace) {
    writeRun(editor, request, table, level, start, end, at);
    return;
  }
  for (
    let i = Math.floor((start - at) / level.pages), next = at + i * level.pages;
    next < end;
    i++, next += level.pages
  ) {
    const from = Math.max(start, next);
    const to = Math.min(end, next + level.pages);
    editor.read(table, i);
    const present = editor.isPresent;
    const leaf = present && editor.isLeaf(level);
    const leafHere = fitsLeaf(level, request, next, from, to);
    if (leafHere && (!present || leaf || isReplaceable(editor, request, level))) {
      if (present) dropEntry(editor, table, i, level, next, plan);
      editor.writeLeaf(table, i, level, next + request.delta, request.packed);
      continue;
    }
    let child: Pfn;
    if (!present) child = editor.link(table, i, level);
    else if (leaf) child = splitEntry(editor, table, i, level, next, plan);
    else {
      child = editor.tableFrame(level);
      if (editor.shares.count(child) > 1) plan.everyContext = true;
    }
    if (level.inRegisters && !present) plan.reloadRoot = true;
    writeMap(editor, request, child, n - 1, next, plan);
  }
}

/** The fast part: 4K leaves into entries known to be not present. Two writes an entry. */
function writeRun(
  editor: TableEditor,
  request: MapRequest,
  table: Pfn,
  level: PagingLevel,
  start: number,
  end: number,
  at: number,
): void {
  const { mode, encryption } = editor;
  const low = attributeLow(mode, level, request.packed, encryption);
  const high = attributeHigh(mode, request.packed, encryption);
  const words = editor.memory.words(table);
  const wide = mode.entryWords;
  let word = editor.memory.base(table) + (start - at) * wide;
  for (let pfn = start + request.delta, last = end + request.delta; pfn < last; pfn++) {
    if (wide === 2) words[word + 1] = high | leafFrameHigh(level, pfn);
    words[word] = low | leafFrameLow(level, pfn);
    word += wide;
  }
}
