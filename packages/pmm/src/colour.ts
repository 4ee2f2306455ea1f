/* Cache colours: frames whose lines meet in the same sets of a physically indexed cache have one colour. */
import { PmmError } from "./errors.ts";
import { FRAME_BYTES } from "./units.ts";
import type { Pfn } from "./units.ts";

/** A physically indexed, set-associative cache. */
export interface CacheGeometry {
  /** Bytes altogether. */
  readonly bytes: number;
  /** Lines per set. */
  readonly ways: number;
}

/** Colours of a cache: bytes per way / bytes per frame, at least 1. Throws `bad-argument` unless that is a power of two ≤ 64. */
export function coloursOf({ bytes, ways }: CacheGeometry): number {
  const colours = Math.max(1, bytes / ways / FRAME_BYTES);
  if (!Number.isInteger(Math.log2(colours)) || colours > 64) {
    throw new PmmError("bad-argument", `The cache has ${colours} colours: a power of two up to 64 is needed`);
  }
  return colours;
}

/** The colour of a frame. */
export function colourOf(pfn: Pfn, colours: number): number {
  return pfn - Math.floor(pfn / colours) * colours;
}
