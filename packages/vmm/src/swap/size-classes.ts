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

/**
 * All classes, by size: eight to each doubling, so that rounding up costs an eighth at most. For each the number of frames
 * wastes the least.
 */
export const SIZE_CLASSES: readonly SizeClass[] = sizes().map(bestGroup);

/** The class of so many steps of 64 bytes, rounded up. */
const CLASS_OF_STEPS: Uint8Array = Uint8Array.from({ length: MAX_OBJECT_BYTES / STEP + 1 }, (_, steps) =>
  SIZE_CLASSES.findIndex(({ bytes }) => bytes >= steps * STEP),
);

/** The index in {@link SIZE_CLASSES} of the smallest class that holds so many bytes, 1 … {@link MAX_OBJECT_BYTES}. */
export function classOf(bytes: number): number {
  return CLASS_OF_STEPS[Math.ceil(bytes / STEP)]!;
}

function sizes(): number[] {
  const all: number[] = [];
  for (let bytes = STEP; bytes <= MAX_OBJECT_BYTES;) {
    all.push(bytes);
    bytes += Math.max(STEP, 2 ** Math.floor(Math.log2(bytes)) / 8);
  }
  return all;
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
