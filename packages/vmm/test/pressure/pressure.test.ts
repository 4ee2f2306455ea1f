import fc from "fast-check";
import { describe, expect, test } from "vitest";

import { isVmmError } from "../../src/errors.ts";
import { chooseVictim, type OutOfMemoryCandidate } from "../../src/pressure/out-of-memory.ts";
import { PressureGauge } from "../../src/pressure/pressure-gauge.ts";
import { NEVER_DROPPED, NOT_DROPPED, PurgeableRanges } from "../../src/pressure/purgeable.ts";
import { Shrinkers } from "../../src/pressure/shrinkers.ts";

function codeOf(action: () => unknown): unknown {
  try {
    action();
  } catch (error) {
    return isVmmError(error) ? error.code : error;
  }
  return "nothing thrown";
}

describe("the pressure gauge", () => {
  test("enters a level at its mark and leaves it at the next one", () => {
    const seen: string[] = [];
    const gauge = new PressureGauge({ min: 10, low: 20, high: 40 }, (level, free) =>
      seen.push(`${level} at ${String(free)}`),
    );
    for (const free of [50, 20, 19, 25, 39, 9, 15, 19, 20, 30, 40, 19, 41]) gauge.update(free);
    expect(seen).toEqual(["low at 19", "min at 9", "low at 20", "none at 40", "low at 19", "none at 41"]);
    gauge.update(15);
    expect(gauge.wanted(15)).toBe(25);
    gauge.check();
  });

  test("refuses watermarks out of order", () => {
    expect(codeOf(() => new PressureGauge({ min: 5, low: 5, high: 9 }))).toBe("bad-argument");
  });
});

describe("shrinkers", () => {
  test("are asked in order of priority, for what the others left, and each is held to what it gave", () => {
    const shrinkers = new Shrinkers();
    const asked: string[] = [];
    const cache = (name: string, priority: number, has: number) => ({
      name,
      priority,
      shrink(pages: number): number {
        asked.push(`${name} ${String(pages)}`);
        const gave = Math.min(pages, has);
        has -= gave;
        return gave;
      },
    });
    shrinkers.add(cache("web", 2, 100));
    const remove = shrinkers.add(cache("files", 1, 7));
    shrinkers.check();
    expect(shrinkers.shrink(10)).toEqual([
      { name: "files", asked: 10, gave: 7 },
      { name: "web", asked: 3, gave: 3 },
    ]);
    remove();
    shrinkers.shrink(5);
    expect(asked).toEqual(["files 10", "web 3", "web 5"]);
    expect(shrinkers.stats()).toEqual([{ name: "web", priority: 2, rounds: 2, gave: 8, failures: 0 }]);
  });

  test("that throw or lie are reported, and the next is asked; none is asked from within a round", () => {
    const shrinkers = new Shrinkers();
    shrinkers.add({
      name: "throws",
      priority: 0,
      shrink: () => {
        throw new Error("no");
      },
    });
    shrinkers.add({ name: "lies", priority: 1, shrink: () => -4 });
    let nested: unknown;
    shrinkers.add({ name: "nests", priority: 2, shrink: (pages) => ((nested = shrinkers.shrink(1)), pages) });
    const results = shrinkers.shrink(3);
    expect(results.map(({ name, gave }) => [name, gave])).toEqual([
      ["throws", 0],
      ["lies", 0],
      ["nests", 3],
    ]);
    expect(String(results[0]?.error)).toContain("no");
    expect(nested).toEqual([]);
  });
});

