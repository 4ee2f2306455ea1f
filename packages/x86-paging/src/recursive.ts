/**
 * The recursive slot: a root entry that refers to the root itself, so that every table appears in virtual memory.
 *
 *   address of the table of level n over va:  R repeated (n) times on top, the indices of va above level n shifted down
 *
 *   4-level, slot R:   PT    R i4 i3 i2 · · ·      PD    R R i4 i3      PDPT  R R R i4      PML4  R R R R
 *
 * Source: SDM 3A, Hierarchical Paging Structures (a table may serve at several levels).
 */

import { PagingError } from "./errors.ts";
import type { FlushPlan } from "./flush-plan.ts";
import { FLUSH_REQUIRED, NOTHING_TO_FLUSH } from "./flush-plan.ts";
import type { Mapper } from "./mapper.ts";
import type { PagingMode } from "./mode.ts";
import { levelOf } from "./mode.ts";
import type { Vpn } from "./units.ts";

/** First page of what root entry `slot` covers. */
function slotStart(mode: PagingMode, slot: number): number {
  const root = levelOf(mode, mode.depth);
  if (!Number.isInteger(slot) || slot < 0 || slot >= root.entries) {
    throw new PagingError("out-of-range", `${root.name} has no entry ${slot}`, { slot });
  }
  return slot * root.pages;
}

function canBeRecursive(mode: PagingMode): void {
  const sizes = new Set(Array.from({ length: mode.depth }, (_, i) => levelOf(mode, i + 1).entries));
  const leaf = mode.definition.rule !== "x86" || mode.depth === 0;
  if (sizes.size !== 1 || leaf)
    throw new PagingError(
      "bad-mode",
      `${mode.name} tables cannot serve at every level: a recursive slot does not work`,
    );
}

/**
 * Makes root entry `slot` refer to the root. `slot` must be empty (throws `inconsistent`). Nothing need be flushed: the entry was not present.
 * Throws `bad-mode` where tables of one level cannot serve at another (EPT, PAE, RISC-V).
 */
export function installRecursiveSlot(mapper: Mapper, slot: number): FlushPlan {
  canBeRecursive(mapper.mode);
  slotStart(mapper.mode, slot);
  const { editor, root } = mapper;
  editor.read(root, slot);
  if (editor.low !== 0 || editor.high !== 0)
    throw new PagingError("inconsistent", `root entry ${slot} is in use`, { slot });
  const level = editor.level(mapper.mode.depth);
  const low = editor.tableLow(level, root) & ~mapper.mode.userMask;
  editor.write(root, slot, low >>> 0, (editor.tableHigh(level, root) | mapper.mode.noExecuteHigh) >>> 0);
  return NOTHING_TO_FLUSH;
}

/** Clears a recursive slot. Every translation through it is stale. Throws `inconsistent` where the entry does not refer to the root. */
export function removeRecursiveSlot(mapper: Mapper, slot: number): FlushPlan {
  const start = slotStart(mapper.mode, slot);
  const { editor, root } = mapper;
  const level = editor.level(mapper.mode.depth);
  editor.read(root, slot);
  if (!editor.isPresent || editor.tableFrame(level) !== root)
    throw new PagingError("inconsistent", `root entry ${slot} is no recursive slot`, { slot });
  editor.replace(root, slot, 0, 0);
  const plan = editor.plan();
  plan.addRange(editor.vpnOf(start), level.pages, 1, FLUSH_REQUIRED, false);
  return plan;
}

/**
 * The page at which the table of level `n` that serves `vpn` appears. n = 1 is the page table, the mode's depth the root itself.
 * Exact for 5-level addresses.
 */
export function recursivePage(mode: PagingMode, slot: number, vpn: Vpn, n: number): Vpn {
  canBeRecursive(mode);
  levelOf(mode, n);
  const span = 2 ** (mode.addressBits - 12);
  let raw = vpn < 0 ? vpn + span : vpn;
  for (let m = 0; m < n; m++) raw = slotStart(mode, slot) + Math.floor(raw / levelOf(mode, 1).entries);
  return mode.definition.extension === "sign" && raw >= span / 2 ? raw - span : raw;
}

/** The byte within that page at which the entry of level `n` for `vpn` lies. */
export function recursiveOffset(mode: PagingMode, vpn: Vpn, n: number): number {
  const span = 2 ** (mode.addressBits - 12);
  const raw = vpn < 0 ? vpn + span : vpn;
  const level = levelOf(mode, n);
  return (Math.floor(raw / level.pages) & (level.entries - 1)) * mode.entryWords * 4;
}

/** The first page and the number of pages that the slot covers: what to lint around, and to leave alone. */
export function recursiveRange(mode: PagingMode, slot: number): { vpn: Vpn; pages: number } {
  const start = slotStart(mode, slot);
  const span = 2 ** (mode.addressBits - 12);
  return {
    vpn: mode.definition.extension === "sign" && start >= span / 2 ? start - span : start,
    pages: levelOf(mode, mode.depth).pages,
  };
}

/**
 * What an edit of the entry of level `n` for `vpn` owes besides the translation itself: the pages at which the tables below it appear
 * in the slot. For n = 1 there is none.
 */
export function recursiveFlush(mapper: Mapper, slot: number, vpn: Vpn, n: number): FlushPlan {
  const plan = mapper.editor.plan();
  const level = levelOf(mapper.mode, n);
  const first = Math.floor(vpn / level.pages) * level.pages;
  for (let m = n - 1, tables = 1; m >= 1; m--) {
    plan.addRange(recursivePage(mapper.mode, slot, first, m), tables, 1, FLUSH_REQUIRED, false);
    tables *= levelOf(mapper.mode, m).entries;
  }
  return plan;
}
