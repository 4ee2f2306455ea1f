import { PAGE_SIZE } from "../units.ts";

/** Sizes are multiples of this many bytes. */
const STEP = 64;
/** Objects above this are not worth keeping compressed: 7/8 of a page. */
export const MAX_OBJECT_BYTES: number = (PAGE_SIZE * 7) / 8;
/** Frames that a group has at most. */
export const MAX_GROUP_FRAMES = 4;
/** Objects that a group has at most. */
export const MAX_GROUP_OBJECTS = 64;

/**
 * One size of objects and the group of frames that holds them best: objects lie end to end through the group, so that an
 * object may begin in one frame and end in the next, and three frames hold four objects of 3,072 bytes.
 *
 * ```
 *   frame 0          frame 1          frame 2
 *   |---- object 0 ----|---- object 1 ----|---- 2 ---…
 * ```
 */
export interface SizeClass {
  /** Bytes of an object, a multiple of 64. */
  readonly bytes: number;
  /** Frames of a group, 1 … 4. */
  readonly frames: number;
  /** Objects of a group, 1 … 64. */
  readonly objects: number;
}

/** All classes, by size. For each the number of frames wastes the least. */
export const SIZE_CLASSES: readonly SizeClass[] = Array.from({ length: MAX_OBJECT_BYTES / STEP }, (_, index) =>
  bestGroup((index + 1) * STEP),
);

/** The index in {@link SIZE_CLASSES} of the smallest class that holds so many bytes, 1 … {@link MAX_OBJECT_BYTES}. */
export function classOf(bytes: number): number {
  return Math.ceil(bytes / STEP) - 1;
}

function bestGroup(bytes: number): SizeClass {
  let best: SizeClass = { bytes, frames: 1, objects: Math.min(MAX_GROUP_OBJECTS, Math.floor(PAGE_SIZE / bytes)) };
  for (let frames = 2; frames <= MAX_GROUP_FRAMES; frames++) {
    const objects = Math.floor((frames * PAGE_SIZE) / bytes);
    if (objects <= MAX_GROUP_OBJECTS && objects / frames > best.objects / best.frames)
      best = { bytes, frames, objects };
  }
  return best;
}
