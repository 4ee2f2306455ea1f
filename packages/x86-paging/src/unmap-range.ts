/** Unmapping, protecting and splitting ranges. Like mapping, a first pass counts what a second, which cannot fail, will need. */

import { attributeHigh, attributeLow, attributesOf, leafFrameHigh, leafFrameLow, ATTR_GLOBAL } from "./attributes.ts";
import type { FlushPlan } from "./flush-plan.ts";
import { FLUSH_NONE, FLUSH_REQUIRED, needOfChange } from "./flush-plan.ts";
import type { PagingLevel } from "./mode.ts";
import type { TableEditor } from "./table-editor.ts";
import type { Pfn } from "./units.ts";

/** Table frames that splitting the large pages across the ends of [start, end) takes. */
export function countSplits(
  editor: TableEditor,
  table: Pfn,
  n: number,
  at: number,
  start: number,
  end: number,
): number {
  if (n === 1) return 0;
  const level = editor.level(n);
  const pages = level.pages;
  let needed = 0;
  let previous = -1;
  for (const edge of [start, end - 1]) {
    const i = Math.floor((edge - at) / pages);
    if (i === previous || i < 0 || i >= level.entries) continue;
    previous = i;
    const next = at + i * pages;
    const from = Math.max(start, next);
    const to = Math.min(end, next + pages);
    if (from === next && to === next + pages) continue;
    editor.read(table, i);
    if (!editor.isPresent) continue;
    if (editor.isLeaf(level)) needed += countLeafSplits(editor, n, next, from, to);
    else needed += countSplits(editor, editor.tableFrame(level), n - 1, next, from, to);
  }
  return needed;
}

/** The same under one large page of level `n` at `at`. */
function countLeafSplits(editor: TableEditor, n: number, at: number, start: number, end: number): number {
  if (n === 1 || (start === at && end === at + editor.level(n).pages)) return 0;
  const pages = editor.level(n - 1).pages;
  let needed = 1;
  let previous = -1;
  for (const edge of [start, end - 1]) {
    const i = Math.floor((edge - at) / pages);
    if (i === previous) continue;
    previous = i;
    const next = at + i * pages;
    needed += countLeafSplits(editor, n - 1, next, Math.max(start, next), Math.min(end, next + pages));
  }
  return needed;
}

/** Replaces a leaf by a reserved table of leaves of the next size with the same attributes, accessed and dirty bits. Returns the table. */
export function splitEntry(
  editor: TableEditor,
  table: Pfn,
  index: number,
  level: PagingLevel,
  at: number,
  plan: FlushPlan,
): Pfn {
  const { mode, encryption } = editor;
  editor.replace(table, index, 0, 0);
  const packed = attributesOf(mode, level, editor.low, editor.high, encryption);
  const pfn = editor.leafFrame(level);
  const child = editor.takeReserved();
  const below = editor.level(level.level - 1);
  for (let i = 0; i < below.entries; i++) editor.writeLeaf(child, i, below, pfn + i * below.pages, packed);
  editor.write(table, index, editor.tableLow(level, child), editor.tableHigh(level, child));
  plan.addRange(editor.vpnOf(at), level.pages, level.pages, FLUSH_REQUIRED, (packed & ATTR_GLOBAL) !== 0);
  return child;
}

/** Clears a present entry: a leaf's frames, or the whole tree below a table, go to the plan. */
export function dropEntry(
  editor: TableEditor,
  table: Pfn,
  index: number,
  level: PagingLevel,
  at: number,
  plan: FlushPlan,
): void {
  editor.replace(table, index, 0, 0);
  if (level.inRegisters) plan.reloadRoot = true;
  if (editor.isLeaf(level)) {
    noteLeaf(editor, level, at, plan);
    return;
  }
  dropTable(editor, editor.tableFrame(level), level.level - 1, at, plan);
}

/** The leaf words in the editor's hand go to the plan. */
function noteLeaf(editor: TableEditor, level: PagingLevel, at: number, plan: FlushPlan): void {
  const packed = attributesOf(editor.mode, level, editor.low, editor.high, editor.encryption);
  const vpn = editor.vpnOf(at);
  plan.addRange(vpn, level.pages, level.pages, FLUSH_REQUIRED, (packed & ATTR_GLOBAL) !== 0);
  plan.addFrames(editor.leafFrame(level), level.pages, vpn, packed);
}

/** Empties a table that its parent no longer refers to. A table shared with another root only loses a reference. */
function dropTable(editor: TableEditor, table: Pfn, n: number, at: number, plan: FlushPlan): void {
  const level = editor.level(n);
  if (!editor.shares.drop(table)) {
    plan.addRange(editor.vpnOf(at), level.pages * level.entries, 1, FLUSH_REQUIRED, editor.mode.globalMask !== 0);
    return;
  }
  for (let i = 0, next = at; i < level.entries; i++, next += level.pages) {
    editor.read(table, i);
    if (editor.isPresent) dropEntry(editor, table, i, level, next, plan);
  }
  plan.addTable(table);
}

/**
 * Unmaps [start, end) under `table`, payloads of not-present entries included. Returns whether the table holds nothing any more.
 */
