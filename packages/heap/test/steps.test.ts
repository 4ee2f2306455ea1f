import { afterEach, describe, expect, test, vi } from "vitest";
import { Buddy, NO_ADDRESS, NumberRange, Tlsf } from "@pagewright/heap";
import type { Allocator, WordMemory } from "@pagewright/heap";
import { countingWords } from "@pagewright/heap/testing";
import { seeded } from "../src/testing/case.ts";
import { SplitMemory } from "./memories.ts";

/** The largest number of reads and writes of state that any single operation of a kind takes over sequences made to be bad. */
interface Worst {
  allocate: number;
  aligned: number;
  free: number;
  /** In place: shorter, longer, or not possible. */
  resize: number;
  /** By moving, or in search of a place to move to. */
  move: number;
}

function worstSteps(heap: Allocator, bytes: number, counter: { steps: number }): Worst {
  const worst: Worst = { allocate: 0, aligned: 0, free: 0, resize: 0, move: 0 };
  const measured = <T>(kind: keyof Worst | ((result: T) => keyof Worst), work: () => T): T => {
    counter.steps = 0;
    const result = work();
    const of = typeof kind === "string" ? kind : kind(result);
    worst[of] = Math.max(worst[of], counter.steps);
    return result;
  };
  const random = seeded(bytes);
  const fill = (size: () => number, alignment = 0): number[] => {
    const blocks: number[] = [];
    while (blocks.length < (alignment === 0 ? 3000 : 500)) {
      const block = measured(alignment === 0 ? "allocate" : "aligned", () => heap.allocate(size(), alignment));
      if (block === NO_ADDRESS) break;
      blocks.push(block);
    }
    return blocks;
  };
  const freeAll = (blocks: readonly number[]): void => {
    for (const block of blocks) measured("free", () => heap.free(block));
  };
  const resizeAll = (blocks: readonly number[], size: () => number): number[] =>
    blocks.map((block) => {
      const to = measured(
        (result: number) => (result === block ? "resize" : "move"),
        () => heap.resize(block, size()),
      );
      return to === NO_ADDRESS ? block : to;
    });
  // Combs of holes that fit nothing, sizes one above each power of two, all sizes at once, everything merged at the end.
  for (const comb of [16, 40, 250, 1000]) {
    const blocks = fill(() => comb);
    freeAll(blocks.filter((_, at) => at % 2 === 0));
    freeAll(fill(() => comb * 2 + 1));
    // Holes that are large enough for the size and too small, or at the wrong place, for the alignment.
    for (const alignment of [32, 4096]) freeAll(fill(() => comb, alignment));
    // Into the hole that follows, out of it, further than it reaches, into the last block's free end.
    let rest = blocks.filter((_, at) => at % 2 === 1);
    for (const size of [comb * 2, 1, comb * 5, comb]) rest = resizeAll(rest, () => size);
    freeAll(rest);
  }
  freeAll(fill(() => 2 ** (3 + Math.floor(random() * 9)) + 1));
  const anySize = (): number => 1 + Math.floor(random() * random() * 5000);
  freeAll(resizeAll(fill(anySize), anySize).sort(() => random() - 0.5));
  // As many blocks held back as can be: each between two that stay, so that none merges before all are let go at once.
  const holdBack = (): number[] => {
    const apart: number[] = [];
    const kept: number[] = [];
    for (let size = 16; size < 4096; size += 16)
      for (let times = 0; times < (size < 256 ? 8 : 2); times++) {
        const block = heap.allocate(size);
        const wall = heap.allocate(16);
        if (block !== NO_ADDRESS) apart.push(block);
        if (wall !== NO_ADDRESS) kept.push(wall);
      }
    freeAll(apart);
    return kept;
  };
  for (const work of [
    (): number => measured("allocate", () => heap.allocate(bytes)),
    (): number => measured("aligned", () => heap.allocate(bytes / 2, bytes / 2)),
    (): number => measured("aligned", () => heap.allocate(bytes, 64)),
  ]) {
    const kept = holdBack();
    const block = work();
    if (block !== NO_ADDRESS) measured("free", () => heap.free(block));
    freeAll(kept);
  }
  const kept = holdBack();
  const [first = NO_ADDRESS, ...others] = kept;
  expect(measured("move", () => heap.resize(first, bytes))).toBe(NO_ADDRESS);
  freeAll([first, ...others]);
  // One block from the smallest size to half of everything and back, through all orders.
  let one = [heap.allocate(1)];
  for (const size of [bytes / 2, 1]) one = resizeAll(one, () => size);
  freeAll(one);
  const half = measured("allocate", () => heap.allocate(bytes / 2));
  expect(half).not.toBe(NO_ADDRESS);
  freeAll([half]);
  heap.check();
  return worst;
}

