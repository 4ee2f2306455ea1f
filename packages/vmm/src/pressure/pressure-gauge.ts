import { invariant, VmmError } from "../errors.ts";

/** How short memory is: not at all; background reclaim should run; only reclaim itself may take frames. */
export type PressureLevel = "none" | "low" | "min";

/** Free frames at which the level changes, min < low < high. */
export interface Watermarks {
  /** Below: `min`. */
  readonly min: number;
  /** Below: `low`, unless it is `min`. */
  readonly low: number;
  /** At or above: `none` again. */
  readonly high: number;
}

/**
 * The level of pressure by free frames, with hysteresis: a level is entered at its own watermark and left at the next one
 * only, so that it does not flutter while frames come and go around a mark.
 *
 * ```
 *   free frames   0 ········ min ········ low ········ high ········
 *   falling         → min     | → low      | none       | none
 *   rising          min stays | min stays  | → low      | → none
 * ```
 */
export class PressureGauge {
  readonly #marks: Watermarks;
  readonly #changed: ((level: PressureLevel, freeFrames: number) => void) | null;
  #level: PressureLevel = "none";
  #changes: number = 0;

  /**
   * @param marks in frames
   * @param changed told each new level
   */
  constructor(marks: Watermarks, changed: ((level: PressureLevel, freeFrames: number) => void) | null = null) {
    if (!(marks.min >= 0 && marks.min < marks.low && marks.low < marks.high))
      throw new VmmError("bad-argument", "Watermarks are min < low < high.", { ...marks });
    this.#marks = marks;
    this.#changed = changed;
  }

  /** The level now. */
  get level(): PressureLevel {
    return this.#level;
  }

  /** Changes of level since the start. */
  get changes(): number {
    return this.#changes;
  }

  /** Takes in the number of free frames; returns the level. */
  update(freeFrames: number): PressureLevel {
    const next = this.#nextLevel(freeFrames);
    if (next !== this.#level) {
      this.#level = next;
      this.#changes++;
      this.#changed?.(next, freeFrames);
    }
    return next;
  }

  /** Frames that background reclaim still has to free to end the pressure. */
  wanted(freeFrames: number): number {
    return this.#level === "none" ? 0 : Math.max(0, this.#marks.high - freeFrames);
  }

  /** Throws with the sentence of the broken invariant. */
  check(): void {
    invariant(
      this.#marks.min < this.#marks.low && this.#marks.low < this.#marks.high,
      "The watermarks lost their order.",
    );
  }

  #nextLevel(free: number): PressureLevel {
    const { min, low, high } = this.#marks;
    if (free < min) return "min";
    if (free >= high) return "none";
    if (this.#level === "min") return free < low ? "min" : "low";
    return free < low ? "low" : this.#level;
  }
}
