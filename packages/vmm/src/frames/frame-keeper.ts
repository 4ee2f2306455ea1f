/**
 * Frames for pages: from the stock of zeroed frames, from the source, or, where the limit or the source says no, from reclaim.
 *
 * ```
 *  take ── resident < limit? ── source ── a frame
 *             └─ no ── reclaim one page ┘   └─ none ── reclaim ── again
 * ```
 */
import type { Core } from "../core.ts";
import type { FrameHints } from "../ports.ts";
import { NO_FRAME, type Pfn } from "../units.ts";
import { zeroFrames } from "./zeroing.ts";

/** Frames' worth of memory that shrinkers are asked for at a time. */
const SHRINK_PAGES = 16;

/**
 * Frames that are zeroed together by a fault that finds the stock empty. A frame's zeroes push an eighth of what faults work with out of the
 * processor's nearest cache, and windows are opened and walked anew: one at a time, each costs a fault some 300 ns on top of the zeroing.
 */
const ZERO_AHEAD = 32;

/** Free frames that there must be for it, so that what lies in the stock is next to nothing of them. */
const PLENTY: number = 32 * ZERO_AHEAD;

/** A page may need so many new tables above it. */
const TABLES_ABOVE = 4;

/** Frees one frame's worth of pages; false if nothing can leave. */
export type Reclaim = () => boolean;

/** Hands out frames. */
export class FrameKeeper {
  /** Called when no frame is there; set by the manager. */
  reclaim: Reclaim = () => false;
  /** What the next frames should be like, in order of preference; null: any frame. Set around a fault, and see {@link wishing}. */
  wishes: readonly FrameHints[] | null = null;
  readonly #core: Core;
  /** Zeroed frames that nobody owns. */
  readonly #stock: Float64Array = new Float64Array(1024);
  #stocked = 0;

  /** A keeper for a core. */
  constructor(core: Core) {
    this.#core = core;
  }

  /** Zeroed frames in stock. */
  get stocked(): number {
    return this.#stocked;
  }

  /**
   * A frame with unknown bytes for a page, −1 if none can be had. Also −1 where other processors ran while one was made free: what the caller
   * knew may be wrong, and it has to start over (`yields` of the core tells).
   */
  take(): Pfn {
    const core = this.#core;
    if (core.resident >= core.residentLimit) return this.#takeSlowly();
    const pfn = this.wishes === null ? core.frames.take() : this.#takeWished(this.wishes);
    if (pfn >= 0) return pfn;
    return this.#takeSlowly();
  }

  /** Does something whose frames should be like that; what was wished before holds again afterwards. */
  wishing<T>(wishes: readonly FrameHints[] | null, work: () => T): T {
    const before = this.wishes;
    this.wishes = wishes;
    try {
      return work();
    } finally {
      this.wishes = before;
    }
  }

  #takeWished(wishes: readonly FrameHints[]): Pfn {
    for (const wish of wishes) {
      const pfn = this.#core.frames.take(wish);
      if (pfn >= 0) return pfn;
    }
    return NO_FRAME;
  }

  /** A frame full of zeroes for a page, −1 if none can be had. */
  takeZeroed(): Pfn {
    const core = this.#core;
    if (this.wishes === null && core.resident < core.residentLimit) {
      if (this.#stocked === 0) this.#zeroAhead();
      if (this.#stocked > 0) return this.#stock[--this.#stocked]!;
    }
    const pfn = this.take();
    if (pfn >= 0) {
      core.window.zero(pfn);
      core.stats.zeroedFrames++;
    }
    return pfn;
  }

  /** Zeroes a few frames more than the one that is needed now, where frames are plenty. */
  #zeroAhead(): void {
    const { framePressure, frames, window, stats } = this.#core;
    if (framePressure === null || framePressure.freeFrames < PLENTY || framePressure.level() !== "none") return;
    const taken = frames.takeMany(this.#stock, ZERO_AHEAD);
    zeroFrames(window, this.#stock, taken);
    this.#stocked = taken;
    stats.zeroedFrames += taken;
  }

  /** Gives the source frames for a page and the tables above it where it has fewer; false: it has them, or nothing can leave. */
  makeRoom(): boolean {
    const core = this.#core;
    const before = core.framePressure?.freeFrames ?? Infinity;
    if (core.framePressure === null || before > TABLES_ABOVE) return false;
    core.quarantine?.drain();
    core.parting.settle();
    for (let pages = 0; pages < TABLES_ABOVE && core.framePressure.freeFrames <= TABLES_ABOVE; pages++)
      if (!this.reclaim()) break;
    return core.framePressure.freeFrames > before;
  }

  /** Fills the stock with up to `budget` more zeroed frames, as long as the source has some; returns how many. For idle time. */
  fillStock(budget: number): number {
    const core = this.#core;
    const wanted = Math.min(budget, this.#stock.length - this.#stocked);
    const room = this.#stock.subarray(this.#stocked);
    const filled = wanted > 0 ? core.frames.takeMany(room, wanted) : 0;
    zeroFrames(core.window, room, filled);
    this.#stocked += filled;
    core.stats.stockedFrames += filled;
    return filled;
  }

  /** Gives the whole stock back to the source. */
  emptyStock(): void {
    this.#core.frames.giveMany(this.#stock, this.#stocked);
    this.#stocked = 0;
  }

  /** Gives back a frame that no translation ever led to. */
  giveUnused(pfn: Pfn): void {
    this.#core.frames.give(pfn);
  }

  /** Frames in stock, for auditors. */
  stockFrames(): Float64Array {
    return this.#stock.slice(0, this.#stocked);
  }

  #takeSlowly(): Pfn {
    const core = this.#core;
    const isKnown = core.pressure.stalls.begin();
    const pfn = this.#takeUnderPressure();
    core.pressure.stalls.end(isKnown);
    const { begun } = core;
    core.pressure.update();
    if (core.begun === begun) return pfn;
    core.yields++; // Whoever was told of the level changed translations.
    if (pfn >= 0) this.giveUnused(pfn);
    return NO_FRAME;
  }

  /** Asks the shrinkers. What one of them gives back may be what the caller knows: as if another processor had run. */
  #shrink(): void {
    const core = this.#core;
    const { begun, resident } = core;
    const gave = core.pressure.shrink(SHRINK_PAGES);
    if (core.begun !== begun && (gave > 0 || core.resident < resident)) core.yields++;
  }

  #takeUnderPressure(): Pfn {
    const core = this.#core;
    const { yields } = core;
    if (core.quarantine !== null && core.quarantine.release() + core.parting.arrive() === 0) {
      core.quarantine.drain();
      core.parting.settle();
    }
    if (core.purgeable.purge(SHRINK_PAGES) > 0)
      core.yields++; // Pages that the caller knows may be among them.
    else this.#shrink();
    while (core.resident >= core.residentLimit) if (!this.reclaim()) return NO_FRAME;
    if (core.yields !== yields) return NO_FRAME;
    if (this.#stocked > 0 && this.wishes === null) return this.#stock[--this.#stocked]!;
    for (let tries = 0; tries < 16; tries++) {
      const pfn = this.wishes === null ? core.frames.take() : this.#takeWished(this.wishes);
      if (pfn >= 0) return pfn;
      if (!this.reclaim() || core.yields !== yields) return NO_FRAME;
    }
    return NO_FRAME;
  }
}
