/**
 * Whole x86 page tables as things to hand around: an entry that refers to a table moves from one parent to another, and with it everything below.
 *
 * ```
 *  both sides aligned to 1 GiB and that long: one level-3 entry moves      else: 512 level-2 entries, each with its leaf table
 * ```
 */
import { NO_FRAME, type Mapper } from "@pagewright/x86-paging";

import { VmmError } from "../errors.ts";
import type { FlushSink, TableStructure } from "../ports.ts";
import { TABLE_PAGES, type Pfn, type Vpn } from "../units.ts";
import type { X86Tables } from "./tables.ts";

/** Moves tables between roots. */
export class X86Structure implements TableStructure {
  /** See {@link TableStructure.moveTables}. */
  moveTables(from: X86Tables, fromStart: Vpn, to: X86Tables, toStart: Vpn, pages: number, plan: FlushSink): boolean {
    const units = unitsOf(from.mapper, fromStart, toStart, pages);
    for (const { level, at } of units)
      if (parentOf(to.mapper, level, toStart + at, true) === NO_FRAME) {
        to.unmap(toStart, toStart + pages, plan, null);
        return false;
      }
    for (const { level, at } of units) moveEntry(from.mapper, to.mapper, level, fromStart + at, toStart + at);
    from.forgetTables();
    to.forgetTables();
    from.unmap(fromStart, fromStart + pages, plan, null);
    plan.invalidateSpace();
    return true;
  }

  /** See {@link TableStructure.shareTables}: not offered, one object mapped twice does it. */
  shareTables(): boolean {
    throw new VmmError("bad-argument", "Tables are not shared between roots: map one object in both spaces.");
  }

  /** See {@link TableStructure.detachTables}. */
  detachTables(from: X86Tables, start: Vpn, pages: number, plan: FlushSink): void {
    from.unmap(start, start + pages, plan, null);
  }

  /** See {@link TableStructure.merge}: no 2M leaves are made here. */
  merge(): boolean {
    return false;
  }

  /** See {@link TableStructure.split}: a change of part of a 2M leaf splits it by itself. */
  split(): boolean {
    return true;
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

/** The table that holds the entry of `level` for a page; made where `make` says so, else NO_FRAME where it is missing. */
function parentOf(mapper: Mapper, level: number, vpn: Vpn, make: boolean): Pfn {
  const { editor, mode, root } = mapper;
  const raw = editor.rawOf(vpn);
  let table = root;
  for (let n = mode.depth; n > level; n--) {
    const here = editor.level(n);
    const index = Math.floor(raw / here.pages) & (here.entries - 1);
    editor.read(table, index);
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
