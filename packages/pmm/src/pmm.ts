import { PmmError } from "./errors.ts";
import type {
  FrameHints,
  FramePressure,
  FrameSource,
  Grant,
  PressureLevel,
  Refusal,
  SpecialFrames,
  SpecialRequest,
  Watermarks,
} from "./ports.ts";
import { sortedRanges } from "./range.ts";
import type { FrameRange } from "./range.ts";
import { NO_FRAME } from "./units.ts";
import type { Pfn } from "./units.ts";

/** How to build a `Pmm`. */
export interface PmmOptions {
  /** The usable RAM. */
  readonly ranges: readonly FrameRange[];
  /** Frames below this one are kept for special requests (default 4096: 16 MiB). */
  readonly lowZoneEnd?: Pfn;
  /** Free-frame marks; by default derived from the size. */
  readonly watermarks?: Watermarks;
}

/** Frames of one zone, by state. */
export interface ZoneStats {
  readonly name: string;
  readonly node: number;
  readonly frames: number;
  readonly freeFrames: number;
  readonly usedFrames: number;
  readonly retiredFrames: number;
}

/** A snapshot of the whole allocator. */
export interface PmmStats {
  readonly totalFrames: number;
  readonly freeFrames: number;
  readonly usedFrames: number;
  readonly retiredFrames: number;
  readonly zones: readonly ZoneStats[];
}

const HOLE = 0;
const FREE = 1;
const TAKEN = 2;
const GRANTED = 3;
const RETIRED = 4;

/** Physical memory: page stacks over the usable frames, and a low zone apart for special requests. */
export class Pmm implements FrameSource, SpecialFrames, FramePressure {
  /** Free-frame marks of the page-stacked zones. */
  readonly watermarks: Watermarks;
  /** Frames that `take` serves altogether. */
  readonly totalFrames: number;
  readonly #lowEnd: Pfn;
  readonly #ranges: readonly FrameRange[];
  readonly #offsets: number[] = [];
  readonly #state: Uint8Array;
  readonly #stack: Float64Array;
  #top = 0;
  #short = false;

