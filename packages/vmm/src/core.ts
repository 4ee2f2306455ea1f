/**
 * The parts that every operation shares: the ports, the page records with their reverse mappings, and the life of a page: made, given a frame, mapped,
 * unmapped, dropped.
 *
 * Interleaving: what an operation decides is written here first; entries of tables change afterwards, one by one, and whoever runs in between finds
 * the decision already made.
 */
import { Marker, type Change } from "./change.ts";
import { Changes } from "./changes.ts";
import { CoreParts } from "./core-parts.ts";
import { VmmError } from "./errors.ts";
import type { FlushPlan, PlanTarget } from "./flush-plan.ts";
import { FrameKeeper } from "./frames/frame-keeper.ts";
import { FrameMap } from "./frames/frame-map.ts";
import { SuspectFrames } from "./frames/suspect-frames.ts";
import { Mappings } from "./pages/mappings.ts";
import { PAGE_DIRTY, PAGE_FROZEN, PAGE_OBJECT, PAGE_REFERENCED, Pages } from "./pages/pages.ts";
import { ACCESSED, DIRTY } from "./rights.ts";
import type { MemoryObject } from "./objects/object.ts";
import type { AddressSpace } from "./space/space.ts";
import type { Region } from "./space/region.ts";
import { SheetRegistry, type Sheet } from "./space/sheet.ts";
import { TableSharing } from "./space/table-sharing.ts";
import { Tally, unknownNode } from "./statistics/tally.ts";
import { emptyStats, type VmmStats } from "./stats.ts";
import { LastResort } from "./pressure/last-resort.ts";
import { MemoryPressure } from "./pressure/memory-pressure.ts";
import { ColdPages } from "./reclaim/cold-pages.ts";
import { IdleTracker } from "./reclaim/idle-tracker.ts";
import { Prefetcher } from "./reclaim/prefetcher.ts";
import { Purgeable } from "./reclaim/purgeable.ts";
import { Quarantine } from "./reclaim/quarantine.ts";
import { Reclaimer } from "./reclaim/reclaimer.ts";
import { RefaultMeter } from "./reclaim/refault-meter.ts";
import { Swapper } from "./swap/swapper.ts";
import { Parting } from "./tlb/parting.ts";
import type { Balancer } from "./numa/balancer.ts";
import { NO_FRAME, PAGE_SIZE, TABLE_PAGES, type Pfn, type Vpn } from "./units.ts";

/** Shared state and page life. */
export class Core extends CoreParts implements PlanTarget {
  readonly pages: Pages = new Pages();
  readonly mappings: Mappings = new Mappings(this.pages);
  readonly frameMap: FrameMap = new FrameMap();
  /** Frames with errors that have not been settled. */
  readonly suspects: SuspectFrames = new SuspectFrames();
  readonly sheets: SheetRegistry = new SheetRegistry();
  readonly objects: Map<number, MemoryObject> = new Map();
  readonly spaces: Map<number, AddressSpace> = new Map();
  readonly sharing: TableSharing = new TableSharing(this);
  /** Frames that stand in for pages which a device cannot reach, while transfers go on. */
  readonly standIns: Set<Pfn> = new Set();
  readonly stats: VmmStats = emptyStats();
  /** Counts of what happens, for everything that it happens to. */
  readonly tally: Tally = new Tally(this);
  readonly keeper: FrameKeeper;
  readonly swapper: Swapper;
  readonly reclaimer: Reclaimer;
  readonly prefetcher: Prefetcher;
  /** Receives harvested entries. */
  readonly marker: Marker;
  /** One page of bytes on the way between a store and a frame. */
  readonly buffer: Uint8Array = new Uint8Array(PAGE_SIZE);
  /** Frames that wait for processors; null: they are interrupted. */
  readonly quarantine: Quarantine | null;
  /** Writes under way to files that answer later and have not failed last: each keeps a page in its frame until then. */
  readonly fileWrites: Set<Promise<unknown>> = new Set();
  /** Pages that leave without interrupts, where {@link quarantine} is. */
  readonly parting: Parting = new Parting(this);
  /** How short memory is. */
  readonly pressure: MemoryPressure;
  /** Who has to go when nothing can leave. */
  readonly lastResort: LastResort;
  /** Ranges that are dropped under pressure. */
  readonly purgeable: Purgeable = new Purgeable();
  /** Pages that leave before those that the policy names. */
  readonly cold: ColdPages = new ColdPages();
  /** How soon pages come back that left. */
  readonly refaults: RefaultMeter = new RefaultMeter(1024);
  /** How long pages have been idle, in harvests. */
  readonly idleness: IdleTracker = new IdleTracker(1024);
  /** Moves pages to the NUMA nodes that use them; null: there is one node. The manager sets it. */
  balancer: Balancer | null = null;
  /** NUMA node of a frame, −1 where nobody knows. The manager sets it. */
  nodeOf: (pfn: Pfn) => number = unknownNode;
  /** Yield points passed: where this has changed, everything may have. */
  yields = 0;
  /** Changes of translations begun. */
  begun = 0;
  readonly #changes: Changes = new Changes(this);
  #policySlots = 0;
  #tracked = 1024;
  #objectNumber = 0;

