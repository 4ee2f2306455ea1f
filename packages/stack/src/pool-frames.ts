/**
 * Frames of a compressed pool: they come out of the same allowance as resident pages, so that compressing a page must make room,
 * and they are remembered, so that the auditor knows where they are.
 */
import type { FrameHints, FrameSource, Pfn } from "@pagewright/vmm";

/** Told by how many frames the pool grew (or, negative, shrank). */
export type PoolGrowth = (frames: number) => void;

/** A frame source for a compressed pool. */
export class PoolFrames implements FrameSource {
  /** Frames that the pool has now. */
  readonly held: Set<Pfn> = new Set();
  readonly #frames: FrameSource;
  readonly #grown: PoolGrowth;

  /** Wraps a frame source; `grown` is called after each change. */
  constructor(frames: FrameSource, grown: PoolGrowth) {
    this.#frames = frames;
    this.#grown = grown;
  }

  /** See the FrameSource port of vmm; single frames only. */
  take(hints?: FrameHints): Pfn {
    const pfn = this.#frames.take(hints);
    if (pfn < 0) return pfn;
    this.held.add(pfn);
    this.#grown(1);
    return pfn;
  }

  /** See the FrameSource port of vmm. */
  give(pfn: Pfn): void {
    this.#frames.give(pfn);
    this.held.delete(pfn);
    this.#grown(-1);
  }

  /** See the FrameSource port of vmm. */
  takeMany(into: Float64Array, count: number, hints?: FrameHints): number {
    const taken = this.#frames.takeMany(into, count, hints);
    for (let at = 0; at < taken; at++) this.held.add(into[at]!);
    this.#grown(taken);
    return taken;
  }

  /** See the FrameSource port of vmm. */
  giveMany(frames: Float64Array, count: number): void {
    this.#frames.giveMany(frames, count);
    for (let at = 0; at < count; at++) this.held.delete(frames[at]!);
    this.#grown(-count);
  }
}
