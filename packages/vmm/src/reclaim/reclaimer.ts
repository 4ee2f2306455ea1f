/**
 * Takes frames from pages that can do without: the policy names a victim, the accessed bits of its translations may save it once more.
 *
 * ```
 *  cold page, else the policy's victim ── used since, or (once) dearer than a page of a file? ── accessed ── next victim
 *    └─ no ── evict ── unmap everywhere ── flush ── save if dirty ── frame free
 *                                             ├─ store answers later ── leaving: departed() ends it
 *                                             └─ no store takes it ── mapped where it was, back to the policy, next victim
 * ```
 */
import type { Core } from "../core.ts";
import { invariant } from "../errors.ts";
import type { FlushPlan } from "../flush-plan.ts";
import { NO_PAGE, PAGE_DIRTY, PAGE_FROZEN, PAGE_OBJECT, PAGE_REFERENCED } from "../pages/pages.ts";
import { mapAgain, placesOf, type Place } from "../pages/places.ts";
import { ACCESSED } from "../rights.ts";
import { isDirty } from "../statistics/page-count.ts";
import type { MemoryObject } from "../objects/object.ts";
import type { SaveOutcome } from "../swap/swapper.ts";
import { HarvestSchedule } from "./policies/harvest-schedule.ts";
import { ReturnRates } from "./return-rates.ts";

/** Victims that are passed over because their content cannot be saved, before reclaim gives up. */
const MAX_REFUSALS = 64;

/** A page on its way out: frozen in its frame, and mapped nowhere. */
export interface Victim {
  /** The page. */
  readonly page: number;
  /** Where it was mapped. */
  readonly places: readonly Place[];
}

/** Frees frames. */
export class Reclaimer {
  /** How often pages of files and others come back. */
  readonly rates: ReturnRates = new ReturnRates();
  readonly #core: Core;
  readonly #schedule: HarvestSchedule;
  /** Where pages were mapped that are leaving for a store that answers later. */
  readonly #leaving: Map<number, readonly Place[]> = new Map();
  #harvestDue = false;

  /** The reclaimer of a core with so many frames for pages. */
  constructor(core: Core, frames: number) {
    this.#core = core;
    this.#schedule = new HarvestSchedule(frames);
  }

  /**
   * Tells the policy of every page that was used since the last time: clears all accessed bits and invalidates the spaces once, so that the next use is
   * seen. O(tables + pages).
   */
  harvest(): void {
    const core = this.#core;
    const { pages, policy } = core;
    for (const space of core.spaces.values()) {
      if (space.sheets.count === 0) continue;
      const change = core.begin(space);
      space.tables.harvest(space.low, space.high, ACCESSED, change.plan, core.marker);
      core.lookAgain(space, change.plan);
      core.end(change);
    }
    const { flags, holds, pfn } = pages;
    for (let page = 0; page < pages.capacity; page++) {
      if ((flags[page]! & PAGE_REFERENCED) === 0) continue;
      flags[page] = flags[page]! & ~PAGE_REFERENCED;
      if (pfn[page]! < 0) continue;
      core.prefetcher.touched(page);
      core.idleness.accessed(page);
      core.cold.forget(page);
      if (holds[page] === 0) policy.accessed(page);
    }
    core.idleness.harvested();
    core.stats.harvests++;
  }

  /** Evicts one page; false if none can leave now: where a store answers later, some are leaving then. */
  reclaimOne(): boolean {
    const core = this.#core;
    this.#harvestIfDue();
    const change = core.begin(null);
    let freed = false;
    for (let refusals = 0; refusals < MAX_REFUSALS && !freed && !core.swapper.isBusy; refusals++) {
      const page = this.#chooseVictim(change.plan);
      if (page === NO_PAGE) break;
      freed = this.#evict(page, change.plan);
    }
    core.end(change);
    return freed;
  }

