/**
 * Moves pages between frames and swap space.
 *
 * ```
 *  save ── no store answers later ── kept: the frame is free
 *    └─ store answers later ── page frozen in its frame, leaving ── acknowledged ── unused meanwhile? frame free
 *                                                                └─ failed ── dirty again, back to the policy
 *  bringIn ── copy here ── read, checked ── in a frame          fetch under way ── pending
 *    └─ no frame, no slot for a page that would leave ── set aside ── a page leaves for its slot ── in that page's frame
 * ```
 */
import type { Core } from "../core.ts";
import { invariant } from "../errors.ts";
import { SUPPLY_BUS, SUPPLY_NO_MEMORY, SUPPLY_PENDING } from "../objects/object.ts";
import { PAGE_DIRTY, PAGE_FROZEN, PAGE_POISONED } from "../pages/pages.ts";
import { NO_FRAME, type Pfn } from "../units.ts";
import { SWAP_BUSY, SWAP_FULL, type SwapSpace } from "./swap-space.ts";
import type { ReadOutcome } from "./tier.ts";

/** Pages that leave for stores that answer later: at most this part of the frames at once. */
const LEAVING_SHARE = 8;
/** And at most this many. */
const MAX_LEAVING = 64;
/** Copies of resident pages that are given up at a time when swap is full. */
const COPIES_AT_A_TIME = 16;

/** What became of a page that is to lose its frame: its content is kept elsewhere, will be, would be if asked again later, or cannot be. */
export type SaveOutcome = "saved" | "leaving" | "busy" | "refused";

/** The way of pages to swap and back. */
export class Swapper {
  /** What the last {@link bringIn} waits for. */
  pending: Promise<void> | null = null;
  readonly #core: Core;
  readonly #maxLeaving: number;
  #leaving = 0;
  /** Where the search for copies to give up goes on. */
  #hand = 0;
  /** Whether pages in frames may have copies in swap: false after a search that found none. */
  #mayHaveCopies = false;
  #departure: Promise<void> | null = null;
  #departed: () => void = () => undefined;

  /** The swapper of a core with so many frames for pages. */
  constructor(core: Core, frames: number) {
    this.#core = core;
    this.#maxLeaving = Math.max(1, Math.min(MAX_LEAVING, Math.floor(frames / LEAVING_SHARE)));
    const { swap } = core;
    if (swap === null) return;
    swap.moveEnded = (page, reference) => {
      if (reference >= 0) core.pages.swap[page] = reference;
      this.#wake();
    };
    swap.restored = () => {
      this.#mayHaveCopies = true; // Those that the store has could not be relied on.
    };
  }

  /** Pages whose write to a store that answers later is under way. */
  get leaving(): number {
    return this.#leaving;
  }

  /** Whether no further page should begin to leave now. */
  get isBusy(): boolean {
    return this.#leaving >= this.#maxLeaving;
  }

  /** Whether a slot is free, or became free by giving up copies of pages that are in frames. O(1), or O(pages) where there may be some of those. */
  findRoom(): boolean {
    const { swap } = this.#core;
    if (swap === null) return false;
    if (swap.freeSlots === 0) swap.askAgain();
    return swap.freeSlots > 0 || this.#giveUpCopies(swap);
  }

  /** Settles when the next of the pages that leave their frames, or give way in swap, has left or failed to; null: there is none. */
  get departure(): Promise<void> | null {
    if (this.#leaving === 0 && (this.#core.swap?.moving ?? 0) === 0) return null;
    this.#departure ??= new Promise((resolve) => (this.#departed = resolve));
    return this.#departure;
  }

  /**
   * Gives a non-resident page a frame with its content: from swap, or zeroes where no copy exists. Returns the page, SUPPLY_NO_MEMORY, SUPPLY_PENDING
   * (wait for {@link pending}), or SUPPLY_BUS where the copy cannot be read: the next access asks again, unless the copy is lost: then the page is poisoned.
   */
  bringIn(page: number): number {
    const core = this.#core;
    core.pin(page); // What makes room for it may give up the purgeable range that it is in: no page is left then, and there is room to ask again.
    const brought = this.#bringPinned(page);
    if (core.pages.refs[page]! > 0) {
      core.unpin(page);
      return brought;
    }
    const change = core.begin(null);
    core.releasePinned(page, change.plan);
    core.end(change);
    return SUPPLY_NO_MEMORY;
  }

  #bringPinned(page: number): number {
    const core = this.#core;
    const { swap } = core;
    const reference = core.pages.swap[page]!;
    if (reference < 0 || swap === null) {
      const zeroed = core.keeper.takeZeroed();
      if (zeroed < 0) return SUPPLY_NO_MEMORY;
      core.place(page, zeroed);
      return page;
    }
    this.pending = swap.fetch(reference);
    if (this.pending !== null) return SUPPLY_PENDING;
    if (swap.hasFailed(reference)) return this.#unreadable(page, swap.read(reference, core.buffer));
    const pfn = this.#takeFor(page, swap);
    if (pfn < 0) {
      this.pending = swap.discarding;
      return this.pending === null ? SUPPLY_NO_MEMORY : SUPPLY_PENDING;
    }
    const { buffer } = core;
    const isKnown = core.pressure.stalls.begin();
    const place = core.pages.swap[page]!; // To set a frame free, another page may have taken this one's place in compressed memory.
    const outcome = swap.read(place, buffer);
    core.pressure.stalls.end(isKnown);
    if (outcome !== "ok") {
      core.keeper.giveUnused(pfn);
      return this.#unreadable(page, outcome);
    }
    core.window.write(pfn, 0, buffer);
    core.place(page, pfn);
    core.tally.fetched(page, "swapIns");
    if (swap.waits(place)) this.#mayHaveCopies = true;
    else {
      // A second copy in compressed memory would take frames from other pages, and is quickly made again.
      core.dropSwap(page);
      core.dirty(page);
    }
    return page;
  }