  constructor(options: PmmOptions) {
    this.#lowEnd = options.lowZoneEnd ?? 4096;
    this.#ranges = sortedRanges(options.ranges);
    let frames = 0;
    for (const range of this.#ranges) {
      this.#offsets.push(frames - range.start);
      frames += range.end - range.start;
    }
    this.#state = new Uint8Array(frames).fill(FREE);
    for (const range of this.#ranges) {
      for (const pfn of range.faulty) this.#state[this.#slot(pfn)] = RETIRED;
    }
    this.#stack = new Float64Array(frames);
    for (let r = this.#ranges.length - 1; r >= 0; r -= 1) {
      const range = this.#ranges[r];
      if (range === undefined) continue;
      for (let pfn = range.end - 1; pfn >= Math.max(range.start, this.#lowEnd); pfn -= 1) {
        if (this.#state[this.#slot(pfn)] === FREE) {
          this.#stack[this.#top] = pfn;
          this.#top += 1;
        }
      }
    }
    this.totalFrames = this.#top;
    const min = Math.floor(this.#top / 256);
    this.watermarks = options.watermarks ?? { min, low: min + (min >> 2), high: min + (min >> 1) };
  }

  /** Frames that `take` could still serve. */
  get freeFrames(): number {
    return this.#top;
  }

  /** Takes the frame given last, or `NO_FRAME`. O(1). */
  take(hints?: FrameHints): Pfn {
    if (this.#top === 0 || (hints !== undefined && hints.order !== 0)) return NO_FRAME;
    this.#top -= 1;
    const pfn: Pfn = this.#stack[this.#top]!;
    this.#state[this.#slot(pfn)] = TAKEN;
    return pfn;
  }

  /** Gives a frame back. O(1). Throws on any misuse; nothing changes then. */
  give(pfn: Pfn, order = 0): void {
    const slot = this.#slot(pfn);
    const state = slot < 0 ? HOLE : this.#state[slot];
    if (order !== 0) throw new PmmError("wrong-order", "The frame was given out with order 0", { pfn });
    if (state === FREE) throw new PmmError("double-free", "The frame is free already", { pfn });
    if (state === RETIRED) throw new PmmError("retired", "The frame is retired", { pfn });
    if (state === GRANTED) throw new PmmError("wrong-order", "The frame belongs to a granted run", { pfn });
    if (state !== TAKEN) throw new PmmError("not-managed", "The frame is no managed RAM", { pfn });
    this.#state[slot] = FREE;
    this.#stack[this.#top] = pfn;
    this.#top += 1;
  }

  /** Takes up to `count` frames; returns how many. */
  takeMany(into: Float64Array, count: number, hints?: FrameHints): number {
    for (let i = 0; i < count; i += 1) {
      const pfn = this.take(hints);
      if (pfn === NO_FRAME) return i;
      into[i] = pfn;
    }
    return count;
  }

  /** Gives the first `count` frames back. */
  giveMany(frames: Float64Array, count: number): void {
    for (let i = 0; i < count; i += 1) this.give(frames[i]!);
  }

  /** Grants a contiguous run out of the low zone, or says why not. */
  request(request: SpecialRequest): Grant | Refusal {
    const { frames, alignment = 1, above = 0, boundary = 0 } = request;
    const below = Math.min(request.below ?? this.#lowEnd, this.#lowEnd);
    if (above >= below) return { ok: false, reason: "no-such-zone" };
    for (let start = Math.ceil(above / alignment) * alignment; start + frames <= below; start += alignment) {
      const last = start + frames - 1;
      if (boundary > 0 && Math.floor(start / boundary) !== Math.floor(last / boundary)) continue;
      let pfn: Pfn = start;
      while (pfn <= last && this.#stateOf(pfn) === FREE) pfn += 1;
      if (pfn <= last) continue;
      for (pfn = start; pfn <= last; pfn += 1) this.#state[this.#slot(pfn)] = GRANTED;
      return { ok: true, start, frames };
    }
    return { ok: false, reason: "fragmented" };
  }

  /** Gives a granted run back. */
  release(start: Pfn, frames: number): void {
    for (let pfn: Pfn = start; pfn < start + frames; pfn += 1) {
      if (this.#stateOf(pfn) !== GRANTED) throw new PmmError("never-given", "The frame was not granted", { pfn });
    }
    for (let pfn: Pfn = start; pfn < start + frames; pfn += 1) this.#state[this.#slot(pfn)] = FREE;
  }

  /** The pressure now, with hysteresis. */
  level(): PressureLevel {
    if (this.#top <= this.watermarks.low) this.#short = true;
    else if (this.#top > this.watermarks.high) this.#short = false;
    if (this.#top <= this.watermarks.min) return "min";
    return this.#short ? "low" : "none";
  }

  /** A snapshot: frames by zone and state. */
  stats(): PmmStats {
    const zones = [this.#zoneStats("low", 0, this.#lowEnd), this.#zoneStats("normal", this.#lowEnd, Infinity)];
    const sum = (of: (zone: ZoneStats) => number): number => zones.reduce((total, zone) => total + of(zone), 0);
    return {
      totalFrames: sum((zone) => zone.frames),
      freeFrames: sum((zone) => zone.freeFrames),
      usedFrames: sum((zone) => zone.usedFrames),
      retiredFrames: sum((zone) => zone.retiredFrames),
      zones,
    };
  }

  /** Walks everything; throws `broken-invariant` with the sentence that does not hold. */
  check(): void {
    let free = 0;
    for (const range of this.#ranges) {
      for (let pfn = Math.max(range.start, this.#lowEnd); pfn < range.end; pfn += 1) {
        if (this.#stateOf(pfn) === FREE) free += 1;
      }
    }
    if (free !== this.#top) {
      throw new PmmError("broken-invariant", `Free frames (${free}) equal frames on the stack (${this.#top})`);
    }
  }

  #slot(pfn: Pfn): number {
    for (let r = 0; r < this.#ranges.length; r += 1) {
      const range = this.#ranges[r];
      if (range !== undefined && pfn >= range.start && pfn < range.end) return pfn + (this.#offsets[r] ?? 0);
    }
    return -1;
  }

  #stateOf(pfn: Pfn): number {
    const slot = this.#slot(pfn);
    return slot < 0 ? HOLE : this.#state[slot]!;
  }

  #zoneStats(name: string, from: Pfn, to: Pfn): ZoneStats {
    let frames = 0;
    let freeFrames = 0;
    let retiredFrames = 0;
    for (const range of this.#ranges) {
      for (let pfn = Math.max(range.start, from); pfn < Math.min(range.end, to); pfn += 1) {
        const state = this.#stateOf(pfn);
        frames += 1;
        if (state === FREE) freeFrames += 1;
        if (state === RETIRED) retiredFrames += 1;
      }
    }
    return {
      name,
      node: 0,
      frames,
      freeFrames,
      usedFrames: frames - freeFrames - retiredFrames,
      retiredFrames,
    };
  }
}