/** Numbers whose bytes can be moved: by not moving any, as what counts are the steps of the allocator. */
class Movable extends NumberRange {
  copies = 0;
  copy(): void {
    this.copies++;
  }
}

/** A memory whose words count how often they are touched, without bytes: what a move copies does not count. */
class CountingMemory extends Movable implements WordMemory {
  readonly words: Int32Array;
  constructor(bytes: number, counter: { steps: number }) {
    super(0, bytes);
    this.words = countingWords(new Int32Array(bytes / 4), counter).words;
  }
  fill(): void {}
  load32(address: number): number {
    return this.words[address / 4]!;
  }
  store32(address: number, value: number): void {
    this.words[address / 4] = value;
  }
}

afterEach(() => {
  vi.unstubAllGlobals();
});

describe("steps per operation", () => {
  test("of TLSF are bounded by the same constants in a small and in a 256 times larger heap", () => {
    let copies = 0;
    for (const bytes of [2 ** 16, 2 ** 24]) {
      const counter = { steps: 0 };
      const source = new CountingMemory(bytes, counter);
      // What the heap makes is counted too.
      const counted = new Proxy(Int32Array, {
        construct: (Made, [words]: [number]) => countingWords(new Made(words), counter).words,
      });
      vi.stubGlobal("Int32Array", counted);
      const heap = new Tlsf(source, { chunkBytes: bytes });
      heap.free(heap.allocate(16));
      const worst = worstSteps(heap, bytes, counter);
      // Letting go of all blocks that are held back is the longest that an operation takes: 7 of each of the 54 even sizes below 112 words,
      // merged in at most 28 reads and writes each, and a look at each of the 112 sizes.
      const lettingGo = 7 * 54 * 28 + 112 * 8;
      expect(worst.allocate).toBeLessThan(lettingGo);
      // Three times a look at four bins, and a block cut out of the middle of another.
      expect(worst.aligned).toBeLessThan(lettingGo + 100);
      expect(worst.free).toBeLessThan(60);
      // Seven blocks of the size of a neighbour that is held back are let go.
      expect(worst.resize).toBeLessThan(7 * 26 + 100);
      expect(worst.move).toBeLessThan(lettingGo + 7 * 26 + 200);
      copies += source.copies;
      vi.unstubAllGlobals();
    }
    expect(copies).toBeGreaterThan(100);
  });

  test("of TLSF include a look at each chunk, of which 1 GiB has fewer than 80", () => {
    const heap = new Tlsf(new SplitMemory(2 ** 31));
    for (let block = 0; block < 2 ** 14; block++) expect(heap.allocate(2 ** 16)).not.toBe(NO_ADDRESS);
    expect(heap.stats().reservedBytes).toBeGreaterThanOrEqual(2 ** 30);
    expect(heap.stats().sourceCalls).toBeLessThan(80);
  });

  test("of the buddy heap are bounded by orders times levels", () => {
    for (const orders of [12, 18]) {
      const counter = { steps: 0 };
      const wordsFor = (words: number): Int32Array => countingWords(new Int32Array(words), counter).words;
      const bytes = 2 ** (orders + 4);
      const source = new Movable(0, bytes);
      const heap = new Buddy(source, { bytes, minBytes: 16, wordsFor });
      const levels = Math.ceil(orders / 5);
      const bound = (orders + 1) * (4 * levels + 4);
      const worst = worstSteps(heap, bytes, counter);
      for (const steps of [worst.allocate, worst.aligned, worst.free]) expect(steps).toBeLessThan(bound);
      expect(worst.resize).toBeLessThan(bound + orders);
      expect(worst.move).toBeLessThan(2 * bound + orders);
      expect(source.copies).toBeGreaterThan(100);
    }
  });
});
