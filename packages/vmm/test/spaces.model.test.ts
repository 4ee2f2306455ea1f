/** Every operation on spaces and objects, at random, against a Map of pages: compared in full after each step. */
import { describe, expect, test } from "vitest";

import { NEVER, run } from "./model/run.ts";

const SEEDS = [1, 2, 3, 4, 5, 6, 7, 8];
const STEPS = 250;

/** How often each step came to what, in all worlds. */
const counts = new Map<string, number>();

async function runCounted(seed: number, odds: number): Promise<number> {
  const world = await run({ seed, odds, steps: STEPS });
  for (const [name, count] of world.counts) counts.set(name, (counts.get(name) ?? 0) + count);
  return world.coin.failures;
}

describe("random operations on several spaces and objects agree with a Map of pages", () => {
  for (const seed of SEEDS)
    test(`seed ${seed}, ports that work`, async () => {
      expect(await runCounted(seed, NEVER)).toBe(0);
    });
});

describe("the same while frames, runs of frames, swap and files fail", () => {
  for (const odds of [15, 4])
    for (const seed of SEEDS)
      test(`seed ${seed + 100 * odds}, one port call in ${odds} fails`, async () => {
        expect(await runCounted(seed + 100 * odds, odds)).toBeGreaterThan(0);
      });
});

test("a purgeable range may go to make room for a page of its own", async () => {
  await run({ seed: 10_030, odds: 4, steps: 510, loads: 100 });
});

test("nothing that there is to do was left out", () => {
  const done = [
    ...["clone", "destroy", "lock", "unlock: ok", "unmap", "protect: ok", "share", "transfer", "set type", "migrate"],
    ...["remap", "remap, source kept", "remap in place: 1", "remap in place: -1", "make usable: ok", "make unusable"],
    ...["map zeroes", "map shared", "map named", "map file", "map late", "map paged", "map buffer", "sync"],
    ...["write back", "resize: ok", "resize: sealed", "map: sealed", "seal write: ok", "seal write: busy"],
    ...["replace named", "replace paged", "provide: ok", "poison", "guard pages", "make purgeable", "purged", "intact"],
    ...["to-device", "from-device", "transfer completed", "dont-need: ok", "free: ok", "cold: ok", "page-out: ok"],
    ...["will-need: ok", "remove: ok", "wipe-on-clone: ok", "no-clone: ok", "guard: ok", "populate-write: ok"],
  ];
  expect(done.filter((name) => !counts.has(name))).toEqual([]);
});