  /** A core over its parts. */
  constructor(parts: Readonly<CoreParts>) {
    super(parts);
    this.quarantine = parts.lazyShootdown && parts.tlb !== null ? new Quarantine(parts.frames, parts.tlb) : null;
    this.pressure = new MemoryPressure(this);
    this.lastResort = new LastResort(this, parts.outOfMemoryPolicy, parts.outOfMemory);
    this.keeper = new FrameKeeper(this);
    this.swapper = new Swapper(this, parts.policyFrames);
    this.reclaimer = new Reclaimer(this, parts.policyFrames);
    this.prefetcher = new Prefetcher(this, parts.readAhead);
    this.keeper.reclaim = () => this.reclaimer.reclaimOne();
    this.marker = new Marker(this);
  }

  /** Frames that hold pages now. */
  get resident(): number {
    return this.frameMap.count;
  }

  /** Whether a frame can be had without taking one from another page. */
  get hasSpareFrames(): boolean {
    if (this.frameMap.count >= this.residentLimit) return false;
    return this.framePressure === null || this.framePressure.level() === "none";
  }

  /** Settles when a page may be able to leave, or a slot to be used, that cannot now; null: nothing is on its way. */
  get relief(): Promise<unknown> | null {
    const [write = null] = this.fileWrites;
    return this.swapper.departure ?? this.swap?.discarding ?? write;
  }

  /** Numbers a new object. */
  addObject(object: MemoryObject): number {
    const number = ++this.#objectNumber;
    this.objects.set(number, object);
    return number;
  }

  /** Other processors may run now. */
  yieldPoint(reason: "entry" | "invalidate" | "wait"): void {
    if (this.interleaving === null) return;
    this.yields++;
    this.keeper.wishing(null, () => this.interleaving?.yieldPoint(reason)); // Who runs there has wishes of its own.
  }

  /** Runs a user's code (a pager, a store). If it changes translations, it is as if another processor had. */
  asking<T>(ask: () => T): T {
    const { begun } = this;
    try {
      return ask();
    } finally {
      if (this.begun !== begun) this.yields++;
    }
  }

  // ------------------------------------------------------------ changes of translations

  /** See {@link Changes.begin}. */
  begin(space: AddressSpace | null): Change {
    this.begun++;
    return this.#changes.begin(space);
  }

  /** See {@link Changes.end}. */
  end(change: Change): void {
    this.#changes.end(change);
  }

  /** See {@link Changes.endLater}. */
  endLater(change: Change, start: Vpn, end: Vpn): void {
    this.#changes.endLater(change, start, end);
  }

  /** See {@link PlanTarget.settle}. */
  settle(plan: FlushPlan): void {
    this.#changes.settle(plan);
  }

  /**
   * Has every processor set accessed bits anew, each when it passes a quiescent point: nobody is interrupted, because a stale translation only loses an
   * observation.
   */
  lookAgain(space: AddressSpace, plan: FlushPlan): void {
    plan.asid = space.asid;
    if (this.tlb?.later(space.asid, EVERYTHING, -1) === false) plan.invalidateSpace();
  }

  // ------------------------------------------------------------ a page's frame

