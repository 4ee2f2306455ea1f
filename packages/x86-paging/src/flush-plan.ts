/**
 * What a change of the tables owes: translations to invalidate, and frames that may be used again only afterwards.
 *
 *   edit ──► FlushPlan { ranges, pcid, … } ──► the caller invalidates on every processor ──► complete() ──► frames come back
 *
 * A plan is the only holder of the frames that its change set free, so a frame cannot be reused before the flush.
 * Source: SDM 3A, Invalidation of TLBs and Paging-Structure Caches.
 */

import { ATTR_ACCESSED, ATTR_DIRTY, ATTR_GLOBAL } from "./attributes.ts";
import { PagingError } from "./errors.ts";
import type { TableFrames } from "./ports.ts";
import { RIGHT_EXECUTE, RIGHT_READ, RIGHT_USER, RIGHT_USER_EXECUTE, RIGHT_WRITE } from "./rights.ts";
import type { Pfn, Vpn } from "./units.ts";

/** Nothing can be stale. */
export const FLUSH_NONE = 0;
/** A stale translation costs at most a spurious page fault, which the handler must tolerate. */
export const FLUSH_SPURIOUS = 1;
/** A stale translation keeps an accessed bit from being set again: the page looks older than it is. */
export const FLUSH_ACCESSED = 2;
/** A stale translation is wrong: wrong frame, wrong rights, a lost dirty bit, a wrong memory type. */
export const FLUSH_REQUIRED = 3;

/** More pages than this are dropped faster by flushing everything (Linux: tlb_single_page_flush_ceiling). */
export const SINGLE_PAGE_CEILING = 33;

/** Neighbouring pages whose translations changed in the same way: `[start, start + pages)`. */
export interface FlushRange {
  /** First page. */
  readonly start: Vpn;
  /** 4K pages, also where larger ones mapped them. */
  readonly pages: number;
  /** 4K pages per translation: one invalidation per `stride` is enough. */
  readonly stride: number;
  /** `FLUSH_…`: how bad a stale translation is. */
  readonly need: number;
  /** A global translation was among them: a CR3 load alone does not drop it. */
  readonly global: boolean;
}

/** How much to flush: nothing, single pages, all of one context (PCID), or everything, global translations included. */
export type FlushScope = "none" | "pages" | "context" | "everything";

/** A run of data frames that a change set free, with the attributes (accessed and dirty among them) they had. */
export type FrameVisitor = (pfn: Pfn, pages: number, vpn: Vpn, attributes: number) => void;

/** The outcome of a successful change. */
export class FlushPlan {
  readonly ok = true as const;
  /** The context whose translations changed; −1 where the processor has no PCIDs or the change is in all of them. */
  readonly pcid: number;
  /** The change is visible in several contexts (shared tables): flush for all of them. */
  everyContext = false;
  /** A PAE page-directory-pointer entry changed: CR3 must be loaded again. */
  reloadRoot = false;
  readonly #frames: TableFrames;
  #ranges: number[] | null = null;
  #tables: Pfn[] | null = null;
  #data: number[] | null = null;
  #completed = false;

  constructor(frames: TableFrames, pcid: number) {
    this.#frames = frames;
    this.pcid = pcid;
  }