  /** Unmaps up to `count` victims and freezes them in their frames; {@link finishVictims} goes on when nobody holds a stale translation any more. */
  unmapVictims(count: number, plan: FlushPlan): Victim[] {
    const core = this.#core;
    this.#harvestIfDue();
    const victims: Victim[] = [];
    for (let refusals = 0; victims.length < count && refusals < MAX_REFUSALS && !core.swapper.isBusy;) {
      const page = this.#chooseVictim(plan);
      if (page === NO_PAGE) break;
      if (this.#canLeave(page)) victims.push(this.#unmap(page, plan));
      else {
        core.policy.insert(page);
        refusals++;
      }
    }
    return victims;
  }

  /** Saves victims of {@link unmapVictims} that are still unmapped and takes their frames; returns how many. */
  finishVictims(victims: readonly Victim[], plan: FlushPlan): number {
    let freed = 0;
    for (const victim of victims) if (this.#finish(victim, plan)) freed++;
    return freed;
  }

  #harvestIfDue(): void {
    if (!this.#harvestDue) return;
    this.#harvestDue = false;
    this.harvest();
  }

  /** Evicts a given page that is not held, as advice asks; false if its content cannot be saved. */
  evictPage(page: number): boolean {
    const core = this.#core;
    const change = core.begin(null);
    core.policy.remove(page);
    const freed = this.#evict(page, change.plan);
    core.end(change);
    return freed;
  }

  /** Makes the next victim non-resident in the policy's eyes and returns it; NO_PAGE if there is none. */
  #chooseVictim(plan: FlushPlan): number {
    const { policy, resident } = this.#core;
    const cold = this.#chooseCold(plan);
    if (cold !== NO_PAGE) return cold;
    let isDear = this.rates.prefersFiles;
    // Every resident page is saved by its bits at most once, unless it is used meanwhile.
    for (let chances = 2 * resident + 1; chances > 0; chances--) {
      const page = policy.victim();
      if (page < 0) return NO_PAGE;
      if (!this.#core.gather(page, plan)) {
        if (!isDear || this.#isInFile(page) || !isDirty(this.#core, page)) return policy.evict();
        isDear = false; // One is spared for each that leaves, so that the policy's order stays nearly what it was.
      }
      policy.accessed(page);
    }
    return policy.evict();
  }

  /** A page that had left its frame has one again. One that nobody had to wait for costs nothing: it was in compressed memory. */
  cameBack(page: number): void {
    const { pages, swap } = this.#core;
    const isFile = this.#isInFile(page);
    const reference = pages.swap[page]!;
    if (isFile || (reference >= 0 && swap?.waits(reference) === true)) this.rates.returned(isFile);
  }

  #isInFile(page: number): boolean {
    return this.#objectOf(page)?.hasStoreFor(page) === true;
  }

  /** The first cold page that was not used since, of the group whose page has to go where groups compete; the policy forgets it. NO_PAGE: there is none. */
  #chooseCold(plan: FlushPlan): number {
    const { cold, groups, pages, policy } = this.#core;
    while (cold.count > 0) {
      const group = groups?.policy.groupOf(policy.victim());
      const page = cold.first((each) => !pages.has(each, PAGE_FROZEN) && groups?.policy.groupOf(each) === group);
      if (page === NO_PAGE) break;
      cold.forget(page);
      if (this.#core.gather(page, plan)) policy.accessed(page);
      else {
        policy.remove(page);
        return page;
      }
    }
    return NO_PAGE;
  }

  /** Takes the frame of a page that the policy has let go. False: it got it back. */
  #evict(page: number, plan: FlushPlan): boolean {
    const core = this.#core;
    if (!this.#canLeave(page)) {
      core.policy.insert(page);
      return false;
    }
    const victim = this.#unmap(page, plan);
    plan.flush();
    return this.#finish(victim, plan);
  }

