/**
 * Watches frames change owners: whether a frame's bytes were wholly replaced since it was last taken.
 *
 * It stands between the layers: everything that hands out frames and everything that reaches their bytes goes through a
 * wrapper that does its work and notes what happened, one byte per frame.
 *
 *     take  ──► FOREIGN   the bytes of whoever had the frame before
 *     zero, copy to it, write all of it  ──► REPLACED
 *
 * The auditor then asks {@link OwnerWatch.isReplaced} of every frame that user mode can reach.
 */
import type { FrameHints, FrameSource, FrameWindow, Pfn } from "@pagewright/vmm";

const FOREIGN = 1;
const REPLACED = 2;

/** log2 of the frames whose notes lie in one array: 128 MiB of memory. */
const CHUNK_FRAMES = 2 ** 15;
const FRAME_BYTES = 4096;

/** Notes per frame, allocated chunk by chunk as frames are taken. */
export class OwnerWatch {
  readonly #chunks: (Uint8Array | undefined)[] = [];

  /** Returns whether the frame's bytes were wholly replaced since it was last taken; true for one that never was. */
  isReplaced(pfn: Pfn): boolean {
    return this.#noteOf(pfn) !== FOREIGN;
  }

  /** Notes that somebody took `frames` frames from `pfn` on: their bytes are another owner's. */
  taken(pfn: Pfn, frames: number): void {
    for (let frame: Pfn = pfn; frame < pfn + frames; frame++) this.#note(frame, FOREIGN);
  }

  /** Notes that all bytes of a frame were replaced. */
  replaced(pfn: Pfn): void {
    this.#note(pfn, REPLACED);
  }

  #noteOf(pfn: Pfn): number {
    const chunk = this.#chunks[Math.floor(pfn / CHUNK_FRAMES)];
    return chunk === undefined ? 0 : chunk[pfn & (CHUNK_FRAMES - 1)]!;
  }

  #note(pfn: Pfn, note: number): void {
    const number = Math.floor(pfn / CHUNK_FRAMES);
    const chunk = (this.#chunks[number] ??= new Uint8Array(CHUNK_FRAMES));
    chunk[pfn & (CHUNK_FRAMES - 1)] = note;
  }
}

/** A frame source that notes what it hands out. */
export class WatchedFrames implements FrameSource {
  readonly #frames: FrameSource;
  readonly #watch: OwnerWatch;

  /** Wraps a frame source. */
  constructor(frames: FrameSource, watch: OwnerWatch) {
    this.#frames = frames;
    this.#watch = watch;
  }

  /** See the FrameSource port of vmm. */
  take(hints?: FrameHints): Pfn {
    const pfn = this.#frames.take(hints);
    if (pfn >= 0) this.#watch.taken(pfn, hints === undefined ? 1 : 2 ** hints.order);
    return pfn;
  }

  /** See the FrameSource port of vmm. */
  give(pfn: Pfn, order?: number): void {
    this.#frames.give(pfn, order);
  }

  /** See the FrameSource port of vmm. */
  takeMany(into: Float64Array, count: number, hints?: FrameHints): number {
    const taken = this.#frames.takeMany(into, count, hints);
    for (let at = 0; at < taken; at++) this.#watch.taken(into[at]!, 1);
    return taken;
  }

  /** See the FrameSource port of vmm. */
  giveMany(frames: Float64Array, count: number): void {
    this.#frames.giveMany(frames, count);
  }
}

/** A frame window that notes which frames it wrote as a whole. */
export class WatchedWindow implements FrameWindow {
  readonly #window: FrameWindow;
  readonly #watch: OwnerWatch;

  /** Wraps a window. */
  constructor(window: FrameWindow, watch: OwnerWatch) {
    this.#window = window;
    this.#watch = watch;
  }

  /** See the FrameWindow port of vmm. */
  read(pfn: Pfn, offset: number, into: Uint8Array): void {
    this.#window.read(pfn, offset, into);
  }

  /** See the FrameWindow port of vmm. */
  write(pfn: Pfn, offset: number, from: Uint8Array): void {
    this.#window.write(pfn, offset, from);
    if (from.length === FRAME_BYTES) this.#watch.replaced(pfn);
  }

  /** See the FrameWindow port of vmm. */
  copy(from: Pfn, to: Pfn): void {
    this.#window.copy(from, to);
    this.#watch.replaced(to);
  }

  /** See the FrameWindow port of vmm. */
  zero(pfn: Pfn): void {
    this.#window.zero(pfn);
    this.#watch.replaced(pfn);
  }
}
