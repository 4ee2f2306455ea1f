/**
 * Moving pages to other frames: for contiguous buffers, frames that fail, memory that is unplugged, ranks that are to sleep, and 2M pages.
 *
 * Costs O(mappings of the page): the reverse mapping leads to every translation. Pinned pages refuse, and frames that hold no page (tables,
 * windows, buffers) are named.
 */
import type { Core } from "./core.ts";
import { VmmError } from "./errors.ts";
import type { EvacuationPlan, FrameHints } from "./ports.ts";
import { PAGE_DIRTY, PAGE_POISONED } from "./pages/pages.ts";
import { mapAgain, placesOf, type Place } from "./pages/places.ts";
import { wishesOf } from "./space/wishes.ts";
import { NO_FRAME, type Pfn } from "./units.ts";

/**
 * Why a frame cannot be vacated: a transfer goes on, the kernel has it wired, no page is in it, no other frame is there, or its bytes may be wrong and are copied nowhere
 * (see {@link Migrator.suspect}).
 */
export type MigrationRefusal = "pinned" | "wired" | "not-a-page" | "no-memory" | "suspect";

/** A frame that stays where it is. */
export interface StuckFrame {
  /** The frame. */
  readonly pfn: Pfn;
  /** Why. */
  readonly reason: MigrationRefusal;
}

/** What became of an evacuation. */
export interface EvacuationOutcome {
  /** Whether the plan was committed. */
  readonly ok: boolean;
  /** Pages that were moved. */
  readonly moved: number;
  /** Frames in the way; the plan was cancelled if there are any. */
  readonly stuck: readonly StuckFrame[];
}

/** Times that a plan is asked again for what came in meanwhile. */
const MAX_ROUNDS = 4;

/** Moves pages to other frames, for contiguous buffers, failing frames, unplugged memory and 2M pages. O(mappings of the page); pinned pages refuse. */
export class Migrator {
  readonly #core: Core;

  /** The migrator of a core. */
  constructor(core: Core) {
    this.#core = core;
  }

