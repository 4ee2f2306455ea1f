/**
 * Flush before reuse, by construction: whoever changes translations hands the frames that became free to a plan, and only completing the
 * plan (all processors have dropped the stale entries) gives them back.
 *
 * ```
 *  tables.unmap(…, plan, …) → plan: pages to invalidate + table frames + data frames
 *  plan.flush()             → TlbControl.shootdown per space, or of the whole space beyond FULL_LIMIT pages
 *  plan.complete()          → flush, then frames.giveMany
 * ```
 */
import type { FlushSink, FrameSource, TlbControl } from "./ports.ts";
import type { Quarantine } from "./reclaim/quarantine.ts";
import type { TableSharing } from "./space/table-sharing.ts";
import type { Pfn, Vpn } from "./units.ts";

/**
 * Beyond so many pages of one space, everything of the space is invalidated. By the machine's cost table INVLPG costs 30 ns, a flush 50 ns, and refilling an
 * entry that was still wanted about 30 ns (a walk whose upper levels are cached, the leaf read from the last-level cache): 64 × 30 > 50 + 64 × 30 of a
 * first-level TLB of 64 entries as soon as one of them was not wanted. Linux's default is 33.
 */
export const FULL_LIMIT = 64;

/** Where completed plans give frames. */
export interface PlanTarget {
  /** The frames' source. */
  readonly frames: FrameSource;
  /** Translation look-aside buffers; null where there are none. */
  readonly tlb: TlbControl | null;
  /** Which tables several spaces have in common: what is stale in one of them is stale in all. */
  readonly sharing: TableSharing;
  /** Where frames wait for processors that are not interrupted; null: they always are. */
  readonly quarantine: Quarantine | null;
  /** Other processors may run now. */
  yieldPoint(reason: "invalidate"): void;
  /** Invalidates what other plans under way have still to: a page whose frame is about to go may have lost its translations through one of them. */
  settle(plan: FlushPlan): void;
}

/** Pages to invalidate and frames to give back afterwards. Reusable: after {@link complete} it is empty. */
export class FlushPlan implements FlushSink {
  /** The space that {@link invalidate} speaks of; set by whoever calls the tables. */
  asid = 0;
  readonly #target: PlanTarget;
  #asids: Int32Array = new Int32Array(FULL_LIMIT);
  #vpns: Float64Array = new Float64Array(FULL_LIMIT);
  #pages = 0;
  #full: number[] = [];
  #frames: Float64Array = new Float64Array(64);
  #frameCount = 0;
  /** Of the frames, those that held tables. */
  #tables = 0;

  /** An empty plan that gives frames to the target. */
  constructor(target: PlanTarget) {
    this.#target = target;
  }

  /** Pages that wait for invalidation. */
  get pages(): number {
    return this.#pages;
  }

  /** Frames that wait to be given back. */
  get waitingFrames(): number {
    return this.#frameCount;
  }

  /** Whether nothing is left to do. */
  get isEmpty(): boolean {
    return this.#pages === 0 && this.#full.length === 0 && this.#frameCount === 0;
  }

