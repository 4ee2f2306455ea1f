/**
 * Memory for users without a machine: frames 0 … n − 1 over one ArrayBuffer, as a frame source and as a window at once.
 *
 * Not a physical memory manager: no zones, no nodes, no blocks beyond first fit; `@pagewright/pmm` is one.
 */
import { VmmError } from "../errors.ts";
import type {
  FrameHints,
  FramePressure,
  FrameSource,
  FrameWindow,
  SpecialFrames,
  SpecialOutcome,
  SpecialRequest,
} from "../ports.ts";
import { NO_FRAME, PAGE_SIZE, type Pfn } from "../units.ts";

/** Frames over one ArrayBuffer. Invariant: free frames on the stack + taken frames = all frames. */
export class PlainMemory implements FrameSource, FrameWindow, FramePressure, SpecialFrames {
  /** Frames in all. */
  readonly totalFrames: number;
  readonly #bytes: Uint8Array;
  /** Free frames, the next one at `#free − 1`. */
  readonly #stack: Int32Array;
  /** 1 where the frame is taken. */
  readonly #taken: Uint8Array;
  #free: number;
  #pressed = false;

  /** Memory of `frames` frames, 1 … 2^20. */
  constructor(frames: number) {
    if (!Number.isInteger(frames) || frames < 1 || frames > 1048576)
      throw new VmmError("out-of-range", "PlainMemory has 1 to 1048576 frames.", { frames });
    this.totalFrames = frames;
    this.#bytes = new Uint8Array(frames * PAGE_SIZE);
    this.#stack = new Int32Array(frames);
    this.#taken = new Uint8Array(frames);
    for (let at = 0; at < frames; at++) this.#stack[at] = frames - 1 - at;
    this.#free = frames;
  }

  /** Frames that can be taken. */
  get freeFrames(): number {
    return this.#free;
  }

  /** 1/64, 1/32 and 1/16 of the frames. */
  get watermarks(): { readonly min: number; readonly low: number; readonly high: number } {
    const { totalFrames } = this;
    return { min: Math.floor(totalFrames / 64), low: Math.floor(totalFrames / 32), high: Math.floor(totalFrames / 16) };
  }

  /** See {@link FramePressure.level}. */
  level(): "none" | "low" | "min" {
    const { min, low, high } = this.watermarks;
    this.#pressed = this.#free <= (this.#pressed ? high : low);
    if (this.#free <= min) return "min";
    return this.#pressed ? "low" : "none";
  }

  /** See {@link SpecialFrames.release}. */
  release(start: Pfn, frames: number): void {
    for (let pfn = start; pfn < start + frames; pfn++) this.give(pfn);
  }

  /** See {@link FrameSource.take}. */
  take(hints?: FrameHints): Pfn {
    if (hints !== undefined && hints.order > 0) {
      const frames = 2 ** hints.order;
      const run = this.request({ frames, alignment: frames });
      return run.ok ? run.start : NO_FRAME;
    }
    if (this.#free === 0) return NO_FRAME;
    const pfn = this.#stack[--this.#free]!;
    this.#taken[pfn] = 1;
    return pfn;
  }

  /** See {@link FrameSource.give}. */
  give(pfn: Pfn, order = 0): void {
    const end = pfn + 2 ** order;
    for (let frame = pfn; frame < end; frame++) {
      if (this.#taken[frame] !== 1)
        throw new VmmError("unbalanced", "A frame was given that is not taken.", { pfn: frame });
      this.#taken[frame] = 0;
      this.#stack[this.#free++] = frame;
    }
  }

  /** See {@link FrameSource.split}: a block is nothing but its frames here. */
  split(pfn: Pfn, order: number): void {
    for (let frame = pfn; frame < pfn + 2 ** order; frame++)
      if (this.#taken[frame] !== 1)
        throw new VmmError("unbalanced", "A block was split that is not taken.", { pfn: frame });
  }

  /** See {@link FrameSource.takeMany}. */
  takeMany(into: Float64Array, count: number, _hints?: FrameHints): number {
    const taken = Math.min(count, this.#free);
    for (let at = 0; at < taken; at++) into[at] = this.take();
    return taken;
  }

  /** See {@link FrameSource.giveMany}. */
  giveMany(frames: Float64Array, count: number): void {
    for (let at = 0; at < count; at++) this.give(frames[at]!);
  }

  /** See {@link SpecialFrames.request}: first fit by a scan over all frames. */
  request(request: SpecialRequest): SpecialOutcome {
    const { frames, alignment = 1, above = 0, below = this.totalFrames, boundary = 0 } = request;
    const last = Math.min(below, this.totalFrames) - frames;
    for (let start = Math.ceil(above / alignment) * alignment; start <= last; start += alignment) {
      if (boundary > 0 && Math.floor(start / boundary) !== Math.floor((start + frames - 1) / boundary)) continue;
      if (this.#isFree(start, frames)) return this.#grant(start, frames);
    }
    return { ok: false, reason: "no run of free frames" };
  }

  /** See {@link FrameWindow.read}. */
  read(pfn: Pfn, offset: number, into: Uint8Array): void {
    const from = pfn * PAGE_SIZE + offset;
    into.set(this.#bytes.subarray(from, from + into.length));
  }

  /** See {@link FrameWindow.write}. */
  write(pfn: Pfn, offset: number, from: Uint8Array): void {
    this.#bytes.set(from, pfn * PAGE_SIZE + offset);
  }

  /** See {@link FrameWindow.copy}. */
  copy(from: Pfn, to: Pfn): void {
    this.#bytes.copyWithin(to * PAGE_SIZE, from * PAGE_SIZE, (from + 1) * PAGE_SIZE);
  }

  /** See {@link FrameWindow.zero}. */
  zero(pfn: Pfn): void {
    this.#bytes.fill(0, pfn * PAGE_SIZE, (pfn + 1) * PAGE_SIZE);
  }

  /** Walks everything; throws with the sentence of the broken invariant. */
  check(): void {
    let taken = 0;
    for (const mark of this.#taken) taken += mark;
    if (taken + this.#free !== this.totalFrames)
      throw new VmmError("invariant", "Free and taken frames do not add up.", { taken, free: this.#free });
  }

  #isFree(start: Pfn, frames: number): boolean {
    for (let pfn = start; pfn < start + frames; pfn++) if (this.#taken[pfn] !== 0) return false;
    return true;
  }

  #grant(start: Pfn, frames: number): SpecialOutcome {
    let kept = 0;
    for (let at = 0; at < this.#free; at++) {
      const pfn = this.#stack[at]!;
      if (pfn < start || pfn >= start + frames) this.#stack[kept++] = pfn;
    }
    this.#free = kept;
    this.#taken.fill(1, start, start + frames);
    return { ok: true, start, frames };
  }
}
