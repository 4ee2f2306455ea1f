/**
 * Changes of shape: a large page split into a table, a table merged into a large page, whole tables moved or shared between roots.
 *
 * Moving and sharing touch one entry per table, however many pages the tables map.
 */

import { ATTR_ACCESSED, ATTR_DIRTY, ATTR_GLOBAL, attributesOf } from "./attributes.ts";
import { PagingError } from "./errors.ts";
import type { FlushPlan } from "./flush-plan.ts";
import { FLUSH_REQUIRED, NOTHING_TO_FLUSH } from "./flush-plan.ts";
import type { Mapper } from "./mapper.ts";
import type { PagingLevel } from "./mode.ts";
import { LEAF_NEVER } from "./mode.ts";
import type { Refusal } from "./refusal.ts";
import { describeRefusal } from "./refusal.ts";
import type { TableEditor } from "./table-editor.ts";
import type { Pfn, Vpn } from "./units.ts";
import { NO_FRAME } from "./units.ts";
import { splitEntry, writeUnmap } from "./unmap-range.ts";

const nothing = { low: 0, high: 0 };

/** The table of level `n` over a position, or `NO_FRAME`; the entry that ended the search is left in the editor. */
function tableAt(editor: TableEditor, root: Pfn, raw: number, n: number): Pfn {
  let table = root;
  for (let m = editor.mode.depth; m > n; m--) {
    const level = editor.level(m);
    editor.read(table, indexAt(level, raw));
    if (!editor.isPresent || editor.isLeaf(level)) return NO_FRAME;
    table = editor.tableFrame(level);
  }
  return table;
}

function indexAt(level: PagingLevel, raw: number): number {
  return Math.floor(raw / level.pages) & (level.entries - 1);
}

/**
 * Splits the 2M, 4M or 1G page that maps a page into a table of the next smaller ones, rights, accessed and dirty bits kept.
 * Refuses with `not-mapped`, `no-smaller-page` (it is a 4K page) or `no-table-frame`. One invalidation is owed.
 */
export function splitPage(mapper: Mapper, vpn: Vpn): FlushPlan | Refusal {
  const { editor, mode, root } = mapper;
  const found = mapper.query(vpn);
  if (found === null) return describeRefusal("not-mapped", editor, 0, vpn);
  if (found.level === 1) return describeRefusal("no-smaller-page", editor, 1, found.vpn);
  if (!editor.reserve(1)) return describeRefusal("no-table-frame", { mode, ...nothing }, 0, vpn);
  const raw = editor.rawOf(found.vpn);
  const level = editor.level(found.level);
  const plan = editor.plan();
  plan.everyContext = editor.isShared(root, raw);
  splitEntry(editor, tableAt(editor, root, raw, found.level), indexAt(level, raw), level, raw, plan);
  return plan;
}

/**
 * Merges the table under the entry of level `n` that covers a page into one large page. Dirty and accessed are those of any part.
 * Refuses with `not-mapped` (no table there) or `not-uniform`. The table frame is in the plan; every small page is owed an invalidation.
 */
export function mergePages(mapper: Mapper, vpn: Vpn, n: number): FlushPlan | Refusal {
  const { editor, mode, root } = mapper;
  const level = editor.level(n);
  if (n < 2 || level.leafKind === LEAF_NEVER)
    throw new PagingError("out-of-range", `${mode.name} has no pages at level ${n}`, { level: n });
  const raw = Math.floor(editor.rawOf(vpn) / level.pages) * level.pages;
  const parent = tableAt(editor, root, raw, n);
  if (parent === NO_FRAME) return describeRefusal("not-mapped", editor, n, vpn);
  const index = indexAt(level, raw);
  editor.read(parent, index);
  if (!editor.isPresent || editor.isLeaf(level)) return describeRefusal("not-mapped", editor, n, vpn);
  const child = editor.tableFrame(level);
  const below = editor.level(n - 1);
  const whole = uniform(editor, child, below, level);
  if (whole === null || editor.shares.count(child) > 1)
    return describeRefusal("not-uniform", editor, n - 1, editor.vpnOf(raw));
  const plan = editor.plan();
  plan.everyContext = editor.isShared(root, raw);
  editor.replace(parent, index, 0, 0);
  let packed = whole.attributes;
  for (let i = 0; i < below.entries; i++) {
    editor.replace(child, i, 0, 0);
    packed |= attributesOf(mode, below, editor.low, editor.high, editor.encryption) & (ATTR_ACCESSED | ATTR_DIRTY);
  }
  editor.writeLeaf(parent, index, level, whole.pfn, packed);
  plan.addRange(editor.vpnOf(raw), level.pages, below.pages, FLUSH_REQUIRED, (packed & ATTR_GLOBAL) !== 0);
  plan.addTable(child);
  return plan;
}