  /** Adds translations; an adjoining range of the same kind grows instead. */
  addRange(start: Vpn, pages: number, stride: number, need: number, global: boolean): void {
    if (need === FLUSH_NONE) return;
    const ranges = (this.#ranges ??= []);
    const kind = need * 2 + (global ? 1 : 0);
    const last = ranges.length - 4;
    if (
      last >= 0
      && ranges[last + 2] === stride
      && ranges[last + 3] === kind
      && (ranges[last] ?? 0) + (ranges[last + 1] ?? 0) === start
    ) {
      ranges[last + 1] = (ranges[last + 1] ?? 0) + pages;
    } else {
      ranges.push(start, pages, stride, kind);
    }
  }

  /** Adds a table frame that nothing refers to any more. */
  addTable(pfn: Pfn): void {
    (this.#tables ??= []).push(pfn);
  }

  /** Adds data frames that the change unmapped; an adjoining run grows instead. */
  addFrames(pfn: Pfn, pages: number, vpn: Vpn, attributes: number): void {
    const data = (this.#data ??= []);
    const last = data.length - 4;
    if (last >= 0) {
      const run = data[last + 1] ?? 0;
      if (data[last + 3] === attributes && (data[last] ?? 0) + run === pfn && (data[last + 2] ?? 0) + run === vpn) {
        data[last + 1] = run + pages;
        return;
      }
    }
    data.push(pfn, pages, vpn, attributes);
  }

  /** The translations to invalidate, in the order of the change. */
  get ranges(): FlushRange[] {
    const ranges = this.#ranges ?? [];
    const list: FlushRange[] = [];
    for (let i = 0; i < ranges.length; i += 4) {
      const kind = ranges[i + 3] ?? 0;
      list.push({
        start: ranges[i] ?? 0,
        pages: ranges[i + 1] ?? 0,
        stride: ranges[i + 2] ?? 1,
        need: kind >> 1,
        global: (kind & 1) === 1,
      });
    }
    return list;
  }

  /** The strongest need among the ranges. `FLUSH_NONE` also when only never-present entries changed. */
  get need(): number {
    let need = this.#tables === null ? FLUSH_NONE : FLUSH_REQUIRED;
    const ranges = this.#ranges ?? [];
    for (let i = 3; i < ranges.length; i += 4) need = Math.max(need, (ranges[i] ?? 0) >> 1);
    return need;
  }

  /** Whether there is nothing to invalidate and nothing to give back. */
  get isEmpty(): boolean {
    return this.#ranges === null && this.#tables === null && this.#data === null;
  }

  /** How many invalidations of single pages the ranges take. */
  get invalidations(): number {
    const ranges = this.#ranges ?? [];
    let count = 0;
    for (let i = 0; i < ranges.length; i += 4) count += (ranges[i + 1] ?? 0) / (ranges[i + 2] ?? 1);
    return count;
  }

  /**
   * The cheapest sufficient flush. "pages" up to `SINGLE_PAGE_CEILING`; above it "context", or "everything" where a global
   * translation is concerned. Freed tables without a range still need one "context" flush, for the paging-structure caches.
   */
  get scope(): FlushScope {
    const ranges = this.#ranges;
    if (ranges === null) return this.#tables === null ? "none" : "context";
    if (this.invalidations <= SINGLE_PAGE_CEILING && !this.everyContext) return "pages";
    for (let i = 3; i < ranges.length; i += 4) if (((ranges[i] ?? 0) & 1) === 1) return "everything";
    return this.everyContext ? "everything" : "context";
  }

  /** How many table frames the plan holds. */
  get heldTables(): number {
    return this.#tables?.length ?? 0;
  }

  /** How many 4K data frames the plan holds. */
  get heldFrames(): number {
    const data = this.#data ?? [];
    let pages = 0;
    for (let i = 1; i < data.length; i += 4) pages += data[i] ?? 0;
    return pages;
  }

  /** Calls `visit` for every run of data frames held; they stay held. */
  forEachFrame(visit: FrameVisitor): void {
    const data = this.#data ?? [];
    for (let i = 0; i < data.length; i += 4) visit(data[i] ?? 0, data[i + 1] ?? 0, data[i + 2] ?? 0, data[i + 3] ?? 0);
  }

  /**
   * Says that the flush is done: table frames go back to where they came from, data frames to `give`.
   * Throws `plan-completed` the second time.
   */
  complete(give?: FrameVisitor): void {
    if (this === NOTHING_TO_FLUSH) return;
    if (this.#completed) throw new PagingError("plan-completed", "this flush plan was completed before");
    this.#completed = true;
    for (const pfn of this.#tables ?? []) this.#frames.give(pfn);
    if (give !== undefined) this.forEachFrame(give);
  }
}

const nowhere: TableFrames = { take: () => -1, give: () => undefined };

/** The plan of a change that nobody can have cached (a not-present entry made present). One for all; completing it does nothing. */
export const NOTHING_TO_FLUSH: FlushPlan = new FlushPlan(nowhere, -1);

const OTHER = ~(
  RIGHT_READ
  | RIGHT_WRITE
  | RIGHT_USER
  | RIGHT_EXECUTE
  | RIGHT_USER_EXECUTE
  | ATTR_ACCESSED
  | ATTR_DIRTY
);

/**
 * What a change of a present leaf's attributes owes, frame and size staying. `supervisorGuards`: CR4.SMEP or CR4.SMAP is on.
 *
 * Rights that only grow may fault spuriously. U/S from 0 to 1 under SMEP or SMAP takes a right away from the supervisor.
 * Memory type, global, key, encryption: required. Setting A or D: nothing; clearing D: required; clearing A: optional.
 * Software bits: nothing. Source: SDM 3A, Recommended Invalidation, Optional Invalidation.
 */
export function needOfChange(before: number, after: number, supervisorGuards: boolean, softwareMask: number): number {
  const changed = before ^ after;
  const lost = before & ~after;
  if ((changed & OTHER & ~softwareMask) !== 0 || (before & ATTR_GLOBAL) !== (after & ATTR_GLOBAL))
    return FLUSH_REQUIRED;
  if ((lost & (RIGHT_READ | RIGHT_WRITE | RIGHT_USER | RIGHT_EXECUTE | RIGHT_USER_EXECUTE | ATTR_DIRTY)) !== 0)
    return FLUSH_REQUIRED;
  if ((changed & RIGHT_USER) !== 0 && supervisorGuards) return FLUSH_REQUIRED;
  if ((changed & (RIGHT_READ | RIGHT_WRITE | RIGHT_USER | RIGHT_EXECUTE | RIGHT_USER_EXECUTE)) !== 0)
    return FLUSH_SPURIOUS;
  return (lost & ATTR_ACCESSED) !== 0 ? FLUSH_ACCESSED : FLUSH_NONE;
}
