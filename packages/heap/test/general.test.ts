import { expect, test } from "vitest";
import { BufferMemory, GeneralHeap, Hint, NumberRange } from "@pagewright/heap";
import { countingWords } from "@pagewright/heap/testing";

test("a block shrinks where nothing can move: over plain numbers, and when no memory is left", () => {
  const numbers = new GeneralHeap(new NumberRange(0, 2 ** 20));
  for (const [from, to] of [
    [1000, 10],
    [5000, 100],
    [5000, 2000],
    [100, 0],
  ] as const) {
    const block = numbers.allocate(from);
    expect(numbers.resize(block, to)).toBe(block);
    expect(numbers.usableSize(block)).toBeGreaterThanOrEqual(to);
  }
  numbers.check();
  const memory = new BufferMemory(new ArrayBuffer(2 ** 18));
  const full = new GeneralHeap(memory);
  const block = full.allocate(1000);
  memory.fill(block, 1000, 5);
  while (full.allocate(900) !== -1);
  while (full.allocate(8) !== -1);
  expect(full.resize(block, 10)).toBe(block);
  expect(memory.load32(block + 4)).toBe(0x05050505);
  expect(full.resize(block, 5000)).toBe(-1);
  full.check();
});

test("a heap that is full looks at its slabs once, and again only when something was freed", () => {
  const counter = { steps: 0 };
  const wordsFor = (words: number): Int32Array => countingWords(new Int32Array(words), counter).words;
  const heap = new GeneralHeap(new NumberRange(0, 2 ** 21), { wordsFor });
  const blocks: number[] = [];
  for (let block = heap.allocate(64); block !== -1; block = heap.allocate(64)) blocks.push(block);
  expect(blocks.length).toBeGreaterThan(2 ** 14);
  // Every slab has free slots, and none is wholly free.
  blocks.forEach((block, at) => at % 2 === 0 && heap.free(block));
  const failing = (): number => {
    counter.steps = 0;
    expect(heap.allocate(2048)).toBe(-1);
    return counter.steps;
  };
  expect(failing()).toBeGreaterThan(1000);
  for (let times = 0; times < 3; times++) expect(failing()).toBeLessThan(500);
  // So many that they do not fit into a magazine.
  blocks.forEach((block, at) => at % 2 === 1 && at < 2 ** 13 && heap.free(block));
  expect(heap.allocate(2048)).not.toBe(-1);
  heap.check();
});

test("a slab whose blocks were all freed past a full magazine that has been emptied since is found when memory runs out", () => {
  const heap = new GeneralHeap(new NumberRange(0, 2 ** 18));
  const blocks: number[] = [];
  for (let block = heap.allocate(64); block !== -1; block = heap.allocate(64)) blocks.push(block);
  expect(heap.allocate(2048)).toBe(-1);
  for (const block of blocks) heap.free(block);
  // What is in the magazine, and no more.
  for (let times = 0; times < 61; times++) expect(heap.allocate(64)).not.toBe(-1);
  for (let times = 0; times < 20; times++) expect(heap.allocate(4096)).not.toBe(-1);
  heap.check();
});

test("what was freed in a size is merged when another size needs it, and when a block grows", () => {
  const heap = new GeneralHeap(new BufferMemory(new ArrayBuffer(2 ** 18)));
  const blocks: number[] = [];
  for (let block = heap.allocate(2000); block !== -1; block = heap.allocate(2000)) blocks.push(block);
  const [first = -1, second = -1, ...others] = blocks;
  heap.free(second);
  expect(heap.owns(second)).toBe(false);
  expect(() => heap.free(second)).toThrow(expect.objectContaining({ code: "double-free" }));
  expect(heap.resize(first, 4000)).toBe(first);
  heap.check();
  for (const block of [first, ...others]) heap.free(block);
  heap.check();
  expect(heap.allocate(2 ** 18 - 8192)).not.toBe(-1);
  heap.check();
});

test("a block that moves when it is resized keeps no hint but the one that is given then", () => {
  const heap = new GeneralHeap(new BufferMemory(new ArrayBuffer(65536)));
  const slabOf = (address: number): number => Math.floor(address / 4096);
  const plain = slabOf(heap.allocate(500));
  const long = slabOf(heap.allocate(500, 0, Hint.longLived));
  const moved = [0, 1].map(() => heap.allocate(40, 0, Hint.longLived));
  expect(slabOf(heap.resize(moved[0] ?? 0, 500))).toBe(plain);
  expect(slabOf(heap.resize(moved[1] ?? 0, 500, 0, Hint.longLived))).toBe(long);
  expect(long).not.toBe(plain);
});

test("sizes near 2^32 are nowhere, and one above 1 GiB can be had", () => {
  const heap = new GeneralHeap(new NumberRange(0, 2 ** 32));
  for (const size of [2 ** 32 - 1, 2 ** 32 - 127, 2 ** 32 - 128, 2 ** 32]) expect(heap.allocate(size)).toBe(-1);
  const block = heap.allocate(2 ** 30 + 1);
  expect(heap.usableSize(block)).toBe(2 ** 30 + 128);
  expect(heap.resize(block, 2 ** 32 - 1)).toBe(-1);
  heap.free(block);
  heap.check();
});
