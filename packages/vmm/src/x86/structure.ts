/**
 * Whole x86 page tables as things to hand around: an entry that refers to a table moves from one parent to another, and with it everything below.
 *
 * ```
 *  both sides aligned to 1 GiB and that long: one level-3 entry moves      else: 512 level-2 entries, each with its leaf table
 * ```
 * What is shared are leaf tables alone: a space can then leave any 2 MiB of what it shares without copying a table.
 */
import { NO_FRAME, type Mapper } from "@pagewright/x86-paging";

import type { FlushSink, TableStructure } from "../ports.ts";
import { TABLE_PAGES, type Pfn, type Vpn } from "../units.ts";
import type { X86Tables } from "./tables.ts";

/** Moves tables between roots, and shares them. */
export class X86Structure implements TableStructure {
  /** See {@link TableStructure.moveTables}. */
  moveTables(from: X86Tables, fromStart: Vpn, to: X86Tables, toStart: Vpn, pages: number, plan: FlushSink): boolean {
    const units = unitsOf(from.mapper, fromStart, toStart, pages);
    for (const { level, at } of units)
      if (parentOf(to.mapper, level, toStart + at, true) === NO_FRAME) {
        to.unmap(toStart, toStart + pages, plan, null);
        return false;
      }
    from.moveLarge(fromStart, pages, to, toStart, plan);
    for (const { level, at } of units) moveEntry(from.mapper, to.mapper, level, fromStart + at, toStart + at);
    from.forgetTables();
    to.forgetTables();
    from.unmap(fromStart, fromStart + pages, plan, null);
    plan.invalidateSpace();
    return true;
  }

  /** See {@link TableStructure.shareTables}: leaf tables, one by one, each with one reference more. */
  shareTables(from: X86Tables, fromStart: Vpn, to: X86Tables, toStart: Vpn, pages: number, plan: FlushSink): boolean {
    for (let at = 0; at < pages; at += TABLE_PAGES)
      if (!shareTable(from.mapper, fromStart + at, to.mapper, toStart + at)) {
        from.forgetTables();
        to.detach(toStart, toStart + at + TABLE_PAGES, plan);
        from.dropEmptyTables(fromStart, fromStart + at + TABLE_PAGES, plan);
        return false;
      }
    from.forgetTables();
    to.forgetTables();
    return true;
  }

  /** See {@link TableStructure.detachTables}. */
  detachTables(from: X86Tables, start: Vpn, pages: number, plan: FlushSink): void {
    from.detach(start, start + pages, plan);
  }
}

/** An entry to move: its level and its distance from the start of the range, in pages. */
interface Unit {
  readonly level: number;
  readonly at: number;
}

/** Cuts a range into the largest entries that are aligned on both sides. */
function unitsOf(mapper: Mapper, fromStart: Vpn, toStart: Vpn, pages: number): Unit[] {
  const units: Unit[] = [];
  const large = TABLE_PAGES * TABLE_PAGES;
  const levels = mapper.mode.depth;
  for (let at = 0; at < pages;) {
    const fits =
      levels > 3 && pages - at >= large && isMultiple(fromStart + at, large) && isMultiple(toStart + at, large);
    units.push({ level: fits ? 3 : 2, at });
    at += fits ? large : TABLE_PAGES;
  }
  return units;
}

function isMultiple(vpn: Vpn, unit: number): boolean {
  return Math.floor(vpn / unit) * unit === vpn;
}

/** Makes the leaf table of a page of one root the leaf table of a page of another too. False: no frame for a table, or a 2M page is there. */
function shareTable(from: Mapper, fromVpn: Vpn, to: Mapper, toVpn: Vpn): boolean {
  const table = parentOf(from, 1, fromVpn, true);
  const parent = table === NO_FRAME ? NO_FRAME : parentOf(to, 2, toVpn, true);
  if (parent === NO_FRAME) return false;
  const { editor } = to;
  const level = editor.level(2);
  const index = Math.floor(editor.rawOf(toVpn) / level.pages) & (level.entries - 1);
  editor.write(parent, index, editor.tableLow(level, table), editor.tableHigh(level, table));
  editor.shares.add(table);
  return true;
}

/** The table that holds the entry of `level` for a page; made where `make` says so, else NO_FRAME where it is missing. */
function parentOf(mapper: Mapper, level: number, vpn: Vpn, make: boolean): Pfn {
  const { editor, mode, root } = mapper;
  const raw = editor.rawOf(vpn);
  let table = root;
  for (let n = mode.depth; n > level; n--) {
    const here = editor.level(n);
    const index = Math.floor(raw / here.pages) & (here.entries - 1);
    editor.read(table, index);
    if (editor.isPresent && editor.isLeaf(here)) return NO_FRAME;
    if (editor.isPresent) table = editor.tableFrame(here);
    else if (!make || !editor.reserve(1)) return NO_FRAME;
    else table = editor.link(table, index, here);
  }
  return table;
}

function moveEntry(from: Mapper, to: Mapper, level: number, fromVpn: Vpn, toVpn: Vpn): void {
  const source = parentOf(from, level, fromVpn, false);
  if (source === NO_FRAME) return;
  const { editor } = from;
  const shape = editor.level(level);
  const index = Math.floor(editor.rawOf(fromVpn) / shape.pages) & (shape.entries - 1);
  editor.read(source, index);
  if (!editor.isPresent) return;
  editor.replace(source, index, 0, 0);
  const { low, high } = editor;
  const target = parentOf(to, level, toVpn, false);
  to.editor.write(target, Math.floor(to.editor.rawOf(toVpn) / shape.pages) & (shape.entries - 1), low, high);
}
