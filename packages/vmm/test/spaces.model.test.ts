import { describe, expect, test } from "vitest";

import { World } from "./model/world.ts";

const SEEDS = [1, 2, 3, 4, 5, 6, 7, 8];

/** Tables that were shared, in all worlds. */
let shares = 0;

describe("random operations on several spaces and objects agree with a Map of pages", () => {
  for (const seed of SEEDS)
    test(`seed ${seed}, ports that work`, () => {
      const world = new World(seed, 2 ** 30);
      for (let step = 0; step < 300; step++) {
        world.step();
        if (step % 10 === 0) world.compare();
      }
      world.compare();
      shares += world.shares;
      world.close();
    });
});

describe("the same while frames, swap and files fail", () => {
  for (const seed of SEEDS)
    test(`seed ${seed}, one port call in 15 fails`, () => {
      const world = new World(seed + 100, 15);
      for (let step = 0; step < 300; step++) {
        world.step();
        if (step % 10 === 0) world.compare();
      }
      world.compare();
      expect(world.coin.failures).toBeGreaterThan(0);
      shares += world.shares;
      world.close();
    });
});

test("tables were shared in most of these worlds", () => {
  expect(shares).toBeGreaterThan(SEEDS.length);
});
