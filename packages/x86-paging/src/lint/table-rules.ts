/** Rules about entries and the shape of the tables: reserved bits, widths, alignment, loops, tables beyond memory. Every table is looked at once per level. */

import { formatBigint, bigintOfVpn, bigintOfWords } from "../address.ts";
import { vpnOfRaw } from "../cursor.ts";
import { reservedBitsOf, reservedText } from "../explain-entry.ts";
import type { ReservedBit } from "../explain-entry.ts";
import type { PagingLevel } from "../mode.ts";
import { isLeaf, levelOf, tableFrameOf } from "../mode.ts";
import type { Pfn } from "../units.ts";
import type { LintRule, LintScene } from "./finding.ts";

/** Tables looked at, and references among them kept, at most: garbage taken for tables may refer to 2^40 more. */
const TABLE_LIMIT = 0x100000;

interface Visit {
  readonly table: Pfn;
  readonly level: number;
  /** Where the table was first met. */
  readonly raw: number;
}

/** Reports reserved bits, loops and tables beyond memory; returns every frame that serves as a table, with where it was first met. */
export function lintTables(scene: LintScene): Map<Pfn, number> {
  const { state, memory } = scene;
  const mode = state.mode;
  const tables = new Map<Pfn, number>([[state.root, 0]]);
  const seen = new Set<string>();
  const children = new Map<Pfn, Map<Pfn, Visit & { index: number }>>();
  const queue: Visit[] = [{ table: state.root, level: mode.depth, raw: 0 }];
  const limit = scene.options.tableLimit ?? TABLE_LIMIT;
  let references = 0;
  let isCut = false;
  for (let visit = queue.pop(); visit !== undefined; visit = queue.pop()) {
    const level = levelOf(mode, visit.level);
    const words = level.inRegisters ? state.rootEntries : memory.words(visit.table);
    const base = level.inRegisters ? 0 : memory.base(visit.table);
    for (let index = 0; index < level.entries; index++) {
      const low = words[base + index * mode.entryWords]!;
      if ((low & mode.presentMask) === 0) continue;
      const high = mode.entryWords === 2 ? words[base + index * 2 + 1]! : 0;
      const raw = visit.raw + index * level.pages;
      lintEntry(scene, level, index, low, high, raw);
      if (isLeaf(mode, level, low)) continue;
      const child = tableFrameOf(level, low & state.addressLow, high & state.addressHigh);
      if (scene.options.has?.(child) === false) {
        reportBeyondMemory(scene, level, index, child, raw);
        continue;
      }
      const edges = children.get(visit.table) ?? new Map<Pfn, Visit & { index: number }>();
      children.set(visit.table, edges);
      const key = `${child} ${visit.level - 1}`;
      const isNew = visit.level > 1 && !seen.has(key);
      const isOver = (references >= limit && !edges.has(child)) || (isNew && seen.size >= limit);
      if (isOver) {
        if (!isCut) reportCut(scene, level, raw, seen.size, limit);
        isCut = true;
        continue;
      }
      if (!edges.has(child)) references++;
      if (!isDeclared(scene, visit, index, child)) edges.set(child, { ...visit, raw, index });
      if (!tables.has(child)) tables.set(child, raw);
      if (!isNew) continue;
      seen.add(key);
      queue.push({ table: child, level: visit.level - 1, raw });
    }
  }
  lintLoops(scene, children);
  return tables;
}

function reportBeyondMemory(scene: LintScene, level: PagingLevel, index: number, table: Pfn, raw: number): void {
  if (!scene.wants("table-beyond-memory")) return;
  const vpn = vpnOfRaw(scene.state.mode, raw);
  const sentence = `${level.name}[${index}] at ${formatBigint(bigintOfVpn(vpn))} refers to a table at ${formatBigint(BigInt(table) * 4096n)}, where there is no memory`;
  scene.report({ rule: "table-beyond-memory", severity: "error", vpn, pages: level.pages, pfn: table, sentence });
}

function reportCut(scene: LintScene, level: PagingLevel, raw: number, tables: number, limit: number): void {
  const vpn = vpnOfRaw(scene.state.mode, raw);
  const sentence = `there are more tables than are looked at (${limit} tables or references among them): ${tables} were, the first left out is for ${formatBigint(bigintOfVpn(vpn))}`;
  scene.report({ rule: "incomplete", severity: "warning", vpn, pages: level.pages, sentence });
}

/** Whether an entry is the recursive slot that was declared. */
function isDeclared(scene: LintScene, visit: Visit, index: number, child: Pfn): boolean {
  return visit.table === scene.state.root && child === scene.state.root && index === scene.options.recursiveSlot;
}

const ENTRY_RULES: readonly LintRule[] = ["reserved-bits", "beyond-maxphyaddr", "misaligned-leaf"];
const RULES: Readonly<Record<string, LintRule>> = {
  alignment: "misaligned-leaf",
  "address-width": "beyond-maxphyaddr",
};

function lintEntry(scene: LintScene, level: PagingLevel, index: number, low: number, high: number, raw: number): void {
  if (!ENTRY_RULES.some((rule) => scene.wants(rule))) return;
  const found = reservedBitsOf(scene.state, level, low, high);
  if (found.length === 0) return;
  const vpn = vpnOfRaw(scene.state.mode, raw);
  const byRule = new Map<LintRule, ReservedBit[]>();
  for (const item of found) {
    const rule = RULES[item.cause] ?? "reserved-bits";
    byRule.set(rule, [...(byRule.get(rule) ?? []), item]);
  }
  for (const [rule, reserved] of byRule) {
    const sentence = `${level.name}[${index}] at ${formatBigint(bigintOfVpn(vpn))} is ${formatBigint(bigintOfWords(low, high))}: ${reservedText(reserved)}`;
    scene.report({ rule, severity: "error", vpn, pages: level.pages, sentence });
  }
}

/** Cycles among tables, by depth-first search without recursion: an edge to a table that is still open closes one. */
function lintLoops(scene: LintScene, children: ReadonlyMap<Pfn, ReadonlyMap<Pfn, Visit & { index: number }>>): void {
  const { state } = scene;
  const done = new Set<Pfn>();
  const open = new Set<Pfn>([state.root]);
  const path: { table: Pfn; rest: Iterator<[Pfn, Visit & { index: number }]> }[] = [
    { table: state.root, rest: edgesOf(children, state.root) },
  ];
  for (let top = path.at(-1); top !== undefined; top = path.at(-1)) {
    const next = top.rest.next();
    if (next.done === true) {
      open.delete(top.table);
      done.add(top.table);
      path.pop();
      continue;
    }
    const [child, edge] = next.value;
    if (open.has(child)) {
      if (!scene.wants("loop")) continue;
      const level = levelOf(state.mode, edge.level);
      const vpn = vpnOfRaw(state.mode, edge.raw);
      const sentence = `${level.name}[${edge.index}] at ${formatBigint(bigintOfVpn(vpn))} refers to the table at ${formatBigint(BigInt(child) * 4096n)}, which is above it: a loop`;
      scene.report({ rule: "loop", severity: "error", vpn, pages: level.pages, pfn: child, sentence });
    } else if (!done.has(child)) {
      open.add(child);
      path.push({ table: child, rest: edgesOf(children, child) });
    }
  }
}

function edgesOf(
  children: ReadonlyMap<Pfn, ReadonlyMap<Pfn, Visit & { index: number }>>,
  table: Pfn,
): Iterator<[Pfn, Visit & { index: number }]> {
  return (children.get(table) ?? new Map<Pfn, Visit & { index: number }>()).entries();
}