/** The frame and attributes of a table that maps one aligned run, or null with the first entry that does not fit left in the editor. */
function uniform(
  editor: TableEditor,
  table: Pfn,
  level: PagingLevel,
  above: PagingLevel,
): { pfn: Pfn; attributes: number } | null {
  const ignored = ATTR_ACCESSED | ATTR_DIRTY;
  let pfn = 0;
  let packed = 0;
  for (let i = 0; i < level.entries; i++) {
    editor.read(table, i);
    if (!editor.isPresent || !editor.isLeaf(level)) return null;
    const own = attributesOf(editor.mode, level, editor.low, editor.high, editor.encryption) & ~ignored;
    const frame = editor.leafFrame(level);
    if (i === 0) {
      pfn = frame;
      packed = own;
      if (Math.floor(pfn / above.pages) * above.pages !== pfn) return null;
    }
    if (own !== packed || frame !== pfn + i * level.pages) return null;
  }
  return { pfn, attributes: packed };
}

/** A range whose both ends lie on table borders of level `n` − 1, the highest for which that is so. Throws `unaligned`. */
function tableUnit(mapper: Mapper, from: Vpn, to: Vpn, pages: number): PagingLevel {
  const { editor, mode } = mapper;
  for (let n = mode.depth; n >= 2; n--) {
    const level = editor.level(n);
    const fits = [from, to, pages].every((value) => Math.floor(value / level.pages) * level.pages === value);
    if (fits && pages > 0) return level;
  }
  throw new PagingError(
    "unaligned",
    `pages ${from}, ${to} and their number ${pages} must be multiples of what a table maps`,
    { from, to, pages },
  );
}

/** Table frames that entries of level `unit` at every position of a range need above them; −1 where one is not free. */
function countPath(editor: TableEditor, root: Pfn, start: number, pages: number, unit: PagingLevel): number {
  const made = new Map<number, number>();
  let needed = 0;
  for (let raw = start; raw < start + pages; raw += unit.pages) {
    let table = root;
    for (let n = editor.mode.depth; n >= unit.level; n--) {
      const level = editor.level(n);
      editor.read(table, indexAt(level, raw));
      if (n === unit.level || (editor.isPresent && editor.isLeaf(level))) {
        if (editor.low !== 0 || editor.high !== 0) return editor.refuse("mapped", n, raw);
        break;
      }
      if (!editor.isPresent) {
        for (let m = n; m > unit.level; m--) {
          const id = Math.floor(raw / editor.level(m).pages);
          if (made.get(m) !== id) needed++;
          made.set(m, id);
        }
        break;
      }
      table = editor.tableFrame(level);
    }
  }
  return needed;
}

/**
 * The table of level `n` over a position, made of reserved frames where missing. The caller is to write an entry of it: where that, or a table
 * made on the way, changes a register-held entry (PAE), the plan asks for CR3 to be loaded again.
 */
function makePath(editor: TableEditor, root: Pfn, raw: number, n: number, plan: FlushPlan): Pfn {
  let table = root;
  for (let m = editor.mode.depth; m > n; m--) {
    const level = editor.level(m);
    const index = indexAt(level, raw);
    editor.read(table, index);
    if (!editor.isPresent && level.inRegisters) plan.reloadRoot = true;
    table = editor.isPresent ? editor.tableFrame(level) : editor.link(table, index, level);
  }
  if (editor.level(n).inRegisters) plan.reloadRoot = true;
  return table;
}