  /** See {@link FlushSink.invalidate}: of the space {@link asid}, and of those that see the same table entry. */
  invalidate(vpn: Vpn): void {
    this.#add(vpn);
    if (this.#target.sharing.count > 0) this.#addSharers(vpn);
  }

  #addSharers(vpn: Vpn): void {
    const { asid } = this;
    this.#target.sharing.forEachOther(asid, vpn, (other, page) => {
      this.asid = other;
      this.#add(page);
    });
    this.asid = asid;
  }

  #add(vpn: Vpn): void {
    if (this.#pages === this.#vpns.length && !this.#makeRoom()) return;
    this.#asids[this.#pages] = this.asid;
    this.#vpns[this.#pages++] = vpn;
  }

  /** See {@link FlushSink.invalidateSpace}: of the space {@link asid}, and of those that have a table in common with it. */
  invalidateSpace(): void {
    if (!this.#full.includes(this.asid)) this.#full.push(this.asid);
    const { sharing } = this.#target;
    if (sharing.count > 0)
      for (const peer of sharing.peersOf(this.asid)) if (!this.#full.includes(peer)) this.#full.push(peer);
  }

  /** See {@link FlushSink.tableFrame}. */
  tableFrame(pfn: Pfn): void {
    this.#tables++;
    this.dataFrame(pfn);
  }

  /** A frame that held a page's content and holds it no more. */
  dataFrame(pfn: Pfn): void {
    if (this.#frameCount === this.#frames.length) {
      const wider = new Float64Array(this.#frames.length * 2);
      wider.set(this.#frames);
      this.#frames = wider;
    }
    this.#frames[this.#frameCount++] = pfn;
  }

  /** Whether anything waits for invalidation. */
  get isPending(): boolean {
    return this.#pages > 0 || this.#full.length > 0;
  }

  /** Invalidates on all processors, also for whoever was interrupted on the way to it; the frames stay in the plan. */
  flush(): void {
    const tlb = this.#target.tlb;
    if (this.#pages > 0 || this.#full.length > 0) this.#target.yieldPoint("invalidate");
    if (tlb !== null) {
      for (const asid of this.#full) tlb.shootdown(asid, this.#vpns, -1, this.#tables > 0);
      if (this.#pages > 0) this.#flushPages(tlb, false);
    }
    this.#full.length = 0;
    this.#pages = 0;
    this.#target.settle(this);
  }

  /**
   * Completes the plan of a range of one space that is gone, without interrupting other processors where that is offered: the frames wait in
   * quarantine. At once, as {@link complete}: where tables are among them, pages of other spaces are concerned, or no frame waits. The caller knows that
   * every translation that was removed led to one of the plan's frames: a frame that stays somebody's could change hands before it is quiet.
   */
  completeLater(start: Vpn, end: Vpn): void {
    const { tlb, quarantine } = this.#target;
    const asid = this.asid;
    const eager = tlb === null || quarantine === null || this.#tables > 0 || this.#frameCount === 0;
    if (eager || !this.#isOnly(asid) || !tlb.later(asid, this.#vpns, this.#full.length > 0 ? -1 : this.#pages)) {
      this.complete();
      return;
    }
    this.#full.length = 0;
    this.#pages = 0;
    if (tlb.quiesced() >= tlb.ticket())
      this.complete(); // Nobody was left anything.
    else {
      this.#target.settle(this);
      quarantine.hold(asid, start, end, this.#frames.slice(0, this.#frameCount));
      this.#frameCount = 0;
    }
  }

  /** As {@link flush}, but other processors may do it when they pass a quiescent point; at once where that is not offered, and where tables were set free. */
  flushLater(): void {
    const { tlb } = this.#target;
    if (tlb === null || this.#tables > 0) {
      this.flush();
      return;
    }
    if (this.#pages > 0 || this.#full.length > 0) this.#target.yieldPoint("invalidate");
    for (const asid of this.#full) if (!tlb.later(asid, this.#vpns, -1)) tlb.shootdown(asid, this.#vpns, -1);
    this.#flushPages(tlb, true);
    this.#full.length = 0;
    this.#pages = 0;
  }

  #isOnly(asid: number): boolean {
    for (let at = 0; at < this.#pages; at++) if (this.#asids[at] !== asid) return false;
    return this.#full.every((full) => full === asid);
  }

  /** Invalidates on all processors, then gives the frames back. */
  complete(): void {
    if (this.isPending || this.#frameCount > 0) this.flush();
    if (this.#frameCount === 0) return;
    const count = this.#frameCount;
    this.#frameCount = 0;
    this.#tables = 0;
    if (count === 1) this.#target.frames.give(this.#frames[0]!);
    else this.#target.frames.giveMany(this.#frames, count);
  }

  #flushPages(tlb: TlbControl, later: boolean): void {
    let start = 0;
    for (let at = 1; at <= this.#pages; at++) {
      if (at < this.#pages && this.#asids[at] === this.#asids[start]) continue;
      const asid = this.#asids[start]!;
      const vpns = start === 0 ? this.#vpns : this.#vpns.slice(start, at);
      if (!this.#full.includes(asid) && !(later && tlb.later(asid, vpns, at - start)))
        tlb.shootdown(asid, vpns, at - start, this.#tables > 0);
      start = at;
    }
  }

  /** False if the current space is invalidated as a whole: its pages need no place any more. */
  #makeRoom(): boolean {
    if (this.#full.includes(this.asid)) return false;
    let own = 0;
    for (let at = 0; at < this.#pages; at++) if (this.#asids[at] === this.asid) own++;
    if (own >= FULL_LIMIT) {
      this.#dropPagesOf(this.asid);
      this.#full.push(this.asid);
      return false;
    }
    const asids = new Int32Array(this.#asids.length * 2);
    const vpns = new Float64Array(this.#vpns.length * 2);
    asids.set(this.#asids);
    vpns.set(this.#vpns);
    this.#asids = asids;
    this.#vpns = vpns;
    return true;
  }

  #dropPagesOf(asid: number): void {
    let kept = 0;
    for (let at = 0; at < this.#pages; at++) {
      if (this.#asids[at] === asid) continue;
      this.#asids[kept] = this.#asids[at]!;
      this.#vpns[kept++] = this.#vpns[at]!;
    }
    this.#pages = kept;
  }
}
