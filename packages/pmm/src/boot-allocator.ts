/*
 * The earliest allocator: a bump pointer over the map, before any zone exists. What it gave out stays taken when the page
 * stacks take over, frame for frame; it also pays for the allocator's own state.
 */
import { PmmError } from "./errors.ts";
import type { FrameSpan } from "./plug.ts";
import { sortedRanges } from "./range.ts";
import type { FrameRange } from "./range.ts";
import type { BootHandover } from "./set-up.ts";
import { NO_FRAME } from "./units.ts";
import type { Pfn } from "./units.ts";

/** Bumps downwards from the end of RAM, so that low frames stay free; skips faulty frames. */
export class BootAllocator implements BootHandover {
  readonly #ranges: readonly FrameRange[];
  readonly #taken: { start: Pfn; end: Pfn }[] = [];
  #range: number;
  #top: Pfn;
  #stateFrames = 0;
  #closed = false;

  /** Over usable ranges in any order. Throws `bad-range`. */
  constructor(ranges: readonly FrameRange[]) {
    this.#ranges = sortedRanges(ranges);
    this.#range = this.#ranges.length - 1;
    this.#top = this.#ranges[this.#range]?.end ?? 0;
  }

  /** The runs taken so far, each `[start, end)`, the highest first. */
  get taken(): readonly FrameSpan[] {
    return this.#taken;
  }

  /** Frames taken so far. */
  get takenFrames(): number {
    return this.#taken.reduce((sum, { start, end }) => sum + end - start, 0);
  }

  /** Of these, frames that hold the state of the allocator that took over. */
  get stateFrames(): number {
    return this.#stateFrames;
  }

  /** Takes a contiguous run below all earlier ones, aligned to a power of two of frames; `NO_FRAME` where none is left. */
  take(frames = 1, alignment = 1): Pfn {
    if (this.#closed) throw new PmmError("finished", "The early allocator has handed its map over");
    if (!Number.isInteger(frames) || frames < 1) {
      throw new PmmError("bad-argument", `frames must be an integer ≥ 1, not ${frames}`);
    }
    if (!Number.isInteger(Math.log2(alignment)) || alignment < 1) {
      throw new PmmError("bad-argument", `alignment must be a power of two, not ${alignment}`);
    }
    for (let index = this.#range, top = this.#top; index >= 0; index -= 1, top = this.#ranges[index]?.end ?? 0) {
      const range = this.#ranges[index];
      const start = range === undefined ? -1 : lowerFit(range, top, frames, alignment);
      if (start < 0) continue;
      this.#range = index;
      this.#top = start;
      this.#note(start, start + frames);
      return start;
    }
    return NO_FRAME;
  }

  /** Takes frames, not contiguous, for the state of the allocator that takes over; then hands the map over. */
  takeForState(frames: number): void {
    let left = frames;
    while (left > 0) {
      if (this.take() === NO_FRAME) {
        throw new PmmError("bad-argument", `The state needs ${frames} frames; ${left} are missing`);
      }
      left -= 1;
    }
    this.#stateFrames += frames;
    this.#closed = true;
  }

  /** Checks that every taken run is RAM, sound and taken once. */
  check(): void {
    let below = Infinity;
    for (const { start, end } of this.#taken) {
      const range = this.#ranges.find((each) => start >= each.start && end <= each.end);
      const isSound = range !== undefined && end <= below && start < end;
      if (!isSound || range.faulty.some((pfn) => pfn >= start && pfn < end)) {
        throw new PmmError("broken-invariant", "Early runs are sound RAM and disjoint", { pfn: start });
      }
      below = start;
    }
  }

  #note(start: Pfn, end: Pfn): void {
    const last = this.#taken[this.#taken.length - 1];
    if (last?.start === end) last.start = start;
    else this.#taken.push({ start, end });
  }
}

/** The highest run of a range that ends at or below `top` and has no faulty frame; −1 where there is none. */
function lowerFit(range: FrameRange, top: Pfn, frames: number, alignment: number): Pfn {
  let start = Math.floor((top - frames) / alignment) * alignment;
  while (start >= range.start) {
    const first = start;
    const bad = range.faulty.find((pfn) => pfn >= first && pfn < first + frames);
    if (bad === undefined) return start;
    start = Math.floor((bad - frames) / alignment) * alignment;
  }
  return -1;
}
