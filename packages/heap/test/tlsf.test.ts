import { describe, expect, test } from "vitest";
import { BufferMemory, NumberRange, Tlsf } from "@pagewright/heap";
import { wideMemory } from "./memories.ts";

describe("TLSF", () => {
  test("serves addresses up to 2 GiB, none beyond, and finds them again", () => {
    const memory = wideMemory();
    const heap = new Tlsf(memory);
    const blocks: number[] = [];
    for (let block = heap.allocate(2 ** 20); block !== -1; block = heap.allocate(2 ** 20)) blocks.push(block);
    expect(blocks.length).toBeGreaterThan(2000);
    expect(Math.max(...blocks)).toBeGreaterThan(2 ** 31 - 2 ** 22);
    heap.check();
    for (const block of blocks) {
      expect(heap.owns(block)).toBe(true);
      heap.free(block);
      expect(() => heap.free(block)).toThrow(expect.objectContaining({ code: "double-free" }));
    }
    heap.check();
    expect(heap.allocate(2 ** 30 - 1)).not.toBe(-1);
    expect(heap.allocate(2 ** 30)).toBe(-1);
    expect(() => heap.free(2 ** 33 + 8)).toThrow(expect.objectContaining({ code: "wild-free" }));
    heap.destroy();
  });

  test("gives back what lies beyond the addresses that it can name", () => {
    const range = new NumberRange(2 ** 31 - 2 ** 16, 2 ** 32);
    const words = new Int32Array(0);
    const memory = {
      words,
      reserve: (bytes: number, alignment: number) => range.reserve(bytes, alignment),
      release: (address: number, bytes: number) => range.release(address, bytes),
      fill: () => undefined,
      copy: () => undefined,
      load32: () => 0,
      store32: () => undefined,
    };
    const heap = new Tlsf(memory);
    expect(heap.allocate(2 ** 17)).toBe(-1);
    expect(range.top).toBe(range.start);
    heap.check();
  });

  test("lets a block grow into a neighbour that is held back, and keeps the others held back", () => {
    const heap = new Tlsf(new BufferMemory(new ArrayBuffer(65536)));
    const [first = 0, second = 0, third = 0] = [40, 40, 40, 40].map((size) => heap.allocate(size));
    const wall = heap.allocate(40);
    heap.allocate(40);
    heap.free(wall);
    heap.free(second);
    expect(heap.resize(first, 80)).toBe(first);
    heap.check();
    expect(heap.allocate(40)).toBe(wall);
    expect(heap.owns(third)).toBe(true);
  });

  test("never hands out address 0", () => {
    const heap = new Tlsf(new BufferMemory(new ArrayBuffer(4096)));
    expect(heap.allocate(1)).toBe(8);
    heap.check();
    heap.reset();
    heap.check();
  });

  test("aligns a block far beyond what is free: it takes the memory for it", () => {
    for (const [before, alignment] of [
      [2 ** 12, 2 ** 20],
      [2 ** 16, 2 ** 22],
      [2 ** 21, 2 ** 24],
    ] as const) {
      const heap = new Tlsf(new BufferMemory(new ArrayBuffer(2 ** 26)));
      heap.allocate(100, before);
      const block = heap.allocate(10, alignment);
      expect(block).toBeGreaterThanOrEqual(0);
      expect(block % alignment).toBe(0);
      heap.check();
    }
  });
});
