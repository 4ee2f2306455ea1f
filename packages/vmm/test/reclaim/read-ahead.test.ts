import fc from "fast-check";
import { describe, expect, test } from "vitest";

import { ReadAhead } from "../../src/reclaim/read-ahead.ts";

/** Reads pages through a cache that never drops; returns misses that waited. */
function read(ahead: ReadAhead, pages: Iterable<number>): number {
  const cached = new Map<number, boolean>();
  let misses = 0;
  for (const page of pages) {
    const fetchedAhead = cached.get(page);
    if (fetchedAhead === undefined) {
      misses++;
      ahead.miss(page);
    } else if (fetchedAhead) ahead.used(page);
    else ahead.count = 0;
    cached.set(page, false);
    for (let i = 0; i < ahead.count; i++) {
      const fetched = ahead.start + i * ahead.stride;
      expect(fetched).toBeGreaterThanOrEqual(0);
      if (!cached.has(fetched)) cached.set(fetched, true);
    }
    ahead.check();
  }
  return misses;
}

function* steps(start: number, stride: number, count: number): Generator<number> {
  for (let i = 0; i < count; i++) yield start + i * stride;
}

describe("read-ahead", () => {
  test.each([
    ["sequential", 1],
    ["sequential", -1],
    ["strided", 8],
    ["strided", -3],
  ] as const)("a %s stream of stride %s waits for its first pages alone", (pattern, stride) => {
    const ahead = new ReadAhead(32);
    expect(read(ahead, steps(10_000, stride, 1000))).toBe(3);
    expect(ahead.stats()).toMatchObject({ pattern, stride, window: 32 });
    expect(ahead.stats().hits).toBe(997);
  });

  test("a random stream fetches next to nothing", () => {
    let state = 1;
    const random = Array.from({ length: 2000 }, () => (state = (state * 48_271) % 2_147_483_647) % 1_000_000);
    const ahead = new ReadAhead(32);
    expect(read(ahead, random)).toBeGreaterThan(1980);
    expect(ahead.stats().fetched).toBeLessThan(20);
    expect(ahead.stats().pattern).toBe("random");
  });

  test("waste makes the window small, use makes it large again", () => {
    const ahead = new ReadAhead(16);
    read(ahead, steps(0, 1, 100));
    expect(ahead.stats().window).toBe(16);
    for (let i = 0; i < 3; i++) ahead.wasted();
    expect(ahead.stats().window).toBe(2);
    read(ahead, steps(1000, 1, 100));
    expect(ahead.stats().window).toBe(16);
  });

  test("advice overrides detection", () => {
    const ahead = new ReadAhead(8);
    ahead.advise("sequential");
    ahead.miss(5);
    expect([ahead.start, ahead.stride, ahead.count]).toEqual([6, 1, 8]);
    ahead.advise("random");
    ahead.miss(6);
    expect(ahead.count).toBe(0);
  });

  test("never fetches a page before the first, and never counts more than it fetched", () => {
    fc.assert(
      fc.property(fc.array(fc.nat(40), { maxLength: 100 }), fc.integer({ min: 1, max: 9 }), (pages, window) => {
        read(new ReadAhead(window), pages);
      }),
    );
  });
});
