/** What the benchmarks share: a flat physical memory, pages in scattered frames, and the way figures are printed. */

import { attributes, Mapper, MODE_4_LEVEL, NO_FRAME } from "@pagewright/x86-paging";
import type { Pfn, TableMemory } from "@pagewright/x86-paging";

/** One figure of a benchmark. */
export interface Figure {
  readonly metric: string;
  readonly value: number;
  readonly unit: string;
  readonly ratioTo?: string;
  readonly ratio?: number;
}

/** Prints figures: for people, or one JSON line each with `--json`. */
export function report(bench: string, figures: readonly Figure[]): void {
  for (const figure of figures) {
    if (process.argv.includes("--json")) console.log(JSON.stringify({ bench, ...figure }));
    else {
      const ratio = figure.ratio === undefined ? "" : `  ${figure.ratio.toFixed(2)} × ${figure.ratioTo ?? ""}`;
      console.log(`${bench}: ${figure.metric}: ${figure.value.toFixed(2)} ${figure.unit}${ratio}`);
    }
  }
}

/** Physical memory in one array: frame n is words 1024n … 1024n + 1023. */
export function flatMemory(frames: number): { words: Uint32Array; memory: TableMemory } {
  const words = new Uint32Array(frames * 1024);
  return { words, memory: { words: () => words, base: (pfn: Pfn) => pfn * 1024 } };
}

/** A seeded generator of numbers in [0, 1). */
export function generator(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 4294967296;
  };
}

function shuffle(list: number[], random: () => number): number[] {
  for (let i = list.length - 1; i > 0; i--) {
    const j = Math.floor(random() * (i + 1));
    [list[i], list[j]] = [list[j] ?? 0, list[i] ?? 0];
  }
  return list;
}

/** `pages` pages in random frames at a kernel address; `order` holds (low, high) words, signed, in random order. */
export function scattered(pages: number): { words: Uint32Array; memory: TableMemory; root: Pfn; order: Int32Array } {
  const random = generator(1);
  const { words, memory } = flatMemory(1024);
  let next = 1;
  const frames = { take: () => (next < 1024 ? next++ : NO_FRAME), give: () => undefined };
  const mapper = new Mapper({ mode: MODE_4_LEVEL, memory, frames }, 0);
  const targets = shuffle(
    Array.from({ length: pages }, (_, i) => 1024 + i),
    random,
  );
  const packed = attributes({ write: true, accessed: true, dirty: true });
  const start = -(2 ** 35);
  targets.forEach((pfn, i) => mapper.map(start + i, 1, pfn, packed));
  const order = new Int32Array(pages * 2);
  shuffle(
    Array.from({ length: pages }, (_, i) => i),
    random,
  ).forEach((page, i) => {
    order[2 * i] = ((page * 4096) >>> 0) + 0x123;
    order[2 * i + 1] = 0xffff8000;
  });
  return { words, memory, root: 0, order };
}

/** The best time of a call of `run`, which makes `calls` of what is measured, in nanoseconds per call; `run` must not return 0. */
export function nsPerCall(run: () => number, calls: number): number {
  let best = Infinity;
  for (let i = 0; i < 30; i++) {
    const start = performance.now();
    for (let round = 0; round < 3; round++) if (run() === 0) throw new Error("nothing was found");
    best = Math.min(best, ((performance.now() - start) * 1e6) / (3 * calls));
  }
  return best;
}
