/** Tables in plain memory for all spaces of a manager. */
import type { FlushSink, LargeLeaves, TableStructure, TranslationSystem } from "../ports.ts";
import { TABLE_PAGES, type Pfn, type Vpn } from "../units.ts";
import { PlainTables } from "./plain-tables.ts";

/** 2M leaves of plain tables. */
export class PlainLargeLeaves implements LargeLeaves {
  /** See {@link LargeLeaves.sizes}: 2M only. */
  readonly sizes: readonly number[] = [TABLE_PAGES];
  /** See {@link LargeLeaves.splits}. */
  splits = 0;

  /** See {@link LargeLeaves.map}. */
  map(tables: PlainTables, vpn: Vpn, pfn: Pfn, _pages: number, attributes: number): boolean {
    return tables.mapLarge(vpn, pfn, attributes);
  }

  /** See {@link LargeLeaves.split}. */
  split(tables: PlainTables, vpn: Vpn, plan: FlushSink): void {
    tables.splitLarge(vpn, plan);
  }

  /** See {@link LargeLeaves.pagesAt}. */
  pagesAt(tables: PlainTables, vpn: Vpn): number {
    return tables.pagesAt(vpn);
  }
}

/** Makes {@link PlainTables}. Its spaces have no kernel half of their own; {@link kernel} is one more set of tables. */
export class PlainTranslationSystem implements TranslationSystem, TableStructure {
  /** See {@link TranslationSystem.large}. */
  readonly large: PlainLargeLeaves = new PlainLargeLeaves();
  /** Tables of kernel ranges. */
  readonly kernel: PlainTables = new PlainTables(0, this.large);
  /** The system itself: plain tables can be moved and shared. */
  readonly structure: TableStructure = this;
  #roots = 0;

  /** See {@link TranslationSystem.create}. Never null. */
  create(): PlainTables {
    return new PlainTables(++this.#roots, this.large);
  }

  /** See {@link TableStructure.moveTables}. */
  moveTables(
    from: PlainTables,
    fromStart: Vpn,
    to: PlainTables,
    toStart: Vpn,
    pages: number,
    plan: FlushSink,
  ): boolean {
    from.moveTo(to, fromStart, pages, toStart);
    plan.invalidateSpace();
    return true;
  }

  /** See {@link TableStructure.shareTables}. Never false. */
  shareTables(
    from: PlainTables,
    fromStart: Vpn,
    to: PlainTables,
    toStart: Vpn,
    pages: number,
    _plan: FlushSink,
  ): boolean {
    for (let at = 0; at < pages; at += TABLE_PAGES) to.attach(toStart + at, from.tableAt(fromStart + at));
    return true;
  }

  /** See {@link TableStructure.detachTables}. */
  detachTables(from: PlainTables, start: Vpn, pages: number, plan: FlushSink): void {
    for (let at = 0; at < pages; at += TABLE_PAGES) from.detach(start + at);
    plan.invalidateSpace();
  }
}
