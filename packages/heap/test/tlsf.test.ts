import { describe, expect, test } from "vitest";
import { BufferMemory, NumberRange, Tlsf } from "@pagewright/heap";

describe("TLSF", () => {
  test("with granules of 1 MiB serves addresses beyond 2^32, and finds them again", () => {
    const heap = new Tlsf(new NumberRange(2 ** 40, 2 ** 44), { granule: 2 ** 20 });
    const blocks = Array.from({ length: 9000 }, () => heap.allocate(2 ** 20));
    expect(new Set(blocks).size).toBe(9000);
    expect(Math.min(...blocks)).toBeGreaterThanOrEqual(2 ** 40);
    expect(Math.max(...blocks)).toBeGreaterThanOrEqual(2 ** 40 + 8999 * 2 ** 20);
    heap.check();
    for (const block of blocks) {
      expect(heap.owns(block)).toBe(true);
      heap.free(block);
      expect(() => heap.free(block)).toThrow(expect.objectContaining({ code: "double-free" }));
    }
    heap.check();
    expect(heap.allocate(2 ** 31)).not.toBe(-1);
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

  test("never hands out the first granule of a memory, whichever granule it has", () => {
    for (const granule of [8, 16]) {
      const heap = new Tlsf(new BufferMemory(new ArrayBuffer(4096)), { granule });
      expect(heap.allocate(1)).toBe(2 * granule);
      heap.check();
      heap.reset();
      heap.check();
    }
  });

  test.each(["in-band", "parallel"] as const)(
    "aligns a block far beyond what is free, tags %s: it takes the memory for it",
    (tags) => {
      for (const [before, alignment] of [
        [2 ** 12, 2 ** 20],
        [2 ** 16, 2 ** 22],
        [2 ** 21, 2 ** 24],
      ] as const) {
        const heap = new Tlsf(new BufferMemory(new ArrayBuffer(2 ** 26)), { tags });
        heap.allocate(100, before);
        const block = heap.allocate(10, alignment);
        expect(block).toBeGreaterThanOrEqual(0);
        expect(block % alignment).toBe(0);
        heap.check();
      }
    },
  );
});
