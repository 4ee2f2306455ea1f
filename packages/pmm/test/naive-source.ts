import { NO_FRAME } from "../src/index.ts";
import type {
  FramePressure,
  FrameSource,
  Grant,
  Pfn,
  PressureLevel,
  Refusal,
  SpecialFrames,
  SpecialRequest,
  Watermarks,
} from "../src/index.ts";

/** The simplest thing that keeps the ports' promises: two sets of free frames. */
export class NaiveSource implements FrameSource, SpecialFrames, FramePressure {
  readonly watermarks: Watermarks = { min: 4, low: 8, high: 16 };
  readonly totalFrames = 1024;
  readonly #free = new Set<Pfn>();
  readonly #taken = new Set<Pfn>();
  readonly #low = new Set<Pfn>();
  readonly #grants = new Map<Pfn, number>();
  #short = false;

  constructor() {
    for (let pfn = 8192; pfn < 8192 + 1024; pfn += 1) this.#free.add(pfn);
    for (let pfn = 16; pfn < 128; pfn += 1) this.#low.add(pfn);
  }

  get freeFrames(): number {
    return this.#free.size;
  }

  take(): Pfn {
    for (const pfn of this.#free) {
      this.#free.delete(pfn);
      this.#taken.add(pfn);
      return pfn;
    }
    return NO_FRAME;
  }

  give(pfn: Pfn): void {
    if (!this.#taken.delete(pfn)) throw new Error("not taken");
    this.#free.add(pfn);
  }

  takeMany(into: Float64Array, count: number): number {
    for (let i = 0; i < count; i += 1) {
      const pfn = this.take();
      if (pfn === NO_FRAME) return i;
      into[i] = pfn;
    }
    return count;
  }

  giveMany(frames: Float64Array, count: number): void {
    const list = new Set(frames.subarray(0, count));
    if (list.size < count || ![...list].every((pfn) => this.#taken.has(pfn)))
      throw new Error("not taken, or listed twice");
    for (const pfn of list) this.give(pfn);
  }

  request({ frames, alignment = 1, below = 128, above = 0, boundary = 2 ** 40 }: SpecialRequest): Grant | Refusal {
    if (above >= 128) return { ok: false, reason: "no-such-zone" };
    if (frames > boundary) return { ok: false, reason: "too-large" };
    for (let start = above; start + frames <= below; start += 1) {
      const run = Array.from({ length: frames }, (_, i) => start + i);
      const crosses = Math.floor(start / boundary) !== Math.floor((start + frames - 1) / boundary);
      if (!Number.isInteger(start / alignment) || crosses || !run.every((pfn) => this.#low.has(pfn))) continue;
      for (const pfn of run) this.#low.delete(pfn);
      this.#grants.set(start, frames);
      return { ok: true, start, frames };
    }
    return { ok: false, reason: "fragmented" };
  }

  release(start: Pfn, frames: number): void {
    if (this.#grants.get(start) !== frames) throw new Error("not granted");
    this.#grants.delete(start);
    for (let pfn = start; pfn < start + frames; pfn += 1) this.#low.add(pfn);
  }

  level(): PressureLevel {
    if (this.freeFrames <= this.watermarks.low) this.#short = true;
    else if (this.freeFrames > this.watermarks.high) this.#short = false;
    if (this.freeFrames <= this.watermarks.min) return "min";
    return this.#short ? "low" : "none";
  }
}
