/** All that the manager asks of a table format: the tables of spaces, whole tables that change hands, and megapages. */
import {
  NO_FRAME,
  type AddressLayout,
  type FlushSink,
  type FrameSource,
  type FrameWindow,
  type LargeLeaves,
  type Pfn,
  type TableStructure,
  type TranslationSystem,
  type Vpn,
} from "@pagewright/vmm";

import { MEGAPAGE, ROOT_ENTRY_PAGES, SV39_USER_PAGES, Sv39Tables } from "./tables.ts";
import { TableMemory } from "./table-memory.ts";

/** Leaves of level 1: 512 pages by one entry. */
class Megapages implements LargeLeaves {
  /** See `LargeLeaves.sizes`. */
  readonly sizes: readonly number[] = [MEGAPAGE];
  /** See `LargeLeaves.splits`. */
  splits = 0;

  /** See `LargeLeaves.map`. */
  map(tables: Sv39Tables, vpn: Vpn, pfn: Pfn, _pages: number, attributes: number, plan: FlushSink): boolean {
    return tables.mapMegapage(vpn, pfn, attributes, plan);
  }

  /** See `LargeLeaves.split`. */
  split(tables: Sv39Tables, vpn: Vpn, plan: FlushSink): void {
    tables.split(vpn, plan);
  }

  /** See `LargeLeaves.pagesAt`. */
  pagesAt(tables: Sv39Tables, vpn: Vpn): number {
    return tables.pagesAt(vpn);
  }
}

/** Makes {@link Sv39Tables}. There is no kernel half to share: the example's spaces have user pages only. */
export class Sv39TranslationSystem implements TranslationSystem, TableStructure {
  /** User pages end at 2^38 bytes less one page; the first 64 KiB stay unmapped. The upper half is nobody's here. */
  readonly layout: AddressLayout = {
    userLow: 16,
    userHigh: SV39_USER_PAGES - 1,
    kernelLow: -SV39_USER_PAGES,
    kernelHigh: -SV39_USER_PAGES,
  };
  /** See `TranslationSystem.kernel`. */
  readonly kernel: null = null;
  /** See `TranslationSystem.structure`. */
  readonly structure: TableStructure = this;
  /** See `TranslationSystem.large`. */
  readonly large: LargeLeaves & { splits: number } = new Megapages();
  readonly #memory: TableMemory;

  /** Tables in frames of `frames`, reached through `window`. */
  constructor(frames: FrameSource, window: FrameWindow) {
    this.#memory = new TableMemory(frames, window);
  }

  /** See `TranslationSystem.create`. */
  create(): Sv39Tables | null {
    const root = this.#memory.take();
    return root === NO_FRAME ? null : new Sv39Tables(root, this.#memory, this.large);
  }

  /** See `TableStructure.moveTables`: one entry of the root for each GiB that is aligned on both sides, else one of level 1 for each 2 MiB. */
  moveTables(from: Sv39Tables, fromStart: Vpn, to: Sv39Tables, toStart: Vpn, pages: number, plan: FlushSink): boolean {
    to.prune(toStart, toStart + pages, plan);
    const units = unitsOf(fromStart, toStart, pages);
    if (!units.every(({ level, at }) => to.reach(level, toStart + at))) {
      to.prune(toStart, toStart + pages, plan);
      return false;
    }
    for (const { level, at } of units) {
      const entry = from.takeEntry(level, fromStart + at);
      if (entry.low !== 0 || entry.high !== 0) to.putEntry(level, toStart + at, entry);
    }
    from.prune(fromStart, fromStart + pages, plan);
    to.prune(toStart, toStart + pages, plan);
    plan.invalidateSpace();
    return true;
  }

  /** See `TableStructure.shareTables`: tables of level 0, each with one user more. */
  shareTables(from: Sv39Tables, fromStart: Vpn, to: Sv39Tables, toStart: Vpn, pages: number, plan: FlushSink): boolean {
    to.prune(toStart, toStart + pages, plan);
    for (let at = 0; at < pages; at += MEGAPAGE) {
      const table = from.tableAt(fromStart + at, plan);
      if (table !== NO_FRAME && to.link(toStart + at, table)) continue;
      this.detachTables(to, toStart, at, plan);
      from.prune(fromStart, fromStart + pages, plan);
      return false;
    }
    return true;
  }

  /** See `TableStructure.detachTables`. */
  detachTables(from: Sv39Tables, start: Vpn, pages: number, plan: FlushSink): void {
    for (let at = 0; at < pages; at += MEGAPAGE) from.unlink(start + at, plan);
    from.prune(start, start + pages, plan);
    plan.invalidateSpace();
  }
}

/** An entry that changes hands: its level, and how far from the start of the range, in pages. */
interface Unit {
  readonly level: 1 | 2;
  readonly at: number;
}

/** Cuts a range into the largest entries that are aligned on both sides. */
function unitsOf(fromStart: Vpn, toStart: Vpn, pages: number): Unit[] {
  const units: Unit[] = [];
  for (let at = 0; at < pages;) {
    const fits = pages - at >= ROOT_ENTRY_PAGES && isRootEntry(fromStart + at) && isRootEntry(toStart + at);
    units.push({ level: fits ? 2 : 1, at });
    at += fits ? ROOT_ENTRY_PAGES : MEGAPAGE;
  }
  return units;
}

function isRootEntry(vpn: Vpn): boolean {
  return Math.floor(vpn / ROOT_ENTRY_PAGES) * ROOT_ENTRY_PAGES === vpn;
}
