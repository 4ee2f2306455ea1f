/**
 * Takes frames from pages that can do without: the policy names a victim, the accessed bits of its translations may save it once more.
 *
 * ```
 *  victim ── used since? ── accessed ── next victim
 *    └─ no ── evict ── unmap everywhere ── flush ── save if dirty ── frame free
 *                                             └─ no store takes it ── back to the policy, next victim
 * ```
 */
import type { Core } from "../core.ts";
import type { FlushPlan } from "../flush-plan.ts";
import { NO_PAGE, PAGE_DIRTY, PAGE_OBJECT } from "../pages/pages.ts";

/** Victims that are passed over because their content cannot be saved, before reclaim gives up. */
const MAX_REFUSALS = 64;

/** Frees frames. */
export class Reclaimer {
  readonly #core: Core;

  /** The reclaimer of a core. */
  constructor(core: Core) {
    this.#core = core;
  }

  /** Evicts one page; false if none can leave. */
  reclaimOne(): boolean {
    const core = this.#core;
    const change = core.begin(null);
    let freed = false;
    for (let refusals = 0; refusals < MAX_REFUSALS && !freed; refusals++) {
      const page = this.#chooseVictim(change.plan);
      if (page === NO_PAGE) break;
      freed = this.#evict(page, change.plan);
    }
    core.end(change);
    return freed;
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
    // Every resident page is saved by its bits at most once, unless it is used meanwhile.
    for (let chances = 2 * resident + 1; chances > 0; chances--) {
      const page = policy.victim();
      if (page < 0) return NO_PAGE;
      if (!this.#core.gather(page, plan)) return policy.evict();
      policy.accessed(page);
    }
    return policy.evict();
  }

  /** Takes the frame of a page that the policy has let go. False: it got it back. */
  #evict(page: number, plan: FlushPlan): boolean {
    const core = this.#core;
    const { pages } = core;
    core.unmapEverywhere(page, plan);
    plan.flush();
    const object = pages.has(page, PAGE_OBJECT) ? core.objects.get(pages.owner[page]!) : undefined;
    const inFile = object?.hasStoreFor(page) === true;
    const saved = inFile ? !pages.has(page, PAGE_DIRTY) || object.writeBack(page) === "ok" : core.swapper.save(page);
    if (!saved) {
      core.policy.insert(page);
      return false;
    }
    const frame = core.detachEvicted(page);
    plan.dataFrame(frame);
    core.stats.evictions++;
    if (inFile) {
      object.pages.remove(pages.index[page]!);
      core.dropReference(page, plan);
    }
    return true;
  }
}
