/**
 * Pages that are brought in before they are asked for: of files by the pattern of their misses, of swap by their neighbourhood in the space, and in idle time
 * those that left last.
 *
 * ```
 *  miss ── which others? (ReadAhead, SwapWindow) ── fetched, marked PREFETCHED ── used: a hit, the window grows
 *                                                                              └─ leaves unused: waste, it shrinks
 * ```
 * Files take spare frames, and those of pages behind a sequential stream. Swap takes frames from other pages too: its window is one page as soon as that does
 * not pay. Nothing is fetched ahead from a store whose reads do not wait.
 */
import type { Core } from "../core.ts";
import { invariant } from "../errors.ts";
import { SUPPLY_PENDING, type MemoryObject } from "../objects/object.ts";
import { NO_PAGE, PAGE_DIRTY, PAGE_POISONED, PAGE_PREFETCHED } from "../pages/pages.ts";
import type { Region } from "../space/region.ts";
import type { AddressSpace } from "../space/space.ts";
import { fetchFor, pageAt, wishesOf } from "../space/wishes.ts";
import { SwapWindow } from "../swap/swap-window.ts";
import { PAGE_SIZE, type Vpn } from "../units.ts";
import type { ReadAhead } from "./read-ahead.ts";

/** Pages that are left alone behind a stream: they may just have been mapped around a fault. */
const BEHIND = 16;
/** Pages that are looked at behind a stream for each of its faults. */
const DROPPED = 32;
/** Pages that left last and are remembered, a power of two. */
const REMEMBERED = 1024;

/** Who is told what became of a page that was fetched ahead. */
interface Stream {
  used(index: number): void;
  wasted(): void;
}

/** Brings pages in ahead. */
export class Prefetcher {
  readonly #core: Core;
  readonly #maxWindow: number;
  /** Who fetched a page that is not used yet. */
  readonly #streams: Map<number, Stream> = new Map();
  readonly #windows: WeakMap<Region, SwapWindow> = new WeakMap();
  /** Pages that went to swap, the latest before `#next`; NO_PAGE where nothing is remembered. */
  readonly #left: Int32Array = new Int32Array(REMEMBERED).fill(NO_PAGE);
  #next = 0;
  /** Fetches what the latest fault asks for; null: nothing. */
  #due: (() => void) | null = null;
  /** Transfers counted when idle time was last asked for. */
  #transfers = 0;

  /** The prefetcher of a core; `maxWindow` pages at a time, 0: none. */
  constructor(core: Core, maxWindow: number) {
    this.#core = core;
    this.#maxWindow = maxWindow;
  }

