/**
 * The last frames of a source, which only reclaim may take: to set frames free it may need one (to hold compressed pages, to split a 2M page), and must not
 * fail for want of it.
 *
 * ```
 *  free frames   0 ········ reserve ········ total
 *  take            reclaim   | everybody
 * ```
 * Put it in front of the frame source for everybody: the manager, its tables, its compressed pool. No frame is set apart: which ones are the last, nobody knows
 * before. The source is asked for its count only when half of what was above the reserve at the last count is taken.
 */
import { VmmError } from "../errors.ts";
import type { FrameHints, FramePressure, FrameSource } from "../ports.ts";
import { NO_FRAME, type Pfn } from "../units.ts";

/** A frame source with a reserve. */
export class FrameReserve implements FrameSource, FramePressure {
  /** Frames that only reclaim may take. */
  readonly frames: number;
  /** See {@link FrameSource.split}: where the source has it. */
  readonly split?: NonNullable<FrameSource["split"]>;
  readonly #source: FrameSource & FramePressure;
  /** Frames that may be taken before the source is asked for its count again. */
  #credit = 0;
  #open = 0;

  /** Keeps the last `frames` frames of a source for reclaim. */
  constructor(source: FrameSource & FramePressure, frames: number) {
    if (!Number.isInteger(frames) || frames < 1)
      throw new VmmError("out-of-range", "A reserve has at least one frame.", { frames });
    this.#source = source;
    this.frames = frames;
    if (source.split !== undefined) this.split = (pfn, order) => source.split?.(pfn, order);
  }

  /** See {@link FramePressure.freeFrames}: what everybody may take. */
  get freeFrames(): number {
    return Math.max(0, this.#source.freeFrames - this.frames);
  }

  /** See {@link FramePressure.totalFrames}. */
  get totalFrames(): number {
    return this.#source.totalFrames;
  }

  /** See {@link FramePressure.watermarks}. */
  get watermarks(): FramePressure["watermarks"] {
    return this.#source.watermarks;
  }

  /** See {@link FramePressure.level}. */
  level(): "none" | "low" | "min" {
    return this.#source.level();
  }

  /** Reclaim begins: it may use the reserve. Nests. */
  open(): void {
    this.#open++;
  }

  /** Reclaim ends. */
  close(): void {
    if (this.#open === 0) throw new VmmError("unbalanced", "A reserve was closed more often than opened.");
    this.#open--;
  }

  /** See {@link FrameSource.take}. One comparison and one subtraction more than the source. */
  take(hints?: FrameHints): Pfn {
    const wanted = hints === undefined ? 1 : 2 ** hints.order;
    if (this.#credit < wanted && !this.#allows(wanted)) return NO_FRAME;
    this.#credit -= wanted;
    return this.#source.take(hints);
  }

  /** See {@link FrameSource.give}. */
  give(pfn: Pfn, order?: number): void {
    this.#source.give(pfn, order);
  }

  /** See {@link FrameSource.takeMany}. */
  takeMany(into: Float64Array, count: number, hints?: FrameHints): number {
    const allowed = this.#open > 0 ? count : Math.min(count, this.freeFrames);
    const taken = allowed === 0 ? 0 : this.#source.takeMany(into, allowed, hints);
    this.#credit -= taken;
    return taken;
  }

  /** See {@link FrameSource.giveMany}. */
  giveMany(frames: Float64Array, count: number): void {
    this.#source.giveMany(frames, count);
  }

  #allows(wanted: number): boolean {
    const above = this.freeFrames;
    this.#credit = Math.max(wanted, Math.floor(above / 2));
    if (above >= wanted || this.#open > 0) return true;
    this.#credit = 0;
    return false;
  }

  /** Throws with the sentence of the broken invariant. */
  check(): void {
    if (this.#open > 0) throw new VmmError("invariant", "Reclaim has left the reserve open.");
  }
}
