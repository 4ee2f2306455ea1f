import { describe, expect, test } from "vitest";
import { NumberRange, OffsetAllocator } from "@pagewright/heap";
import { seeded } from "../src/testing/case.ts";
import { SplitRange } from "./memories.ts";

describe("granules", () => {
  test.each([1, 3, 12, 100, 256, 2 ** 33, 3 * 2 ** 34])(
    "of %d: every range is aligned as asked, holds what was asked for and overlaps no other",
    (granule) => {
      for (let seed = 1; seed <= 3; seed++) {
        const random = seeded(seed);
        const start = Math.floor(random() * 1000) * granule + Math.floor(random() * granule);
        const heap = new OffsetAllocator(new NumberRange(start, start + granule * 5000), {
          granule,
          chunkBytes: granule * 50,
        });
        const live: { address: number; end: number }[] = [];
        for (let at = 0; at < 400; at++) {
          const size = Math.floor(random() * 20 * granule);
          const alignment = random() < 0.5 ? 0 : 2 ** Math.floor(random() * 8);
          const address = heap.allocate(size, alignment);
          if (address !== -1) {
            const end = address + heap.usableSize(address);
            expect(end - address).toBeGreaterThanOrEqual(size);
            expect(address % granule).toBe(0);
            if (alignment > 0) expect(address % alignment).toBe(0);
            expect(live.every((other) => end <= other.address || address >= other.end)).toBe(true);
            live.push({ address, end });
          }
          if (random() < 0.45) {
            const [freed] = live.splice(Math.floor(random() * live.length), 1);
            if (freed !== undefined) heap.free(freed.address);
          }
          heap.check();
        }
        for (const { address } of live) heap.free(address);
        heap.check();
        expect(heap.stats()).toMatchObject({ liveBlocks: 0, liveBytes: 0 });
      }
    },
  );

  test("of 12 are aligned to 1 GiB at once, not one by one", () => {
    const heap = new OffsetAllocator(new NumberRange(0, 2 ** 45), { granule: 12 });
    heap.allocate(1);
    const address = heap.allocate(5, 2 ** 30);
    expect(address % 2 ** 30).toBe(0);
    expect(address % 12).toBe(0);
    heap.check();
  });

  test("that are no whole numbers above 0 are refused", () => {
    for (const granule of [0, -8, 1.5, NaN, Infinity])
      expect(() => new OffsetAllocator(new NumberRange(0, 100), { granule })).toThrow(
        expect.objectContaining({ code: "bad-option" }),
      );
  });
});

describe("exhaustion", () => {
  test("is only told where no free range fits, aligned or not", () => {
    const heap = new OffsetAllocator(new NumberRange(0, 65536), { granule: 256, chunkBytes: 256 });
    const whole = heap.allocate(65536, 4096);
    expect(whole).toBe(0);
    heap.free(whole);
    // Holes of 17, 18 and 19 granules are in one bin: the last that is freed is the first of it, and the smallest.
    const holes = [19, 18, 17].map((granules) => {
      const hole = heap.allocate(granules * 256);
      expect(heap.allocate(256)).not.toBe(-1);
      return hole;
    });
    while (heap.allocate(256) !== -1);
    for (const hole of holes) heap.free(hole);
    expect(heap.allocate(19 * 256)).toBe(holes[0]);
    expect(heap.allocate(18 * 256)).toBe(holes[1]);
    expect(heap.allocate(18 * 256)).toBe(-1);
    heap.check();
  });

  test("costs no look at every range", () => {
    const range = new NumberRange(0, 2 ** 20);
    const heap = new OffsetAllocator(range);
    let ranges = 0;
    while (heap.allocate(8) !== -1) ranges++;
    expect(ranges).toBe(2 ** 17);
    const calls = range.calls;
    expect(heap.allocate(8)).toBe(-1);
    expect(range.calls - calls).toBeLessThanOrEqual(4);
  });
});

describe("memory", () => {
  test("at the end of the last chunk lets the last range grow in place, as far as the source has more", () => {
    const range = new NumberRange(0, 2 ** 20);
    const heap = new OffsetAllocator(range, { chunkBytes: 4096 });
    const only = heap.allocate(4096);
    expect(heap.resize(only, 100_000)).toBe(only);
    expect(heap.resize(only, 2 ** 20)).toBe(only);
    expect(heap.resize(only, 2 ** 20 + 8)).toBe(-1);
    expect(heap.usableSize(only)).toBe(2 ** 20);
    expect(heap.resize(only, 8)).toBe(only);
    heap.check();
    expect(heap.allocate(2 ** 20 - 8)).toBe(8);
  });

  test("is given back from the ends of all chunks by trim, what is free between live ranges discarded", () => {
    for (const source of [new NumberRange(0, 2 ** 20), new SplitRange(2 ** 22)]) {
      const discarded: number[] = [];
      const seen = {
        reserve: (bytes: number, alignment: number) => source.reserve(bytes, alignment),
        release: (address: number, bytes: number) => source.release(address, bytes),
        discard: (address: number) => discarded.push(address),
      };
      const heap = new OffsetAllocator(seen, { chunkBytes: 200_000 });
      const blocks = Array.from({ length: 20 }, () => heap.allocate(40_000));
      const [kept = -1] = blocks.splice(2, 1);
      for (const block of blocks) heap.free(block);
      heap.trim();
      heap.check();
      expect(heap.stats().reservedBytes).toBeLessThan(200_000);
      expect(discarded.length).toBeGreaterThan(0);
      heap.free(kept);
      heap.trim();
      heap.check();
      expect(heap.stats().reservedBytes).toBe(0);
      expect(source.reserve(400_000, 8)).not.toBe(-1);
    }
  });

  test("is given back by itself with a clock, but for what is retained", () => {
    let now = 0;
    const options = { clock: { now: () => now }, retainMs: 1000, retainBytes: 65536 };
    const heap = new OffsetAllocator(new NumberRange(0, 2 ** 24), options);
    const fill = (): number[] => Array.from({ length: 100 }, () => heap.allocate(10_000));
    for (const block of fill()) heap.free(block);
    expect(heap.stats().reservedBytes).toBeGreaterThan(1_000_000);
    const again = fill();
    now = 5000;
    for (const block of again) heap.free(block);
    expect(heap.stats().reservedBytes).toBe(65536);
    heap.check();
    expect(fill().every((block) => block !== -1)).toBe(true);
    heap.check();
  });

  test("stays reserved over a reset, and is one free range again in each chunk", () => {
    const heap = new OffsetAllocator(new SplitRange(2 ** 20), { chunkBytes: 65536 });
    for (let at = 0; at < 1000; at++) heap.allocate(500);
    const { reservedBytes } = heap.stats();
    heap.reset();
    heap.check();
    expect(heap.stats()).toMatchObject({ reservedBytes, liveBlocks: 0 });
    for (let at = 0; at < 1000; at++) expect(heap.allocate(500)).not.toBe(-1);
    expect(heap.stats().reservedBytes).toBe(reservedBytes);
  });
});
