import type { FrameRange, Pfn } from "../src/index.ts";

/** A range of node 0 and rank 0, unless told otherwise. */
export function range(start: Pfn, end: Pfn, more: Partial<FrameRange> = {}): FrameRange {
  return { start, end, node: 0, rank: 0, hotPluggable: false, faulty: [], ...more };
}

/** A small, fast, seeded generator (mulberry32): numbers in [0, 1). */
export function randomOf(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t = (t + Math.imul(t ^ (t >>> 7), t | 61)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}