export function writeUnmap(
  editor: TableEditor,
  table: Pfn,
  n: number,
  at: number,
  start: number,
  end: number,
  plan: FlushPlan,
): boolean {
  const level = editor.level(n);
  const pages = level.pages;
  for (let i = Math.floor((start - at) / pages), next = at + i * pages; next < end; i++, next += pages) {
    const from = Math.max(start, next);
    const to = Math.min(end, next + pages);
    const whole = from === next && to === next + pages;
    editor.read(table, i);
    if (!editor.isPresent) {
      if (whole && (editor.low !== 0 || editor.high !== 0)) editor.write(table, i, 0, 0);
      continue;
    }
    if (whole) {
      dropEntry(editor, table, i, level, next, plan);
      continue;
    }
    const leaf = editor.isLeaf(level);
    const child = leaf ? splitEntry(editor, table, i, level, next, plan) : editor.tableFrame(level);
    const shared = editor.shares.count(child) > 1;
    if (shared) plan.everyContext = true;
    if (writeUnmap(editor, child, n - 1, next, from, to, plan) && !shared) {
      editor.replace(table, i, 0, 0);
      if (level.inRegisters) plan.reloadRoot = true;
      plan.addTable(child);
    }
  }
  return n < editor.mode.depth && editor.isEmptyTable(table);
}

/** Gives the leaves of [start, end) the attribute bits of `packed` that `mask` selects. Not-present entries stay. */
export function writeProtect(
  editor: TableEditor,
  table: Pfn,
  n: number,
  at: number,
  start: number,
  end: number,
  packed: number,
  mask: number,
  plan: FlushPlan,
): void {
  const level = editor.level(n);
  const pages = level.pages;
  if (n === 1 && editor.mode.entryWords === 2) {
    protectTable(editor, table, level, at, start - at, end - at, packed, mask, plan);
    return;
  }
  for (let i = Math.floor((start - at) / pages), next = at + i * pages; next < end; i++, next += pages) {
    const from = Math.max(start, next);
    const to = Math.min(end, next + pages);
    editor.read(table, i);
    if (!editor.isPresent) continue;
    const leaf = editor.isLeaf(level);
    if (leaf && from === next && to === next + pages) {
      changeLeaf(editor, table, i, level, next, packed, mask, plan);
      continue;
    }
    const child = leaf ? splitEntry(editor, table, i, level, next, plan) : editor.tableFrame(level);
    if (editor.shares.count(child) > 1) plan.everyContext = true;
    writeProtect(editor, child, n - 1, next, from, to, packed, mask, plan);
  }
}

/** A frame number of all ones: what a leaf's words hold of it are their frame bits. */
const ALL_FRAME_BITS: Pfn = 2 ** 40 - 1;

/**
 * Rewrites the leaves `[first, end)` of a page table. Neighbours mostly have the same attributes: what becomes of them is worked out once and
 * then costs two comparisons and one compare-exchange an entry.
 */
function protectTable(
  editor: TableEditor,
  table: Pfn,
  level: PagingLevel,
  at: number,
  first: number,
  end: number,
  packed: number,
  mask: number,
  plan: FlushPlan,
): void {
  const { mode, encryption } = editor;
  const words = editor.memory.words(table);
  const base = editor.memory.base(table);
  const frameLow = leafFrameLow(level, ALL_FRAME_BITS);
  const frameHigh = leafFrameHigh(level, ALL_FRAME_BITS);
  let seenLow = -1;
  let seenHigh = -1;
  let before = 0;
  let after = 0;
  let nextLow = 0;
  let nextHigh = 0;
  let need = FLUSH_NONE;
  for (let i = first; i < end; i++) {
    const low = words[base + i * 2]!;
    if ((low & mode.presentMask) === 0) continue;
    const high = words[base + i * 2 + 1]!;
    if ((low & ~frameLow) >>> 0 !== seenLow || (high & ~frameHigh) >>> 0 !== seenHigh) {
      seenLow = (low & ~frameLow) >>> 0;
      seenHigh = (high & ~frameHigh) >>> 0;
      before = attributesOf(mode, level, low, high, encryption);
      after = (before & ~mask) | (packed & mask);
      nextLow = attributeLow(mode, level, after, encryption);
      nextHigh = attributeHigh(mode, after, encryption) >>> 0;
      need = needOfChange(before, after, editor.supervisorGuards, editor.softwareMask);
    }
    if (after === before) continue;
    const next = ((low & frameLow) | nextLow) >>> 0;
    const done =
      encryption < 0 && nextHigh === seenHigh && Atomics.compareExchange(words, base + i * 2, low, next) === low;
    if (!done) changeLeaf(editor, table, i, level, at + i, packed, mask, plan);
    else if (need !== FLUSH_NONE) plan.addRange(editor.vpnOf(at + i), 1, 1, need, (before & ATTR_GLOBAL) !== 0);
  }
}

/** Rewrites one leaf, frame and size staying. Where only the low word changes, one compare-exchange does it. */
function changeLeaf(
  editor: TableEditor,
  table: Pfn,
  index: number,
  level: PagingLevel,
  at: number,
  packed: number,
  mask: number,
  plan: FlushPlan,
): void {
  const { mode, encryption } = editor;
  for (;;) {
    editor.read(table, index);
    const seen = editor.low;
    const before = attributesOf(mode, level, seen, editor.high, encryption);
    const after = (before & ~mask) | (packed & mask);
    if (after === before) return;
    const pfn = editor.leafFrame(level);
    const low = (attributeLow(mode, level, after, encryption) | leafFrameLow(level, pfn)) >>> 0;
    const high = (attributeHigh(mode, after, encryption) | leafFrameHigh(level, pfn)) >>> 0;
    if (high !== editor.high) editor.replace(table, index, low, high);
    else if (!editor.exchangeLow(table, index, seen, low)) continue;
    const need = needOfChange(before, after, editor.supervisorGuards, editor.softwareMask);
    if (need !== FLUSH_NONE)
      plan.addRange(editor.vpnOf(at), level.pages, level.pages, need, (before & ATTR_GLOBAL) !== 0);
    return;
  }
}
