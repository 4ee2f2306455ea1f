/*
 * Ballooning. A guest's balloon takes frames out of its own allocator so that the host can use the memory behind them; a
 * host lets several guests share less real memory than they believe to have.
 */
import { PmmError } from "./errors.ts";
import type { FrameHints, FramePressure, FrameSource } from "./ports.ts";
import { NO_FRAME, ORDER_2M } from "./units.ts";
import type { Pfn } from "./units.ts";

/** How a balloon grows. */
export interface BalloonOptions {
  /** Order of what it takes: 0 or 9 (2M). */
  readonly order: number;
  /** The NUMA node to take from, −1 (the default) for any. */
  readonly node?: number;
  /** Told of every frame or block that the balloon takes: the host may use the memory behind it. */
  readonly onInflate?: (pfn: Pfn, order: number) => void;
  /** Told before a frame or block goes back to the guest: the host must back it again. */
  readonly onDeflate?: (pfn: Pfn, order: number) => void;
}

/** The guest's side: takes frames out of use, up to a target, and gives them back. */
export class Balloon {
  /** Order of what it holds. */
  readonly order: number;
  readonly #source: FrameSource & FramePressure;
  readonly #hints: FrameHints;
  readonly #options: BalloonOptions;
  readonly #held: Pfn[] = [];

  constructor(source: FrameSource & FramePressure, options: BalloonOptions) {
    if (options.order !== 0 && options.order !== ORDER_2M) {
      throw new PmmError("bad-argument", `A balloon takes order 0 or ${ORDER_2M}, not ${options.order}`);
    }
    this.order = options.order;
    this.#source = source;
    this.#options = options;
    this.#hints = { order: options.order, node: options.node ?? -1, colour: -1, movable: 1 };
  }

  /** Frames inside the balloon. */
  get frames(): number {
    return this.#held.length * 2 ** this.order;
  }

  /** Grows or shrinks to `target` frames, rounded down to its order; returns the frames it then holds. */
  resize(target: number): number {
    const wanted = Math.floor(target / 2 ** this.order);
    while (this.#held.length < wanted) {
      const pfn = this.#source.take(this.#hints);
      if (pfn === NO_FRAME) break;
      this.#held.push(pfn);
      this.#options.onInflate?.(pfn, this.order);
    }
    while (this.#held.length > wanted) this.#deflateOne();
    return this.frames;
  }

  /** Under pressure: gives frames back until the source is above its high mark, or none are left; returns how many. */
  relieve(): number {
    const before = this.frames;
    while (this.#held.length > 0 && this.#source.level() !== "none") this.#deflateOne();
    return before - this.frames;
  }

  /** Checks that it holds every frame once. */
  check(): void {
    if (new Set(this.#held).size !== this.#held.length) {
      throw new PmmError("broken-invariant", "A balloon holds every frame once");
    }
  }

  #deflateOne(): void {
    const pfn = this.#held.pop();
    if (pfn === undefined) return;
    this.#options.onDeflate?.(pfn, this.order);
    this.#source.give(pfn, this.order);
  }
}
