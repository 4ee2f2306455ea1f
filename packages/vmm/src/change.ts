/**
 * One change of a space's translations under way: its flush plan, and the receiver of the entries that the tables report.
 */
import type { Core } from "./core.ts";
import { FlushPlan } from "./flush-plan.ts";
import { PAGE_REFERENCED } from "./pages/pages.ts";
import type { EntrySink } from "./ports.ts";
import { ACCESSED, DIRTY } from "./rights.ts";
import type { AddressSpace } from "./space/space.ts";
import { TABLE_PAGES, type Pfn, type Vpn } from "./units.ts";

/** Receives entries whose accessed and dirty bits were cleared: marks the pages. */
export class Marker implements EntrySink {
  readonly #core: Core;

  /** A marker of a core's pages. */
  constructor(core: Core) {
    this.#core = core;
  }

  /** See {@link EntrySink.entry}. */
  entry(_vpn: Vpn, pfn: Pfn, state: number): void {
    const page = this.#core.frameMap.pageAt(pfn);
    if (page < 0) return;
    if ((state & DIRTY) !== 0) this.#core.dirty(page);
    if ((state & ACCESSED) !== 0) this.#core.pages.mark(page, PAGE_REFERENCED);
  }
}

/** A change of one space. Made and kept by `Core.begin` and `Core.end`. */
export class Change implements EntrySink {
  /** What is left to do; completed at the end of the change. */
  readonly plan: FlushPlan;
  readonly #core: Core;
  #space: AddressSpace | null = null;
  /** Whether removed translations lie in a locked region, so that each held its page. */
  #locked = false;
  /** Frames that removed translations led to; kept only where invalidation may be left for later. */
  readonly #removed: Pfn[] = [];

  /** A change of a core's spaces. */
  constructor(core: Core) {
    this.#core = core;
    this.plan = new FlushPlan(core);
  }

  /** Starts over with a space. */
  enter(space: AddressSpace | null): void {
    this.#space = space;
    this.plan.asid = space === null ? 0 : space.asid;
    if (this.#removed.length > 0) this.#removed.length = 0; // Emptying what is empty costs 20 ns.
  }

  /** Whether every frame that a removed translation led to is no page's any more: it waits in the plan, or it is the frame of zeroes. */
  get setsAllFree(): boolean {
    const { frameMap } = this.#core;
    return this.#removed.every((pfn) => frameMap.pageAt(pfn) < 0);
  }

  /** Removes the translations of `[start, end)`, which lies in regions that are all locked or all not. */
  remove(start: Vpn, end: Vpn, locked: boolean): void {
    const space = this.#space;
    if (space === null) return;
    this.#locked = locked;
    this.plan.asid = space.asid;
    if (this.#core.interleaving === null) space.tables.unmap(start, end, this.plan, this);
    else this.#eachEntry(space, start, end, (from, to) => space.tables.unmap(from, to, this.plan, this));
  }

  /** Sets the attributes of the translations of `[start, end)`. */
  protect(start: Vpn, end: Vpn, attributes: number): void {
    const space = this.#space;
    if (space === null) return;
    this.plan.asid = space.asid;
    if (this.#core.interleaving === null) space.tables.protect(start, end, attributes, this.plan);
    else this.#eachEntry(space, start, end, (from, to) => space.tables.protect(from, to, attributes, this.plan));
  }

  /** Entry by entry, leaves of 2M and 1G within the range as one, with a yield point after each. */
  #eachEntry(space: AddressSpace, start: Vpn, end: Vpn, change: (from: Vpn, to: Vpn) => void): void {
    const { large } = this.#core.tables;
    const found: Vpn[] = [];
    space.sheets.forEach(start, end, (_sheet, base) => {
      for (let vpn = Math.max(start, base); vpn < Math.min(end, base + TABLE_PAGES); vpn++) found.push(vpn);
    });
    let done: Vpn = start;
    for (const vpn of found) {
      if (vpn < done || space.tables.query(vpn) === 0) continue;
      const pages = large?.pagesAt(space.tables, vpn) ?? 1;
      const whole = Math.floor(vpn / pages) * pages === vpn && vpn + pages <= end;
      done = vpn + (whole ? pages : 1);
      change(vpn, done);
      this.#core.yieldPoint("entry");
    }
  }

  /** Removes the translation of one page; what is left to do goes to another change's plan. */
  removeInto(vpn: Vpn, plan: FlushPlan): void {
    const space = this.#space;
    if (space === null) return;
    const region = space.regions.find(vpn);
    this.#locked = region !== null && region.locked !== "none";
    plan.asid = space.asid;
    space.tables.unmap(vpn, vpn + 1, plan, this);
    this.#core.yieldPoint("entry");
  }

  /** See {@link EntrySink.entry}: a translation was removed. */
  entry(vpn: Vpn, pfn: Pfn, state: number): void {
    const core = this.#core;
    const page = core.frameMap.pageAt(pfn);
    if (page < 0) return;
    if (core.quarantine !== null) this.#removed.push(pfn);
    const sheet = this.#space?.sheets.get(vpn) ?? null;
    if (sheet !== null) core.unmapped(sheet, vpn, page, state, this.#locked);
  }
}
