/**
 * Pages that programs can do without soonest: advised cold, or freed lazily. They leave before any page that the policy names, in the order of the advice,
 * whatever the policy: no queue of its own has to know a place for them.
 *
 * Invariant: a cold page is in a frame and held by nobody. One that is used again stops being cold when reclaim or a harvest sees its accessed bit.
 */
import { invariant } from "../errors.ts";
import { NO_PAGE, PAGE_FROZEN, type Pages } from "../pages/pages.ts";

/** Cold pages of one manager, oldest advice first. */
export class ColdPages {
  readonly #pages: Set<number> = new Set();

  /** Pages that are cold. */
  get count(): number {
    return this.#pages.size;
  }

  /** A page that is in a frame and not held becomes the last of the cold ones. */
  add(page: number): void {
    this.#pages.delete(page);
    this.#pages.add(page);
  }

  /** The page is used, held, or out of its frame. One comparison where no page is cold. */
  forget(page: number): void {
    if (this.#pages.size > 0) this.#pages.delete(page);
  }

  /** The first cold page for which `suits` holds, NO_PAGE if there is none. O(cold pages before it). */
  first(suits: (page: number) => boolean): number {
    for (const page of this.#pages) if (suits(page)) return page;
    return NO_PAGE;
  }

  /** Throws with the sentence of the broken invariant. */
  check(pages: Pages): void {
    for (const page of this.#pages) {
      const isFree = pages.holds[page] === 0 || pages.has(page, PAGE_FROZEN);
      invariant(pages.isResident(page) && isFree, "A cold page is held, or in no frame.", { page });
    }
  }
}
