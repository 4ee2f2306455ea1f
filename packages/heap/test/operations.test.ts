import { describe, expect, test } from "vitest";
import {
  allocateMany,
  allocateZeroed,
  Arena,
  Buddy,
  BufferMemory,
  freeMany,
  GeneralHeap,
  NumberRange,
  ObjectCache,
  OffsetAllocator,
  Pool,
  Tlsf,
} from "@pagewright/heap";
import type { Allocator } from "@pagewright/heap";

describe("bulk forms", () => {
  test("allocate as many as there is memory for, and say how many", () => {
    const pool = new Pool(new NumberRange(0, 6400), 64);
    const cells = new Float64Array(200).fill(-7);
    expect(allocateMany(pool, cells, 200, 64)).toBe(100);
    expect(new Set(cells.subarray(0, 100)).size).toBe(100);
    expect(cells.subarray(100).every((cell) => cell === -7)).toBe(true);
    freeMany(pool, cells, 100);
    expect(pool.stats().liveBlocks).toBe(0);
  });

  test("allocate nothing where there is no room for the addresses", () => {
    const pool = new Pool(new NumberRange(0, 6400), 64);
    for (const count of [3, Infinity, NaN])
      expect(() => allocateMany(pool, new Float64Array(2), count, 64)).toThrow(
        expect.objectContaining({ code: "bad-option", subject: count }),
      );
    expect(pool.stats().liveBlocks).toBe(0);
  });

  test("free up to the first that is no live block, and nothing after it", () => {
    const pool = new Pool(new NumberRange(0, 6400), 64);
    const cells = new Float64Array(5);
    allocateMany(pool, cells, 5, 64);
    pool.free(cells[2]!);
    expect(() => freeMany(pool, cells, 5)).toThrow(expect.objectContaining({ code: "double-free", subject: cells[2] }));
    expect([...cells].map((cell) => pool.owns(cell))).toEqual([false, false, false, true, true]);
  });

  test("pass alignment and hint on", () => {
    const asked: unknown[] = [];
    const heap = { allocate: (...request: unknown[]) => asked.push(request) };
    allocateMany(heap, new Float64Array(2), 2, 8, 64, 2);
    allocateZeroed(heap, { fill: () => undefined }, 8, 64, 2);
    expect(asked).toEqual(Array.from({ length: 3 }, () => [8, 64, 2]));
  });
});

const over: Readonly<Record<string, (source: BufferMemory) => Allocator>> = {
  Arena: (source) => new Arena(source),
  Pool: (source) => new Pool(source, 64),
  Buddy: (source) => new Buddy(source, { bytes: 2 ** 26, minBytes: 64 }),
  Tlsf: (source) => new Tlsf(source),
  GeneralHeap: (source) => new GeneralHeap(source),
  OffsetAllocator: (source) => new OffsetAllocator(source),
  ObjectCache: (source) => new ObjectCache(source, { objectBytes: 64, slabBytes: 2 ** 20 }),
};

test.each(Object.entries(over))(
  "%s calls its source less than 80 times for a million blocks, and counts each",
  (_, make) => {
    const range = new BufferMemory(new ArrayBuffer(2 ** 28));
    const heap = make(range);
    for (let at = 0; at < 1_000_000; at++) if (heap.allocate(64) === -1) expect.unreachable("there is memory for all");
    expect(heap.stats().sourceCalls).toBe(range.calls);
    expect(range.calls).toBeLessThan(80);
    expect(heap.stats().reservedBytes).toBe(range.top);
  },
);

test.each(Object.entries(over))("%s zeroes memory that was used before", (_, make) => {
  const memory = new BufferMemory(new ArrayBuffer(2 ** 26));
  const heap = make(memory);
  const first = heap.allocate(64);
  memory.fill(first, 64, 0xff);
  heap.free(first);
  const again = allocateZeroed(heap, memory, 64);
  expect(memory.view(again, Uint8Array, 64)).toEqual(new Uint8Array(64));
});
