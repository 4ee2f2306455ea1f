/**
 * 2M pages, decided by page faults. A 2M page is 512 page records in frames in a row, translated by one leaf: what knows pages (references, copies on
 * write, swap, locks, migration) goes on knowing pages of 4K, and what changes the translation of some of them makes the tables split the leaf.
 *
 * ```
 *  sheet ─ 512 pages ─ 512 reverse mappings
 *    │        └─ frames f, f + 1 … f + 511, f a multiple of 512
 *    └─ one 2M leaf          ⇄ split, mapped whole, collapsed ⇄          512 entries of a table
 * ```
 */
import type { Core } from "../core.ts";
import type { FaultOutcome } from "../outcome.ts";
import { WRITE } from "../rights.ts";
import { MAP_NEW, MAP_PAGE, MAP_READ_ONLY } from "../space/fault-table.ts";
import type { Region } from "../space/region.ts";
import type { Sheet } from "../space/sheet.ts";
import type { AddressSpace } from "../space/space.ts";
import { NO_FRAME, TABLE_PAGES, type Vpn } from "../units.ts";
import { giveBlock, hasLeaves, hasRoom, mayMap, takeBlock, zeroBlock } from "./blocks.ts";
import { enterMappings, fillObject, fillSheet, mapFrames, pageUnder } from "./leaf.ts";

/** Where 2M pages are used without a request: nowhere; in regions with the advice `large`; everywhere but in regions with `no-large`. */
export type LargePageUse = "never" | "advise" | "always";

/** What became of wishes for 2M pages. Counts of 2M pages, except `splits`. */
export interface LargePageStats {
  /** Filled by a fault. */
  readonly faults: number;
  /** Faults that got a 4K page for lack of a block. */
  readonly fallbacks: number;
  /** Mapped by one leaf because 512 pages lay in a row already. */
  readonly mappedWhole: number;
  /** Assembled in the background, their pages copied together. */
  readonly collapses: number;
  /** Leaves, of 2M and of 1G, that became smaller ones. */
  readonly splits: number;
}

/** Resolves faults by 2M leaves where regions want them. */
export class LargePages {
  /** Where 2M pages are used. */
  readonly use: LargePageUse;
  readonly #core: Core;
  #faults = 0;
  #fallbacks = 0;
  #mappedWhole = 0;
  #collapses = 0;

  /** 2M pages of a core. */
  constructor(core: Core, use: LargePageUse) {
    this.#core = core;
    this.use = hasLeaves(core, TABLE_PAGES) ? use : "never";
  }

  /** What became of wishes for 2M pages. */
  stats(): LargePageStats {
    return {
      faults: this.#faults,
      fallbacks: this.#fallbacks,
      mappedWhole: this.#mappedWhole,
      collapses: this.#collapses,
      splits: this.#core.tables.large?.splits ?? 0,
    };
  }

  /** Whether 2M pages may be used in a region. Two comparisons. */
  wants(region: Region): boolean {
    return region.large === "yes" ? this.use !== "never" : this.use === "always" && region.large === "default";
  }

  /** Notes a 2M page that was assembled in the background. */
  collapsed(): void {
    this.#collapses++;
  }

  /** Resolves a fault by a 2M leaf if `action` (of the decision table) can be done so; null: do it with a 4K page. The region wants 2M pages. */
  resolve(
    space: AddressSpace,
    region: Region,
    vpn: Vpn,
    action: number,
    write: boolean,
    present: boolean,
  ): FaultOutcome | null {
    if (present && action !== MAP_NEW)
      return action === MAP_PAGE && write && this.#makeWritable(space, region, vpn) ? "minor" : null;
    if (space.limits.residentPages !== Infinity) return null; // It makes room for one page at a time.
    const base = Math.floor(vpn / TABLE_PAGES) * TABLE_PAGES;
    const sheet = space.sheetFor(vpn);
    if (!canHold(region, base) || sheet.sharers !== null || sheet.mapped > 0) return null;
    if (action === MAP_NEW) return this.#fill(space, region, sheet, base);
    if (action !== MAP_PAGE && action !== MAP_READ_ONLY) return null;
    if (this.mapWhole(space, region, base, write)) return "minor";
    return this.#fillObject(space, region, sheet, base, write);
  }

  /**
   * Maps the 512 pages of a region from `base` on by one leaf, if all of them are in frames in a row and none is mapped there; with `write`, only if a store
   * needs no copy of any.
   */
  mapWhole(space: AddressSpace, region: Region, base: Vpn, write: boolean): boolean {
    const core = this.#core;
    const sheet = space.sheets.get(base);
    if (sheet === null || sheet.sharers !== null || sheet.mapped > 0 || !canHold(region, base)) return false;
    const pfn = this.#runUnder(region, sheet, base);
    if (pfn === NO_FRAME) return false;
    const writable = region.object === null ? this.#areOwn(sheet) : mayStoreWhole(region);
    if ((write && !writable) || !mayMap(space, TABLE_PAGES)) return false;
    const change = core.begin(space);
    const rights = writable ? region.rights : region.rights & ~WRITE;
    const mapped = mapFrames(space, region, base, TABLE_PAGES, pfn, rights, change.plan);
    if (mapped) {
      enterMappings(core, region, sheet, (at) => pageUnder(region, sheet, base, at));
      this.#mappedWhole++;
    }
    core.end(change);
    return mapped;
  }

