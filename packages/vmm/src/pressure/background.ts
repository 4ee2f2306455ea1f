/**
 * Work that is done before anybody has to wait for it, in bounded steps, and the order in which memory is given up:
 *
 * ```
 *  frames short? ── quarantine ── pages on their way out ── purgeable ranges ── shrinkers, by priority ── pages, in batches
 * ```
 * What costs nothing to lose goes before what has to be written.
 */
import type { Core } from "../core.ts";

/** Pages that are evicted with one invalidation. */
const BATCH_PAGES = 32;
/** The part of the resident limit that background work keeps free. */
const SPARE_SHARE = 16;

/** Background reclaim of one manager. */
export class Background {
  readonly #core: Core;

  /** The background work of a core. */
  constructor(core: Core) {
    this.#core = core;
  }

  /** Frames below the resident limit that are kept free. */
  get spare(): number {
    return Math.floor(this.#core.residentLimit / SPARE_SHARE);
  }

  /** Frees up to about `budget` frames while they are short; returns how many pages left or were given back. */
  step(budget: number): number {
    const core = this.#core;
    core.quarantine?.release();
    let done = core.parting.arrive();
    core.refaults.passed();
    core.pressure.update();
    if (!this.#isShort()) return done;
    done += core.purgeable.purge(Math.min(budget, this.#wanted()));
    if (this.#isShort()) done += core.pressure.shrink(Math.min(budget, this.#wanted()));
    while (done < budget && this.#isShort()) {
      const pages = Math.min(budget - done, BATCH_PAGES, this.#wanted());
      const left = core.quarantine === null ? this.#evict(pages) : core.parting.depart(pages);
      if (left === 0) break;
      done += left;
    }
    core.pressure.update();
    return done;
  }

  /** Evicts up to `count` pages with one invalidation for all of them; returns how many left. */
  #evict(count: number): number {
    const core = this.#core;
    const change = core.begin(null);
    const victims = core.reclaimer.unmapVictims(count, change.plan);
    change.plan.flush();
    const freed = core.reclaimer.finishVictims(victims, change.plan);
    core.end(change);
    return freed;
  }

  /** Pages on their way out count as gone. */
  #isShort(): boolean {
    return this.#wanted() > 0;
  }

  /** Frames that are missing. */
  #wanted(): number {
    const { resident, residentLimit, parting, framePressure } = this.#core;
    const below = resident - parting.count + this.spare - residentLimit;
    if (framePressure === null || framePressure.level() === "none") return Math.max(0, below);
    const { freeFrames, watermarks } = framePressure;
    return Math.max(0, below, watermarks.high + 1 - freeFrames - parting.count);
  }
}