describe("purgeable ranges", () => {
  test("that cannot be dropped now stay volatile, in their order, and count as intact", () => {
    let isRefused = true;
    const dropped: number[] = [];
    const ranges = new PurgeableRanges((range) => (isRefused && range < 3 ? NOT_DROPPED : (dropped.push(range), 10)));
    for (const range of [1, 2, 3]) ranges.add(range);
    for (const range of [1, 2, 3]) ranges.release(range);
    expect(ranges.purge(15)).toBe(10);
    expect([ranges.purgedRanges, ranges.purgedPages]).toEqual([1, 10]);
    ranges.check();
    expect(ranges.hold(2)).toBe("intact");
    ranges.release(2);
    isRefused = false;
    expect(ranges.purge(15)).toBe(20);
    expect(dropped).toEqual([3, 1, 2]);
  });

  test("that can never be dropped again are looked at once after each release, and stay intact", () => {
    const looked: number[] = [];
    const ranges = new PurgeableRanges((range) => (looked.push(range), range === 1 ? NEVER_DROPPED : NOT_DROPPED));
    for (const range of [1, 2]) ranges.add(range);
    for (const range of [1, 2]) ranges.release(range);
    for (let round = 0; round < 3; round++) expect(ranges.purge(5)).toBe(0);
    expect(looked).toEqual([1, 2, 2, 2]);
    expect(ranges.hold(1)).toBe("intact");
    ranges.check();
    ranges.release(1);
    for (let round = 0; round < 2; round++) ranges.purge(5);
    expect(looked).toEqual([1, 2, 2, 2, 2, 1, 2]);
    ranges.check();
    ranges.remove(1);
    expect([ranges.purgedRanges, ranges.purgedPages]).toEqual([0, 0]);
  });

  test("are dropped volatile-longest first, and their owner is told once", () => {
    const dropped: number[] = [];
    const ranges = new PurgeableRanges((range) => (dropped.push(range), 10));
    for (const range of [1, 2, 300]) ranges.add(range);
    for (const range of [2, 1]) ranges.release(range);
    expect(ranges.purge(15)).toBe(20);
    expect(dropped).toEqual([2, 1]);
    expect(ranges.purge(1)).toBe(0);
    expect([ranges.hold(2), ranges.hold(2), ranges.hold(300)]).toEqual(["purged", "intact", "intact"]);
    ranges.release(2);
    expect(ranges.purge(1)).toBe(0);
    ranges.remove(1);
    expect(codeOf(() => ranges.hold(1))).toBe("destroyed");
    ranges.check();
  });

  test("agree with a plain model in any order", () => {
    const step = fc.tuple(fc.constantFrom("add", "hold", "release", "remove", "purge"), fc.nat(20));
    fc.assert(
      fc.property(fc.array(step, { maxLength: 200 }), (steps) => {
        const ranges = new PurgeableRanges(() => 1);
        const model = new Map<number, { holds: number; purged: boolean; since: number }>();
        let clock = 0;
        for (const [kind, range] of steps) {
          const entry = model.get(range);
          clock++;
          if (kind === "purge") {
            const volatile = [...model].filter(([, { holds, purged }]) => holds === 0 && !purged);
            const going = volatile.sort(([, a], [, b]) => a.since - b.since).slice(0, range);
            for (const [, state] of going) state.purged = true;
            expect(ranges.purge(range)).toBe(going.length);
          } else if (kind === "add") {
            if (entry !== undefined) expect(codeOf(() => ranges.add(range))).toBe("bad-argument");
            else {
              ranges.add(range);
              model.set(range, { holds: 1, purged: false, since: 0 });
            }
          } else if (entry === undefined) expect(codeOf(() => ranges.hold(range))).toBe("destroyed");
          else if (kind === "hold") {
            expect(ranges.hold(range)).toBe(entry.purged ? "purged" : "intact");
            entry.holds++;
            entry.purged = false;
          } else if (kind === "remove") {
            ranges.remove(range);
            model.delete(range);
          } else if (entry.holds === 0) expect(codeOf(() => ranges.release(range))).toBe("unbalanced");
          else {
            ranges.release(range);
            entry.holds--;
            entry.since = clock;
          }
          ranges.check();
        }
      }),
    );
  });
});

describe("the choice when memory is out", () => {
  const candidate = (
    id: number,
    residentPages: number,
    more: Partial<OutOfMemoryCandidate> = {},
  ): OutOfMemoryCandidate => ({
    id,
    name: `space ${String(id)}`,
    residentPages,
    swappedPages: 0,
    tablePages: 1,
    adjustment: 0,
    ...more,
  });

  test("falls on who sets the most free, and says why", () => {
    const { victim, scores } = chooseVictim([candidate(1, 100), candidate(2, 90, { swappedPages: 20 })], 1000);
    expect(victim?.id).toBe(2);
    expect(scores[0]?.because).toBe("space 2 would free 111: 90 resident + 20 swapped + 1 table pages");
  });

  test("is shifted by adjustments, spares the exempt, and may fall on nobody", () => {
    const shifted = chooseVictim([candidate(1, 500), candidate(2, 100, { adjustment: 500 })], 1000);
    expect(shifted.victim?.id).toBe(2);
    expect(shifted.scores[0]?.because).toContain("+ 500 by adjustment 500");
    const spared = [candidate(1, 500, { adjustment: -1000 }), candidate(2, 9, { exempt: "it is going already" })];
    expect(chooseVictim(spared, 1000)).toMatchObject({ victim: null });
    expect(chooseVictim([], 1000).victim).toBe(null);
    expect(codeOf(() => chooseVictim([candidate(1, 1, { adjustment: 1001 })], 10))).toBe("out-of-range");
  });

  test("is the policy's, if another is given", () => {
    const youngest = { score: (one: OutOfMemoryCandidate) => ({ candidate: one, score: one.id, because: "youngest" }) };
    expect(chooseVictim([candidate(1, 500), candidate(7, 1)], 1000, youngest).victim?.id).toBe(7);
  });
});