  /**
   * Moves the page in a frame to another frame; the new frame, or why not. The old frame goes back to its source. `hints` may choose the new frame; without
   * them it is as the page's region wishes and, where no such frame is there, any.
   */
  vacate(pfn: Pfn, hints?: FrameHints): Pfn | MigrationRefusal {
    return this.#vacate(pfn, (page) =>
      hints === undefined ? this.#target(page, true) : this.#core.frames.take(hints),
    );
  }

  #vacate(pfn: Pfn, take: (page: number) => Pfn): Pfn | MigrationRefusal {
    const core = this.#core;
    const page = core.frameMap.pageAt(pfn);
    if (page < 0) return "not-a-page";
    if (core.pages.pins[page]! > 0) return "pinned";
    if (this.#isWired(page)) return "wired";
    if (core.suspects.has(pfn)) return "suspect";
    const target = take(page);
    if (target === NO_FRAME) return "no-memory";
    return this.moveTo(page, target) ? target : "suspect";
  }

  /** A frame as the page's region wishes; where there is none, any if the page `must` move. */
  #target(page: number, must: boolean): Pfn {
    const { frames } = this.#core;
    const wishes = wishesOf(this.#core, page);
    for (const wish of wishes ?? []) {
      const target = frames.take(wish);
      if (target !== NO_FRAME) return target;
    }
    return wishes === null || must ? frames.take() : NO_FRAME;
  }

  /** Whether a locked region of the kernel's maps the page: devices and processors may have been told its address. */
  #isWired(page: number): boolean {
    const { mappings, pages, sheets } = this.#core;
    if (pages.holds[page] === 0) return false;
    for (let at = mappings.first(page); at >= 0; at = mappings.next(at)) {
      const { space, base } = sheets.get(mappings.sheetOf(at));
      const isKernel = space.attributes !== 0;
      if (isKernel && space.regions.find(base + mappings.entryOf(at))?.locked !== "none") return true;
    }
    return false;
  }

  /**
   * Moves a page that is not pinned into a frame that the caller has taken. False: its bytes may be wrong, it stays where it is, and the frame is given back; so it is, with
   * nothing left to move, where the page has ended meanwhile.
   */
  moveTo(page: number, target: Pfn): boolean {
    const core = this.#core;
    const { pages } = core;
    if (pages.pins[page]! > 0) throw new VmmError("bad-argument", "A pinned page was moved.", { page });
    const places: Place[] = [];
    const { yields } = core;
    const change = core.begin(null);
    core.freeze(page);
    do {
      places.push(...placesOf(core, page));
      core.unmapEverywhere(page, change.plan);
      change.plan.flush();
    } while (core.mappings.first(page) >= 0);
    if (!core.thaw(page, change.plan)) {
      core.end(change);
      core.frames.give(target);
      return true;
    }
    if (core.yields !== yields && pages.holds[page] === 0) {
      // Reclaim may have named the page meanwhile and let it go.
      core.policy.remove(page);
      core.policy.insert(page);
    }
    const source = pages.pfn[page]!;
    core.window.copy(source, target);
    const isGood = !core.suspects.has(source);
    if (isGood) {
      core.frameMap.clear(source);
      core.frameMap.set(target, page);
      pages.pfn[page] = target;
      core.stats.migrations++;
    }
    for (const place of places) mapAgain(core, page, place, change.plan);
    change.plan.dataFrame(isGood ? source : target);
    core.end(change);
    return isGood;
  }

  /**
   * Notes that the bytes of a frame may be wrong, and does nothing else, so that it can be called in the middle of any access. Until {@link discard} settles it, the page in the
   * frame does not leave it, is written to no store, and is copied neither for a writer nor for a device nor to another frame: stores that would copy it are bus errors.
   */
  suspect(pfn: Pfn): void {
    this.#core.suspects.add(pfn);
  }

  /**
   * The bytes of a frame cannot be trusted any more: its page lets go of it. A page with a good copy (in a file, in swap, or never stored to) is brought in
   * again when it is needed: `recovered`. Else its content is `lost`, and every access of it from now on a bus error. While a transfer goes on, a frame that is
   * {@link suspect} stays so.
   */
  discard(pfn: Pfn): "recovered" | "lost" | MigrationRefusal {
    const core = this.#core;
    const { pages } = core;
    const page = core.frameMap.pageAt(pfn);
    if (page >= 0 && pages.pins[page]! > 0) return "pinned";
    core.suspects.delete(pfn);
    if (page < 0) return "not-a-page";
    const change = core.begin(null);
    core.freeze(page);
    core.unmapEverywhere(page, change.plan);
    change.plan.flush();
    const isLost = pages.has(page, PAGE_DIRTY);
    if (core.thaw(page, change.plan)) {
      const object = core.objects.get(pages.owner[page]!);
      const fromStore = object?.hasStoreFor(page) === true;
      core.displace(page, change.plan);
      if (isLost) {
        object?.lost(page);
        core.dropSwap(page);
        pages.mark(page, PAGE_POISONED);
      } else if (fromStore && !object.remembers) {
        object.pages.remove(pages.index[page]!);
        core.dropReference(page, change.plan);
      }
    }
    core.end(change);
    return isLost ? "lost" : "recovered";
  }

  /**
   * Carries out a plan of the frame source: moves every page that is in the way. All or nothing as far as the plan goes. Pages go where their regions wish; where
   * no such frame is left outside of the plan they go anywhere, or with `must` false they stay and the plan is cancelled.
   */
  evacuate(plan: EvacuationPlan, must = true): EvacuationOutcome {
    let moved = 0;
    let stuck: StuckFrame[] = [];
    for (let round = 0; round < MAX_ROUNDS; round++) {
      const moves = plan.begin();
      stuck = [];
      for (let at = 0; at < moves.length; at++) {
        const pfn = moves[at] ?? NO_FRAME;
        const outcome = this.#vacate(pfn, (page) => this.#target(page, must));
        if (typeof outcome === "number") moved++;
        else stuck.push({ pfn, reason: outcome });
      }
      if (stuck.length > 0) break;
      if (plan.commit()) return { ok: true, moved, stuck };
    }
    plan.cancel();
    return { ok: false, moved, stuck };
  }
}
