/**
 * Where events are counted: each once in all, and once for everything that it happens to.
 *
 * ```
 *  fault ──────── the system, the space, the region, its object; the node of the page's frame; the policy, unless the region is locked
 *  fetched ────── the page's object; space and region of the fault that asked, of the place where the page was last where none did; node; policy, unless a lock holds it
 *  written, left  the page's object; space and region of the place where it was last; node; policy, unless a lock holds it
 * ```
 * What few events lack is counted in place of what most have: those of pages that are not the policy's, so that the policy's are the rest; and nodes only where there are
 * any, so that a fault of private memory costs three counts.
 */
import type { Core } from "../core.ts";
import { invariant } from "../errors.ts";
import type { FaultOutcome } from "../outcome.ts";
import { NO_PAGE, PAGE_OBJECT } from "../pages/pages.ts";
import { NO_FRAME, type Pfn, type Vpn } from "../units.ts";
import type { Region } from "../space/region.ts";
import type { AddressSpace } from "../space/space.ts";
import { pageAt } from "../space/wishes.ts";
import { countFault, EVENT_NAMES, noEvents, type Events } from "./events.ts";

/** What can happen to a page beside faults. */
type Transfer = "pagesFetched" | "pagesWritten" | "evictions";

/** The node of frames where nobody knows nodes. */
export const unknownNode = (): number => -1;

/** The counts of one manager. */
export class Tally {
  readonly #core: Core;
  /** By node, where nodes are known. */
  readonly #nodes: Map<number, Events> = new Map();
  /** What happened to pages that are not the policy's. */
  readonly #others: Events = noEvents();
  #space: AddressSpace | null = null;
  #region: Region | null = null;

  /** Counts of a core, all at zero. */
  constructor(core: Core) {
    this.#core = core;
  }

  /** What happened to everything. */
  get system(): Events {
    const { minorFaults, majorFaults, zeroFaults, copyFaults, spuriousFaults, failedFaults, ...rest } =
      this.#core.stats;
    return {
      minorFaults,
      majorFaults,
      zeroFaults,
      copyFaults,
      spuriousFaults,
      failedFaults,
      pagesFetched: rest.swapIns + rest.fileReads,
      pagesWritten: rest.swapOuts + rest.fileWrites,
      evictions: rest.evictions,
    };
  }

  /** What happened to what the policy chooses from: faults in regions that are not locked, and transfers of pages that no lock holds. */
  get policy(): Events {
    const events = this.system;
    for (const name of EVENT_NAMES) events[name] -= this.#others[name];
    return events;
  }

  /** What happened to pages, by the NUMA node of their frame; −1: faults that ended without a page in one, and everything where nobody knows nodes. */
  get nodes(): ReadonlyMap<number, Readonly<Events>> {
    return this.#core.nodeOf === unknownNode ? new Map([[-1, this.system]]) : this.#nodes;
  }

  /** Does something that fetches pages for a region of a space. */
  asking<T>(space: AddressSpace, region: Region, work: () => T): T {
    const [spaceBefore, regionBefore] = [this.#space, this.#region];
    this.#space = space;
    this.#region = region;
    try {
      return work();
    } finally {
      this.#space = spaceBefore;
      this.#region = regionBefore;
    }
  }

  /** A fault of a space at a page has ended; `region`: null where none covers it. */
  fault(space: AddressSpace, region: Region | null, vpn: Vpn, outcome: FaultOutcome): void {
    const { pages, stats } = this.#core;
    countFault(stats, outcome);
    countFault(space.events, outcome);
    if (region !== null) {
      countFault(region.events, outcome);
      if (region.object !== null) countFault(region.object.events, outcome);
    }
    if (region === null || region.locked !== "none") countFault(this.#others, outcome);
    if (this.#core.nodeOf === unknownNode) return;
    const page = region === null ? NO_PAGE : pageAt(space, region, vpn);
    countFault(this.#nodeOf(page < 0 ? NO_FRAME : pages.pfn[page]!), outcome);
  }

  /** A page was read from a store, and is in a frame now. */
  fetched(page: number, from: "swapIns" | "fileReads"): void {
    this.#core.stats[from]++;
    if (this.#region === null || this.#space === null) this.#count(page, "pagesFetched");
    else this.#countIn(page, "pagesFetched", this.#space, this.#region);
  }

  /** A page in a frame was written to a store. */
  written(page: number, to: "swapOuts" | "fileWrites"): void {
    const { stats } = this.#core;
    stats[to]++;
    stats.writebacks++;
    this.#count(page, "pagesWritten");
  }

  /** A page is about to lose its frame. */
  evicted(page: number): void {
    this.#core.stats.evictions++;
    this.#count(page, "evictions");
  }

  /** Throws with the sentence of the broken invariant. */
  check(): void {
    const { system, nodes } = this;
    for (const name of EVENT_NAMES) {
      let sum = 0;
      for (const events of nodes.values()) sum += events[name];
      invariant(sum === system[name], "What happened to the pages of all nodes is not what happened.", { sum });
      const others = this.#others[name];
      invariant(others >= 0 && others <= system[name], "More happened to held pages than to all.", { others });
    }
  }

  /** For the space and region in which the page was last. */
  #count(page: number, what: Transfer): void {
    const { mappings, sheets } = this.#core;
    const sheet = sheets.find(mappings.lastSheetOf(page));
    const region = sheet?.space.regions.find(sheet.base + mappings.lastEntryOf(page)) ?? null;
    this.#countIn(page, what, sheet?.space ?? null, region);
  }

  #countIn(page: number, what: Transfer, space: AddressSpace | null, region: Region | null): void {
    const { objects, pages } = this.#core;
    if (space !== null) space.events[what]++;
    if (region !== null) region.events[what]++;
    const object = pages.has(page, PAGE_OBJECT) ? objects.get(pages.owner[page]!) : undefined;
    if (object !== undefined) object.events[what]++;
    if (pages.holds[page] !== pages.pins[page]) this.#others[what]++;
    if (this.#core.nodeOf !== unknownNode) this.#nodeOf(pages.pfn[page]!)[what]++;
  }

  #nodeOf(pfn: Pfn): Events {
    const node = pfn < 0 ? -1 : this.#core.nodeOf(pfn);
    const known = this.#nodes.get(node);
    if (known !== undefined) return known;
    const events = noEvents();
    this.#nodes.set(node, events);
    return events;
  }
}
