import { describe, expect, test } from "vitest";
import { Buddy, NumberRange, Tlsf } from "@pagewright/heap";
import type { Allocator } from "@pagewright/heap";
import { countingWords } from "@pagewright/heap/testing";
import { seeded } from "../src/testing/case.ts";

/** The largest number of reads and writes of state that any single operation takes over sequences made to be bad. */
function worstSteps(heap: Allocator, bytes: number, counter: { steps: number }): number {
  let worst = 0;
  const measured = <T>(work: () => T): T => {
    counter.steps = 0;
    const result = work();
    worst = Math.max(worst, counter.steps);
    return result;
  };
  const random = seeded(bytes);
  const fill = (size: () => number): number[] => {
    const blocks: number[] = [];
    while (blocks.length < 4000) {
      const block = measured(() => heap.allocate(size()));
      if (block === -1) break;
      blocks.push(block);
    }
    return blocks;
  };
  const freeAll = (blocks: readonly number[]): void => {
    for (const block of blocks) measured(() => heap.free(block));
  };
  // Combs of holes that fit nothing, sizes one above each power of two, all sizes at once, everything merged at the end.
  for (const comb of [16, 40, 250, 1000]) {
    const blocks = fill(() => comb);
    freeAll(blocks.filter((_, at) => at % 2 === 0));
    freeAll(fill(() => comb * 2 + 1));
    freeAll(blocks.filter((_, at) => at % 2 === 1));
  }
  freeAll(fill(() => 2 ** (3 + Math.floor(random() * 9)) + 1));
  freeAll(fill(() => 1 + Math.floor(random() * random() * 5000)).sort(() => random() - 0.5));
  // As many blocks held back as can be: each between two that stay, so that none merges before all are let go at once.
  const apart: number[] = [];
  const kept: number[] = [];
  for (let size = 16; size < 4096; size += 16)
    for (let times = 0; times < (size < 256 ? 8 : 2); times++) {
      const block = heap.allocate(size);
      const wall = heap.allocate(16);
      if (block !== -1) apart.push(block);
      if (wall !== -1) kept.push(wall);
    }
  freeAll(apart);
  const rest = measured(() => heap.allocate(bytes));
  expect(rest).toBe(-1);
  freeAll(kept);
  const one = measured(() => heap.allocate(bytes / 2));
  expect(one).not.toBe(-1);
  measured(() => heap.free(one));
  return worst;
}

describe("steps per operation", () => {
  test("of TLSF are bounded by the same constant in a small and in a 256 times larger heap", () => {
    const worst = [2 ** 16, 2 ** 24].map((bytes) => {
      const counter = { steps: 0 };
      const wordsFor = (words: number): Int32Array => countingWords(new Int32Array(words), counter).words;
      const heap = new Tlsf(new NumberRange(0, bytes), { chunkBytes: bytes, granule: 16, wordsFor });
      heap.free(heap.allocate(16));
      return worstSteps(heap, bytes, counter);
    });
    // Letting go of all blocks that are held back is the longest that an operation takes: 7 of each of the 15 sizes below 64 words that a granule of 4 words
    // makes, merged in at most 26 reads and writes each, and a look at each of the 64 sizes.
    for (const steps of worst) expect(steps).toBeLessThan(7 * 15 * 26 + 64 * 8);
  });

  test("of the buddy heap are bounded by orders times levels", () => {
    for (const orders of [12, 18]) {
      const counter = { steps: 0 };
      const wordsFor = (words: number): Int32Array => countingWords(new Int32Array(words), counter).words;
      const bytes = 2 ** (orders + 4);
      const heap = new Buddy(new NumberRange(0, bytes), { bytes, minBytes: 16, wordsFor });
      const levels = Math.ceil(orders / 5);
      expect(worstSteps(heap, bytes, counter)).toBeLessThan((orders + 1) * (4 * levels + 4));
    }
  });
});