  /** A frame for a page in swap. Where no page can leave because swap is full, one leaves for the slot of this page, and its frame is this one's even where the reserve lacks some. */
  #takeFor(page: number, swap: SwapSpace): Pfn {
    const core = this.#core;
    const { keeper, pages, yields } = core;
    const pfn = keeper.take();
    if (pfn >= 0 || core.yields !== yields || this.departure !== null) return pfn;
    const aside = swap.setAside(pages.swap[page]!);
    if (aside === SWAP_FULL) return NO_FRAME;
    pages.swap[page] = aside;
    const hasLeft = core.reclaimer.reclaimOne();
    core.reserve?.open();
    const exchanged = hasLeft ? keeper.take() : NO_FRAME;
    core.reserve?.close();
    if (exchanged < 0 && pages.swap[page] === aside) pages.swap[page] = swap.putBack(aside, page);
    return exchanged;
  }

  #unreadable(page: number, outcome: ReadOutcome): number {
    const { pages, stats } = this.#core;
    if (outcome === "lost") pages.mark(page, PAGE_POISONED);
    stats.ioErrors++;
    return SUPPLY_BUS;
  }

  /** Makes sure that the content of an unmapped page that the policy has let go survives the loss of its frame. */
  save(page: number): SaveOutcome {
    const core = this.#core;
    const { pages, swap } = core;
    const dirty = pages.has(page, PAGE_DIRTY);
    const known = pages.swap[page]!;
    if (!dirty && (known < 0 || swap === null || swap.trusts(known))) return "saved"; // Never stored to (zero), or swap has the same bytes.
    if (swap === null) return "refused";
    core.window.read(pages.pfn[page]!, 0, core.buffer);
    if (core.isSuspect(page)) return "refused";
    if (dirty) core.dropSwap(page);
    let reference = swap.write(core.buffer, page);
    while (reference === SWAP_FULL && this.#giveUpCopies(swap)) reference = swap.write(core.buffer, page);
    if (reference === SWAP_BUSY) return "busy";
    if (reference < 0) {
      core.stats.ioErrors++;
      return "refused";
    }
    core.dropSwap(page);
    pages.swap[page] = reference;
    pages.unmark(page, PAGE_DIRTY);
    if (swap.whenWritten(reference, (kept) => this.#answered(page, kept))) {
      core.freeze(page);
      this.#leaving++;
      return "leaving";
    }
    core.tally.written(page, "swapOuts");
    return "saved";
  }

  /** Settles when no page is leaving any more, nor giving way in swap. */
  async settled(): Promise<void> {
    for (let next = this.departure; next !== null; next = this.departure) await next;
  }

  /** Frees slots whose pages are in frames too; those will be written again when they leave. False: there is none. */
  #giveUpCopies(swap: SwapSpace): boolean {
    const core = this.#core;
    const { pages } = core;
    let freed = 0;
    let hasOthers = false;
    for (let looked = 0; looked < pages.capacity && freed < COPIES_AT_A_TIME && this.#mayHaveCopies; looked++) {
      const page = this.#hand;
      this.#hand = page + 1 < pages.capacity ? page + 1 : 0;
      const reference = pages.swap[page]!;
      if (reference < 0 || !pages.isResident(page) || !swap.trusts(reference)) continue;
      const stays = pages.has(page, PAGE_FROZEN) || core.isSuspect(page);
      hasOthers ||= stays;
      if (stays) continue;
      core.dropSwap(page);
      core.dirty(page);
      freed++;
    }
    this.#mayHaveCopies = freed > 0 || hasOthers;
    return freed > 0;
  }

  /** The store has answered: the page's frame goes, unless the page was used meanwhile or is not kept. */
  #answered(page: number, kept: boolean): void {
    const core = this.#core;
    this.#leaving--;
    this.#mayHaveCopies = true;
    if (kept) core.tally.written(page, "swapOuts");
    else {
      core.pages.swap[page] = -1;
      core.stats.ioErrors++;
      core.dirty(page);
    }
    const change = core.begin(null);
    core.reclaimer.departed(page, change.plan);
    core.end(change);
    this.#wake();
  }

  /** Throws with the sentence of the broken invariant. O(pages). */
  check(): void {
    const { pages, suspects, swap } = this.#core;
    if (this.#mayHaveCopies || swap === null || suspects.count > 0) return;
    for (let page = 0; page < pages.capacity; page++) {
      const reference = pages.swap[page]!;
      if (reference < 0 || !pages.isResident(page) || pages.has(page, PAGE_FROZEN)) continue;
      invariant(!swap.trusts(reference), "A page in a frame has a copy in swap that would not be given up.", { page });
    }
  }

  #wake(): void {
    this.#departure = null;
    this.#departed();
  }
}