  #unmap(page: number, plan: FlushPlan): Victim {
    const core = this.#core;
    const places = placesOf(core, page);
    core.freeze(page);
    core.unmapEverywhere(page, plan);
    return { page, places };
  }

  /**
   * Whether there is anywhere to save a page to, and anything to save, as far as that is known before. A page that was stored to is not unmapped in vain where swap is
   * full; one whose bytes may be wrong waits for what becomes of it.
   */
  #canLeave(page: number): boolean {
    const core = this.#core;
    if (core.isSuspect(page)) return false;
    if (!isDirty(core, page) || this.#isInFile(page)) return true;
    return core.pages.swap[page]! >= 0 || core.swapper.findRoom();
  }

  /** The second half of {@link #evict}: no processor holds a translation of the frozen page. To save it may take a frame of the reserve. */
  #finish(victim: Victim, plan: FlushPlan): boolean {
    const { reserve } = this.#core;
    reserve?.open();
    const freed = this.#saveAndRelease(victim, plan);
    reserve?.close();
    return freed;
  }

  #saveAndRelease({ page, places }: Victim, plan: FlushPlan): boolean {
    const core = this.#core;
    const { pages } = core;
    if (!core.thaw(page, plan)) return true;
    if (core.mappings.first(page) >= 0 || pages.holds[page]! > 0) {
      // Used again at a yield point.
      if (pages.holds[page] === 0) core.policy.insert(page);
      return false;
    }
    const outcome = this.#save(page);
    if (outcome === "saved" && !core.isSuspect(page)) {
      this.#release(page, plan);
      return true;
    }
    if (outcome === "leaving") this.#leaving.set(page, places);
    else {
      if (pages.holds[page] === 0) core.policy.insert(page); // A file that answers later holds the page until it has.
      this.#mapBack(page, places, plan);
    }
    return false;
  }

  /**
   * Maps a page that could not leave where it was: when no frame is left, a table that went with its last translation could not be had by the next access. The frames of
   * such tables are given back first, so that they are there.
   */
  #mapBack(page: number, places: readonly Place[], plan: FlushPlan): void {
    plan.complete();
    for (const place of places) mapAgain(this.#core, page, place, plan);
  }

  /** The store of a page that was leaving has answered: it goes, unless it is mapped, held or newer by now, or nobody's any more. */
  departed(page: number, plan: FlushPlan): void {
    const core = this.#core;
    const { pages } = core;
    const places = this.#leaving.get(page) ?? [];
    this.#leaving.delete(page);
    if (!core.thaw(page, plan) || pages.holds[page]! > 0) return;
    const isMapped = core.mappings.first(page) >= 0;
    if (!isMapped && !pages.has(page, PAGE_DIRTY)) {
      this.#release(page, plan);
      return;
    }
    core.policy.insert(page);
    if (!isMapped) this.#mapBack(page, places, plan);
  }

  /** Throws with the sentence of the broken invariant. */
  check(): void {
    const { pages, swapper } = this.#core;
    this.rates.check();
    invariant(
      this.#leaving.size === swapper.leaving,
      "Pages leave that reclaim does not know, or the other way round.",
    );
    for (const page of this.#leaving.keys())
      invariant(pages.isResident(page) && pages.has(page, PAGE_FROZEN), "A page that leaves is not kept.", { page });
  }

  #objectOf(page: number): MemoryObject | undefined {
    const { pages, objects } = this.#core;
    return pages.has(page, PAGE_OBJECT) ? objects.get(pages.owner[page]!) : undefined;
  }

  #save(page: number): SaveOutcome {
    const object = this.#objectOf(page);
    if (object?.hasStoreFor(page) !== true) return this.#core.swapper.save(page);
    if (!this.#core.pages.has(page, PAGE_DIRTY)) return "saved";
    return object.writeBack(page) === "ok" ? "saved" : "refused";
  }

  /** Takes the frame of a page that is saved, unmapped, and known to the policy no more. */
  #release(page: number, plan: FlushPlan): void {
    const core = this.#core;
    const { pages } = core;
    const object = this.#objectOf(page);
    const isInFile = this.#isInFile(page);
    if (pages.has(page, PAGE_REFERENCED)) core.prefetcher.touched(page);
    core.prefetcher.evicted(page, pages.swap[page]! >= 0);
    this.rates.left(isInFile);
    core.tally.evicted(page);
    plan.dataFrame(core.detachEvicted(page));
    this.#harvestDue = this.#schedule.evicted() || this.#harvestDue;
    if (object !== undefined && isInFile && !object.remembers) {
      object.pages.remove(pages.index[page]!);
      core.dropReference(page, plan);
    }
  }
}
