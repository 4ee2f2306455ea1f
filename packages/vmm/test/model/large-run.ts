/** Random operations in a world with 2M pages, checked after every step and compared page by page now and then. */
import { expect } from "vitest";

import { LARGE, World } from "./world.ts";

/** Runs worlds of these seeds to their ends; what became of their 2M pages together. */
export function runLarge(
  seeds: readonly number[],
  odds: number,
  steps: number,
): Record<"faults" | "splits" | "assembled", number> {
  const sums = { faults: 0, splits: 0, assembled: 0 };
  for (const seed of seeds) {
    const world = new World(seed + odds, odds, { largePages: "always", collapseMissing: 300 }, LARGE);
    for (let step = 0; step < steps; step++) {
      world.step();
      if (step % 40 === 0) world.compare();
      else world.vmm.check();
    }
    world.compare();
    const { faults, splits, mappedWhole, collapses } = world.vmm.large.stats();
    expect(world.coin.failures > 0).toBe(odds < 1000);
    world.close();
    sums.faults += faults;
    sums.splits += splits;
    sums.assembled += mappedWhole + collapses;
  }
  return sums;
}