  /** The first frame of the 512 pages that a region shows from `base` on, if they lie in a row; else NO_FRAME. Mostly decided by the first and the last. */
  #runUnder(region: Region, sheet: Sheet, base: Vpn): number {
    const { pages } = this.#core;
    const frameAt = (at: number): number => {
      const page = pageUnder(region, sheet, base, at);
      return page < 0 ? NO_FRAME : pages.pfn[page]!;
    };
    const first = frameAt(0);
    if (first < 0 || Math.floor(first / TABLE_PAGES) * TABLE_PAGES !== first) return NO_FRAME;
    if (sheet.used !== 0 && sheet.used !== TABLE_PAGES) return NO_FRAME; // Some private, some the object's.
    for (let at = TABLE_PAGES - 1; at > 0; at--) if (frameAt(at) !== first + at) return NO_FRAME;
    return first;
  }

  /** Whether every private page of a sheet has no other owner. */
  #areOwn(sheet: Sheet): boolean {
    const { refs } = this.#core.pages;
    for (const page of sheet.anons) if (page < 0 || refs[page] !== 1) return false;
    return true;
  }

  /** First store to a 2M unit of private memory that nobody has stored to. */
  #fill(space: AddressSpace, region: Region, sheet: Sheet, base: Vpn): FaultOutcome | null {
    const core = this.#core;
    if (sheet.used > 0) return null;
    const pfn = this.#take();
    if (pfn === NO_FRAME) return null;
    zeroBlock(core, pfn, TABLE_PAGES);
    const { yields } = core;
    const change = core.begin(space);
    change.remove(base, base + TABLE_PAGES, false); // The shared frame of zeroes, where pages were only loaded from.
    change.plan.flush();
    const alone = core.yields === yields;
    const mapped = alone && mapFrames(space, region, base, TABLE_PAGES, pfn, region.rights, change.plan);
    if (mapped) fillSheet(core, region, sheet, pfn);
    core.end(change);
    return this.#filled(pfn, mapped, alone);
  }

  /** First use of a 2M unit of an object: zero-filled memory, or a file, which is read whole and mapped for loads alone. */
  #fillObject(space: AddressSpace, region: Region, sheet: Sheet, base: Vpn, write: boolean): FaultOutcome | null {
    const core = this.#core;
    const { object } = region;
    if (object === null || object.isSettling) return null;
    const index = region.indexOf(base);
    const writable = mayStoreWhole(region);
    if ((write && !writable) || (index & (TABLE_PAGES - 1)) !== 0 || !object.canFillBlock(index)) return null;
    const pfn = this.#take();
    if (pfn === NO_FRAME) return null;
    const filled = object.fillBlock(index, pfn);
    const change = core.begin(space);
    const rights = writable ? region.rights : region.rights & ~WRITE;
    const mapped = filled && mapFrames(space, region, base, TABLE_PAGES, pfn, rights, change.plan);
    if (mapped) fillObject(core, region, sheet, object, index, pfn);
    core.end(change);
    const done = this.#filled(pfn, mapped, true);
    return done === "zero" && object.persistent ? "major" : done;
  }

  #take(): number {
    const core = this.#core;
    const pfn = hasRoom(core, TABLE_PAGES) ? takeBlock(core, TABLE_PAGES, core.keeper.wishes) : NO_FRAME;
    if (pfn === NO_FRAME) this.#fallbacks++;
    return pfn;
  }

  #filled(pfn: number, mapped: boolean, alone: boolean): FaultOutcome | null {
    if (mapped) {
      this.#faults++;
      return "zero";
    }
    giveBlock(this.#core, pfn, TABLE_PAGES);
    if (!alone) return "spurious"; // Others ran meanwhile: start over.
    this.#fallbacks++;
    return null;
  }

  /** A store to a leaf that was made read-only for the sake of owners who are all gone: it stays one leaf. */
  #makeWritable(space: AddressSpace, region: Region, vpn: Vpn): boolean {
    const core = this.#core;
    const { large } = core.tables;
    const base = Math.floor(vpn / TABLE_PAGES) * TABLE_PAGES;
    const sheet = space.sheets.get(vpn);
    if (large === undefined || sheet === null || !canHold(region, base)) return false;
    const pages = large.pagesAt(space.tables, vpn);
    const owned = region.object === null ? this.#areOwn(sheet) : mayStoreWhole(region);
    if (pages < TABLE_PAGES || !owned) return false;
    const change = core.begin(space);
    change.plan.asid = space.asid;
    space.tables.protect(base, base + TABLE_PAGES, region.rights + space.attributes, change.plan);
    core.end(change);
    return true;
  }
}

/**
 * Whether stores through one leaf may reach 512 pages of a region's object. Not those of a file: one dirty bit for all of them would have all written back, and a
 * page that nobody stored to would count as changed.
 */
function mayStoreWhole(region: Region): boolean {
  return region.shared && region.object?.persistent === false;
}

/** Whether the 512 pages from `base` on all lie in a region whose pages may be under one leaf. */
export function canHold(region: Region, base: Vpn): boolean {
  return region.start <= base && base + TABLE_PAGES <= region.end && region.type === 0 && !region.writeNotify;
}
