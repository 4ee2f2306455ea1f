/** Tables that several roots refer to, counted, so that the last root to let go frees them. */

import type { Pfn } from "./units.ts";
import { PagingError } from "./errors.ts";

/** Reference counts above one. Give the same object to every mapper whose tables may be shared among them. */
export class TableShares {
  readonly #counts = new Map<Pfn, number>();

  /** How many entries refer to the table; 1 for a table that was never shared. */
  count(pfn: Pfn): number {
    return this.#counts.get(pfn) ?? 1;
  }

  /** How many tables have more than one reference. */
  get size(): number {
    return this.#counts.size;
  }

  /** One more entry refers to the table. */
  add(pfn: Pfn): void {
    this.#counts.set(pfn, this.count(pfn) + 1);
  }

  /** One entry less refers to the table. True where it was the last, so that the table is free. */
  drop(pfn: Pfn): boolean {
    const count = this.#counts.get(pfn);
    if (count === undefined) return true;
    if (count > 2) this.#counts.set(pfn, count - 1);
    else this.#counts.delete(pfn);
    return false;
  }

  /** Throws `inconsistent` where a count is below two. */
  check(): void {
    for (const [pfn, count] of this.#counts) {
      if (count < 2)
        throw new PagingError("inconsistent", `table ${pfn} is listed as shared with ${count} reference`, {
          pfn,
          count,
        });
    }
  }
}