  /** A page of an object with a watcher was asked for by a fault, and brought in by it if `missed`. */
  fileFault(
    object: MemoryObject,
    ahead: ReadAhead,
    space: AddressSpace,
    region: Region,
    index: number,
    page: number,
    missed: boolean,
  ): void {
    if (region.pattern === "random") return;
    if (missed) ahead.miss(index);
    else if (!this.touched(page, index)) return;
    if (ahead.count === 0 && !ahead.dropsBehind) return;
    this.#due = () => {
      this.#fetchFile(object, ahead, index, (at) =>
        fetchFor(space, region, region.start + at - region.offset, () => object.obtain(at)),
      );
    };
  }

  /** A private or shared page of a region came, or is on its way, from swap. */
  swapFault(space: AddressSpace, region: Region, vpn: Vpn): void {
    if (this.#maxWindow === 0 || region.pattern === "random") return;
    const window = this.#windowOf(region);
    window.miss(vpn);
    if (window.end - window.start < 2) return;
    this.#due = () => {
      this.#fetchSwap(space, region, vpn, window);
    };
  }

  /** Fetches what the latest fault asks for. To be called when its page is mapped: frames are taken from other pages, perhaps from that one. */
  follow(): void {
    const due = this.#due;
    this.#due = null;
    due?.();
  }

  /** A page is seen to be used; true if it was fetched ahead and this is its first use. */
  touched(page: number, index = -1): boolean {
    const { pages, stats } = this.#core;
    if (!pages.has(page, PAGE_PREFETCHED)) return false;
    pages.unmark(page, PAGE_PREFETCHED);
    stats.prefetchHits++;
    this.#streams.get(page)?.used(index);
    this.#streams.delete(page);
    return true;
  }

  /** A page loses its frame; `toSwap`: its content is in swap. */
  evicted(page: number, toSwap: boolean): void {
    const { pages, stats } = this.#core;
    if (pages.has(page, PAGE_PREFETCHED)) {
      pages.unmark(page, PAGE_PREFETCHED);
      stats.prefetchWaste++;
      this.#streams.get(page)?.wasted();
      this.#streams.delete(page);
    } else if (toSwap) {
      this.#left[this.#next & (REMEMBERED - 1)] = page;
      this.#next++;
    }
  }

  /**
   * For idle time: brings up to `budget` of the pages that left last back into frames that nobody needs, `spare` of which stay free. Does nothing while
   * transfers go on. Returns how many came.
   */
  refill(budget: number, spare: number): number {
    const core = this.#core;
    const { pages, stats } = core;
    const transfers = stats.swapIns + stats.swapOuts + stats.fileReads + stats.fileWrites;
    const idle = transfers === this.#transfers;
    let done = 0;
    for (let looked = 0; idle && done < budget && looked < REMEMBERED; looked++) {
      if (!core.hasSpareFrames || core.resident + spare >= core.residentLimit) break;
      const at = (this.#next - 1) & (REMEMBERED - 1);
      const page = this.#left[at]!;
      if (page === NO_PAGE) break;
      this.#left[at] = NO_PAGE;
      this.#next--;
      if (pages.refs[page]! === 0 || pages.isResident(page) || pages.has(page, PAGE_POISONED)) continue;
      if (
        pages.swap[page]! >= 0
        && this.#bringIn(page, null, (bring) => core.keeper.wishing(wishesOf(core, page), bring))
      )
        done++;
    }
    this.#transfers = stats.swapIns + stats.swapOuts + stats.fileReads + stats.fileWrites;
    return done;
  }

  /** Throws with the sentence of the broken invariant. */
  check(): void {
    const { prefetchHits, prefetchWaste, fetchedAhead } = this.#core.stats;
    invariant(prefetchHits + prefetchWaste <= fetchedAhead, "More pages were used or wasted than were fetched ahead.");
  }

  #fetchFile(object: MemoryObject, ahead: ReadAhead, index: number, fetch: (at: number) => number): void {
    const core = this.#core;
    const { start, stride, count } = ahead;
    if (ahead.dropsBehind && !core.hasSpareFrames && this.#lacksPages(object, ahead))
      this.#dropBehind(object, index, ahead.step);
    for (let done = 0; done < count && core.hasSpareFrames && !object.isDestroyed; done++) {
      const at = start + done * stride;
      if (at < 0 || at * PAGE_SIZE >= object.size) break;
      const known = object.pages.get(at);
      if (known !== NO_PAGE && core.pages.isResident(known)) continue;
      const fetched = fetch(at);
      if (fetched >= 0) this.#mark(fetched, ahead);
      else if (fetched !== SUPPLY_PENDING || object.pending === null) break;
      else void object.pending.then(() => this.#arrived(object, at, ahead, fetch));
    }
  }

  /** Whether a page of the window is in the file but not in memory; otherwise nothing is to be fetched, and no frame needed. */
  #lacksPages(object: MemoryObject, { start, stride, count }: ReadAhead): boolean {
    for (let done = 0; done < count; done++) {
      const at = start + done * stride;
      if (at < 0 || at * PAGE_SIZE >= object.size) return false;
      const known = object.pages.get(at);
      if (known === NO_PAGE || !this.#core.pages.isResident(known)) return true;
    }
    return false;
  }

  /** A page of a file that cannot answer at once has been read, or not. */
  #arrived(object: MemoryObject, index: number, ahead: ReadAhead, fetch: (at: number) => number): void {
    const core = this.#core;
    if (object.isDestroyed || !core.hasSpareFrames) return;
    const known = object.pages.get(index);
    if (known !== NO_PAGE && core.pages.isResident(known)) return;
    const page = fetch(index);
    if (page >= 0) this.#mark(page, ahead);
  }

  #fetchSwap(space: AddressSpace, region: Region, vpn: Vpn, window: SwapWindow): void {
    const { pages, swap } = this.#core;
    const end = Math.min(region.end, window.end);
    for (let at = Math.max(region.start, window.start); at < end; at++) {
      const page = at === vpn ? NO_PAGE : pageAt(space, region, at);
      if (page < 0 || pages.isResident(page) || pages.has(page, PAGE_POISONED)) continue;
      const reference = pages.swap[page]!;
      if (reference < 0 || swap?.waits(reference) !== true) continue;
      if (!this.#bringIn(page, window, (bring) => fetchFor(space, region, at, bring))) break;
    }
  }

  /** Brings a page in from swap; false: no frame for it, or it cannot be read. One that has to be waited for comes later. */
  #bringIn(page: number, stream: Stream | null, fetchBy: (bring: () => number) => number): boolean {
    const { swapper, pages } = this.#core;
    const fetch = (): number => fetchBy(() => swapper.bringIn(page));
    const reference = pages.swap[page]!;
    const brought = fetch();
    if (brought >= 0) {
      this.#mark(page, stream);
      return true;
    }
    const { pending } = swapper;
    if (brought !== SUPPLY_PENDING || pending === null) return false;
    void pending.then(() => {
      if (pages.swap[page] === reference && !pages.isResident(page) && fetch() >= 0) this.#mark(page, stream);
    });
    return true;
  }

  #mark(page: number, stream: Stream | null): void {
    const { pages, stats } = this.#core;
    pages.mark(page, PAGE_PREFETCHED);
    stats.prefetched++;
    stats.fetchedAhead++;
    if (stream === null) this.#streams.delete(page);
    else this.#streams.set(page, stream);
  }

  /** Lets clean pages go that a sequential stream has left behind, where nobody else maps them. */
  #dropBehind(object: MemoryObject, index: number, step: number): void {
    const core = this.#core;
    const { pages } = core;
    for (let back = BEHIND; back < BEHIND + DROPPED; back++) {
      const at = index - back * step;
      const page = at < 0 ? NO_PAGE : object.pages.get(at);
      if (page < 0 || !pages.isResident(page) || pages.holds[page]! > 0 || pages.has(page, PAGE_DIRTY)) continue;
      if (core.mappings.countOf(page) > 1) continue;
      if (core.reclaimer.evictPage(page)) core.stats.droppedBehind++;
    }
  }

  #windowOf(region: Region): SwapWindow {
    const known = this.#windows.get(region);
    if (known !== undefined) return known;
    const window = new SwapWindow(this.#maxWindow);
    this.#windows.set(region, window);
    return window;
  }
}
