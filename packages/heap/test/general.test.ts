import { expect, test } from "vitest";
import { BufferMemory, GeneralHeap, NumberRange } from "@pagewright/heap";

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