  /** Gives a page its frame. The policy learns of it unless the page is held. */
  place(page: number, pfn: Pfn): void {
    const { pages } = this;
    this.frameMap.set(pfn, page);
    pages.pfn[page] = pfn;
    if (page >= this.#tracked) this.#track();
    this.idleness.insert(page);
    if (this.refaults.inserted(page, this.frameMap.count) >= 0) this.reclaimer.cameBack(page);
    if (pages.holds[page] === 0) this.#policyInsert(page);
  }

  /** Takes an unmapped page's frame away and hands it to the plan. The content is lost unless a copy lies elsewhere. */
  displace(page: number, plan: FlushPlan): void {
    const pfn = this.detach(page);
    plan.dataFrame(pfn);
  }

  /** Takes an unmapped page's frame away and returns it to the caller, who owns it from then on. */
  detach(page: number): Pfn {
    const { pages } = this;
    const pfn = pages.pfn[page]!;
    if (pages.map[page] !== -1) throw new VmmError("invariant", "A mapped page lost its frame.", { page });
    if (pages.holds[page] === 0) this.policy.remove(page);
    this.cold.forget(page);
    this.idleness.remove(page);
    this.frameMap.clear(pfn);
    pages.pfn[page] = NO_FRAME;
    pages.unmark(page, PAGE_DIRTY | PAGE_REFERENCED);
    return pfn;
  }

  /** Notes that the policy itself let the page go: {@link detach} without telling it. */
  detachEvicted(page: number): Pfn {
    const { pages } = this;
    const pfn = pages.pfn[page]!;
    this.cold.forget(page);
    this.idleness.remove(page);
    this.refaults.evicted(page);
    this.frameMap.clear(pfn);
    pages.pfn[page] = NO_FRAME;
    pages.unmark(page, PAGE_DIRTY | PAGE_REFERENCED);
    return pfn;
  }

  /** One more reason to keep the page in its frame. */
  hold(page: number): void {
    const { pages } = this;
    if (pages.holds[page] === 0 && pages.pfn[page]! >= 0) {
      this.policy.remove(page);
      this.cold.forget(page);
    }
    pages.holds[page] = pages.holds[page]! + 1;
  }

  /** One reason less. */
  unhold(page: number): void {
    const { pages } = this;
    const holds = pages.holds[page]! - 1;
    if (holds < 0) throw new VmmError("unbalanced", "A page was released more often than held.", { page });
    pages.holds[page] = holds;
    if (holds === 0 && pages.pfn[page]! >= 0) this.#policyInsert(page);
  }

  /** Holds a page for a transfer. */
  pin(page: number): void {
    this.hold(page);
    this.pages.pins[page] = this.pages.pins[page]! + 1;
  }

  /** Ends a {@link pin}. */
  unpin(page: number): void {
    const pins = this.pages.pins[page]! - 1;
    if (pins < 0) throw new VmmError("unbalanced", "A page was unpinned more often than pinned.", { page });
    this.pages.pins[page] = pins;
    this.unhold(page);
  }

  /** Notes a store into a resident page. */
  dirty(page: number): void {
    const { pages } = this;
    if (pages.has(page, PAGE_DIRTY)) return;
    pages.mark(page, PAGE_DIRTY);
    if (pages.has(page, PAGE_OBJECT)) this.objects.get(pages.owner[page]!)?.dirtied(page);
  }

  /** Keeps a page that the policy has let go from being destroyed or named again while it is being evicted or moved. */
  freeze(page: number): void {
    const { pages } = this;
    pages.pins[page] = pages.pins[page]! + 1;
    pages.holds[page] = pages.holds[page]! + 1;
    pages.mark(page, PAGE_FROZEN);
  }

  /** Ends {@link freeze}; false: the page lost its last owner meanwhile and is gone, its frame in the plan. */
  thaw(page: number, plan: FlushPlan): boolean {
    const { pages } = this;
    pages.pins[page] = pages.pins[page]! - 1;
    pages.holds[page] = pages.holds[page]! - 1;
    pages.unmark(page, PAGE_FROZEN);
    if (pages.refs[page] !== 0 || pages.pins[page] !== 0) return true;
    this.#destroy(page, plan);
    return false;
  }

  /** Drops the copy in swap: the frame is newer, or nobody needs the page. */
  dropSwap(page: number): void {
    const { pages, swap } = this;
    const reference = pages.swap[page]!;
    if (reference < 0 || swap === null) return;
    pages.swap[page] = -1;
    swap.release(reference);
  }

  // ------------------------------------------------------------ owners

  /** One owner less. The last one takes frame, copy and record along; the frame goes to the plan. */
  dropReference(page: number, plan: FlushPlan): void {
    const { pages } = this;
    const refs = pages.refs[page]! - 1;
    if (refs < 0) throw new VmmError("unbalanced", "A page lost more owners than it had.", { page });
    pages.refs[page] = refs;
    if (refs > 0) return;
    if (pages.pins[page]! > 0) return; // A transfer goes on: the last unpin drops the page (see releasePinned).
    this.#destroy(page, plan);
  }

  /** Ends a pin of a page that may have lost all owners meanwhile. */
  releasePinned(page: number, plan: FlushPlan): void {
    this.unpin(page);
    if (this.pages.refs[page] === 0 && this.pages.pins[page] === 0) this.#destroy(page, plan);
  }

  #destroy(page: number, plan: FlushPlan): void {
    if (this.pages.pfn[page]! >= 0) this.displace(page, plan);
    else if (this.#policySlots > page) this.policy.remove(page);
    this.dropSwap(page);
    this.refaults.forget(page);
    this.pages.destroy(page);
  }

  // ------------------------------------------------------------ mappings

  /**
   * Maps a resident page at `vpn`, which has no translation. False: no frame for a table, nothing changed.
   */
  map(
    space: AddressSpace,
    region: Region,
    sheet: Sheet,
    vpn: Vpn,
    page: number,
    rights: number,
    plan: FlushPlan,
  ): boolean {
    plan.asid = space.asid;
    const pfn = this.pages.pfn[page]!;
    if (!space.tables.map(vpn, pfn, this.#attributesOf(space, region, pfn, rights), plan)) return false;
    this.#mapped(region, sheet, vpn, page);
    return true;
  }

  /** {@link map} where nothing but the entry has to change; false: it has, and nothing changed. See {@link TranslationTables.fill}. */
  fill(space: AddressSpace, region: Region, sheet: Sheet, vpn: Vpn, page: number, rights: number): boolean {
    const pfn = this.pages.pfn[page]!;
    if (!space.tables.fill(vpn, pfn, this.#attributesOf(space, region, pfn, rights))) return false;
    this.#mapped(region, sheet, vpn, page);
    return true;
  }

  /** The attribute word for a frame that is about to be mapped. */
  #attributesOf(space: AddressSpace, region: Region, pfn: Pfn, rights: number): number {
    if (region.type !== 0 && this.memoryTypes !== null) this.memoryTypes.flushCaches(pfn, 1);
    return rights + space.attributes + (region.type << 4);
  }

  #mapped(region: Region, sheet: Sheet, vpn: Vpn, page: number): void {
    this.mappings.add(page, sheet.number * TABLE_PAGES + (vpn & (TABLE_PAGES - 1)));
    sheet.mapped++;
    if (region.locked !== "none") this.hold(page);
  }

  /** Notes that the translation of a page at a place of a sheet is gone. */
  unmapped(sheet: Sheet, vpn: Vpn, page: number, state: number, locked: boolean): void {
    if ((state & DIRTY) !== 0) this.dirty(page);
    if ((state & ACCESSED) !== 0) this.pages.mark(page, PAGE_REFERENCED);
    this.mappings.remove(page, sheet.number * TABLE_PAGES + (vpn & (TABLE_PAGES - 1)));
    sheet.mapped--;
    if (locked) this.unhold(page);
  }

  /** Removes every translation of a page; the plan is to be flushed before its bytes are relied on. */
  unmapEverywhere(page: number, plan: FlushPlan): void {
    const { mappings } = this;
    for (let at = mappings.first(page); at >= 0; at = mappings.first(page)) {
      const sheet = this.sheets.get(mappings.sheetOf(at));
      const change = this.begin(sheet.space);
      const vpn = sheet.base + mappings.entryOf(at);
      change.removeInto(vpn, plan);
      this.end(change);
      if (mappings.first(page) === at && this.interleaving === null)
        throw new VmmError("port-contract", "A mapped page has no translation.", { page, vpn });
    }
  }

  /** Whether the bytes of a resident page may be wrong. */
  isSuspect(page: number): boolean {
    return this.suspects.has(this.pages.pfn[page]!);
  }

  /** Moves these bits (ACCESSED, DIRTY) of all translations of a page into its flags. */
  harvestPage(page: number, bits: number, plan: FlushPlan): void {
    const { mappings } = this;
    for (let at = mappings.first(page); at >= 0; at = mappings.next(at)) {
      const sheet = this.sheets.get(mappings.sheetOf(at));
      plan.asid = sheet.space.asid;
      const vpn = sheet.base + mappings.entryOf(at);
      sheet.space.tables.harvest(vpn, vpn + 1, bits, plan, this.marker);
    }
  }

  /** Gathers the accessed bits of all translations of a page into its flags; true if it was used since the last time. */
  gather(page: number, plan: FlushPlan): boolean {
    const { pages } = this;
    this.harvestPage(page, ACCESSED, plan);
    if (!pages.has(page, PAGE_REFERENCED)) return false;
    pages.unmark(page, PAGE_REFERENCED);
    this.prefetcher.touched(page);
    return true;
  }

  #track(): void {
    this.#tracked = this.pages.capacity;
    this.idleness.grow(this.#tracked);
    this.refaults.grow(this.#tracked);
  }

  #policyInsert(page: number): void {
    if (page >= this.#policySlots) {
      this.#policySlots = this.pages.capacity;
      this.policy.grow(this.#policySlots);
    }
    this.policy.insert(page);
  }
}

const EVERYTHING = new Float64Array(0);
