/** Fills several frames with zeroes, together where the window can. */
import type { FrameWindow } from "../ports.ts";
import type { Pfn } from "../units.ts";

/** Frames of a run that are named at a time. */
const NAMED = 64;

/** Makes the first `count` frames of a list zero. */
export function zeroFrames(window: FrameWindow, frames: Float64Array, count: number): void {
  if (window.zeroMany !== undefined) window.zeroMany(frames, count);
  else for (let at = 0; at < count; at++) window.zero(frames[at]!);
}

/** Makes a run of frames zero. */
export function zeroRun(window: FrameWindow, start: Pfn, frames: number): void {
  const named = new Float64Array(Math.min(frames, NAMED));
  for (let done = 0; done < frames; done += NAMED) {
    const count = Math.min(NAMED, frames - done);
    for (let at = 0; at < count; at++) named[at] = start + done + at;
    zeroFrames(window, named, count);
  }
}
