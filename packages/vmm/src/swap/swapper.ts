/** Moves pages between frames and swap space. */
import type { Core } from "../core.ts";
import { SUPPLY_BUS, SUPPLY_NO_MEMORY } from "../objects/object.ts";
import { PAGE_DIRTY, PAGE_POISONED } from "../pages/pages.ts";

/** The way of pages to swap and back. */
export class Swapper {
  readonly #core: Core;

  /** The swapper of a core. */
  constructor(core: Core) {
    this.#core = core;
  }

  /**
   * Gives a non-resident page a frame with its content: from swap, or zeroes where no copy exists. Returns the page, SUPPLY_NO_MEMORY, or SUPPLY_BUS
   * where the copy cannot be read: then the page is poisoned.
   */
  bringIn(page: number): number {
    const core = this.#core;
    const reference = core.pages.swap[page]!;
    if (reference < 0) {
      const zeroed = core.keeper.takeZeroed();
      if (zeroed < 0) return SUPPLY_NO_MEMORY;
      core.place(page, zeroed);
      return page;
    }
    const pfn = core.keeper.take();
    if (pfn < 0) return SUPPLY_NO_MEMORY;
    const { buffer, swap } = core;
    if (swap?.read(reference, buffer) !== "ok") {
      core.keeper.giveUnused(pfn);
      core.pages.mark(page, PAGE_POISONED);
      core.stats.ioErrors++;
      return SUPPLY_BUS;
    }
    core.window.write(pfn, 0, buffer);
    core.stats.swapIns++;
    core.place(page, pfn);
    return page;
  }

  /**
   * Makes sure that the content of an unmapped page survives the loss of its frame. False: no store takes it, and it must stay.
   */
  save(page: number): boolean {
    const core = this.#core;
    const { pages, swap } = core;
    if (!pages.has(page, PAGE_DIRTY)) return true; // Never stored to (zero), or swap has the same bytes.
    if (swap === null) return false;
    core.window.read(pages.pfn[page]!, 0, core.buffer);
    core.dropSwap(page);
    const reference = swap.write(core.buffer);
    if (reference < 0) {
      core.stats.ioErrors++;
      return false;
    }
    pages.swap[page] = reference;
    pages.unmark(page, PAGE_DIRTY);
    core.stats.swapOuts++;
    core.stats.writebacks++;
    return true;
  }
}
