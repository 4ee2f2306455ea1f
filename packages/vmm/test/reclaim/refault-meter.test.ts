import { describe, expect, test } from "vitest";

import { Lru } from "../../src/reclaim/policies/lru.ts";
import { RefaultMeter } from "../../src/reclaim/refault-meter.ts";

/** A loop over `pages` pages in `frames` frames under LRU, the worst case: every use is a refault. */
function loop(pages: number, frames: number, rounds: number): RefaultMeter {
  const meter = new RefaultMeter(pages);
  const policy = new Lru(pages);
  const resident = new Set<number>();
  for (let i = 0; i < pages * rounds; i++) {
    const slot = i % pages;
    if (resident.has(slot)) {
      policy.accessed(slot);
      continue;
    }
    if (resident.size === frames) {
      const victim = policy.evict();
      resident.delete(victim);
      meter.evicted(victim);
    }
    meter.inserted(slot, resident.size);
    policy.insert(slot);
    resident.add(slot);
    meter.check();
  }
  return meter;
}

describe("the refault meter", () => {
  test("a loop that is a few pages too large says how many are missing", () => {
    const meter = loop(120, 100, 10);
    const { refaults, workingSetRefaults, workingSetFrames } = meter.stats();
    expect(refaults).toBe(120 * 9);
    expect(workingSetRefaults).toBe(refaults);
    expect(workingSetFrames).toBeGreaterThanOrEqual(120);
    expect(workingSetFrames).toBeLessThanOrEqual(100 + 31);
    expect(meter.savedBy(8)).toBe(0);
    expect(meter.savedBy(31)).toBe(1);
  });

  test("a scan of pages that are long gone is no working set", () => {
    const { refaults, workingSetRefaults } = loop(1000, 100, 3).stats();
    expect([refaults, workingSetRefaults]).toEqual([2000, 0]);
  });

  test("a first use and a forgotten page are no refaults, and age() keeps the counts", () => {
    const meter = new RefaultMeter(2);
    expect(meter.inserted(0, 1)).toBe(-1);
    meter.evicted(0);
    meter.forget(0);
    expect(meter.inserted(0, 1)).toBe(-1);
    meter.grow(9);
    for (let i = 0; i < 8; i++) {
      meter.evicted(8);
      expect(meter.inserted(8, 1)).toBe(0);
    }
    meter.age();
    expect(meter.stats()).toMatchObject({ evictions: 9, refaults: 8, workingSetFrames: 1 });
    meter.check();
  });
});