function prepare(
  from: Mapper,
  vpn: Vpn,
  pages: number,
  to: Mapper,
  toVpn: Vpn,
): { unit: PagingLevel; refusal: Refusal | null } {
  if (from.mode !== to.mode)
    throw new PagingError("mode-mismatch", `${from.mode.name} tables cannot go into a ${to.mode.name} root`, {});
  from.checkRange(vpn, pages);
  to.checkRange(toVpn, pages);
  const unit = tableUnit(from, vpn, toVpn, pages);
  const needed = countPath(to.editor, to.root, to.editor.rawOf(toVpn), pages, unit);
  if (needed < 0) return { unit, refusal: to.editor.takeRefusal("mapped", toVpn) };
  if (!to.editor.reserve(needed))
    return { unit, refusal: describeRefusal("no-table-frame", { mode: to.mode, ...nothing }, 0, toVpn) };
  return { unit, refusal: null };
}

/**
 * Moves everything that a range maps to another place of the same or another root, table by table: O(tables), no leaf is touched.
 * Both places and the length must be table-aligned (throws `unaligned`), both mappers of one mode (throws `mode-mismatch`). The destination must hold
 * nothing (refuses with `mapped`). The plan is that of the source; its `reloadRoot` counts for both roots.
 */
export function moveTables(from: Mapper, vpn: Vpn, pages: number, to: Mapper, toVpn: Vpn): FlushPlan | Refusal {
  const { unit, refusal } = prepare(from, vpn, pages, to, toVpn);
  if (refusal !== null) return refusal;
  const start = from.editor.rawOf(vpn);
  const target = to.editor.rawOf(toVpn);
  const plan = from.editor.plan();
  for (let offset = 0; offset < pages; offset += unit.pages) {
    const table = tableAt(from.editor, from.root, start + offset, unit.level);
    if (table === NO_FRAME) continue;
    const index = indexAt(unit, start + offset);
    from.editor.replace(table, index, 0, 0);
    const { low, high, isPresent } = from.editor;
    if (low === 0 && high === 0) continue;
    to.editor.write(
      makePath(to.editor, to.root, target + offset, unit.level, plan),
      indexAt(unit, target + offset),
      low,
      high,
    );
    if (isPresent)
      plan.addRange(from.editor.vpnOf(start + offset), unit.pages, 1, FLUSH_REQUIRED, from.mode.globalMask !== 0);
  }
  to.editor.releaseReserve();
  writeUnmap(from.editor, from.root, from.mode.depth, 0, start, start + pages, plan);
  return plan.isEmpty && !plan.reloadRoot ? NOTHING_TO_FLUSH : plan;
}

/**
 * Makes another place of the same or another root refer to the tables of a range: O(tables). From then on a change through either is seen by
 * both, and its plan says `everyContext`; the last to let go frees the tables. Both mappers must have been given the same `TableShares`
 * (throws `mode-mismatch` otherwise). Large pages of the range are mapped in both places. No page is to be flushed: the destination held nothing;
 * under PAE the destination's CR3 must be loaded again where a page-directory-pointer entry was written (`reloadRoot`).
 */
export function shareTables(from: Mapper, vpn: Vpn, pages: number, to: Mapper, toVpn: Vpn): FlushPlan | Refusal {
  if (from.editor.shares !== to.editor.shares)
    throw new PagingError("mode-mismatch", "mappers that share tables need one TableShares", {});
  const { unit, refusal } = prepare(from, vpn, pages, to, toVpn);
  if (refusal !== null) return refusal;
  const start = from.editor.rawOf(vpn);
  const target = to.editor.rawOf(toVpn);
  const plan = to.editor.plan();
  for (let offset = 0; offset < pages; offset += unit.pages) {
    const table = tableAt(from.editor, from.root, start + offset, unit.level);
    if (table === NO_FRAME) continue;
    from.editor.read(table, indexAt(unit, start + offset));
    const { low, high } = from.editor;
    if (!from.editor.isPresent) continue;
    if (!from.editor.isLeaf(unit)) from.editor.shares.add(from.editor.tableFrame(unit));
    to.editor.write(
      makePath(to.editor, to.root, target + offset, unit.level, plan),
      indexAt(unit, target + offset),
      low,
      high,
    );
  }
  to.editor.releaseReserve();
  return plan.reloadRoot ? plan : NOTHING_TO_FLUSH;
}
