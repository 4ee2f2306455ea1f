/** 2M and 1G leaves of x86 page tables, as the core's port has them. */
import { levelOf, type PagingMode } from "@pagewright/x86-paging";

import type { FlushSink, LargeLeaves } from "../ports.ts";
import type { Pfn, Vpn } from "../units.ts";
import type { TableSource } from "./table-source.ts";
import type { X86Tables } from "./tables.ts";

/** The larger leaves of a paging mode: 2M and 1G in 4-level and 5-level paging, 2M in PAE. */
export class X86LargeLeaves implements LargeLeaves {
  /** See {@link LargeLeaves.sizes}. */
  readonly sizes: readonly number[];
  readonly #source: TableSource;

  /** The leaves of a mode, whose tables come from this source. */
  constructor(mode: PagingMode, source: TableSource) {
    this.#source = source;
    const levels = [2, 3].filter((n) => n <= mode.depth && levelOf(mode, n).page !== "");
    this.sizes = levels.map((n) => levelOf(mode, n).pages);
  }

  /** See {@link LargeLeaves.splits}. */
  get splits(): number {
    return this.#source.splits;
  }

  /** See {@link LargeLeaves.map}. */
  map(tables: X86Tables, vpn: Vpn, pfn: Pfn, pages: number, attributes: number, plan: FlushSink): boolean {
    return tables.mapLarge(vpn, pfn, pages, attributes, plan);
  }

  /** See {@link LargeLeaves.split}. */
  split(tables: X86Tables, vpn: Vpn, plan: FlushSink): void {
    tables.splitLarge(vpn, plan);
  }

  /** See {@link LargeLeaves.pagesAt}. */
  pagesAt(tables: X86Tables, vpn: Vpn): number {
    return tables.large.pagesAt(vpn);
  }
}
