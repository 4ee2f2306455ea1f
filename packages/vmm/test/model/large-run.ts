/** Random operations in worlds with 2M pages, compared in full after every step. */
import { expect } from "vitest";

import { run } from "./run.ts";
import { LARGE } from "./world.ts";

/** Runs worlds of these seeds to their ends; what became of their 2M pages together. */
export async function runLarge(
  seeds: readonly number[],
  odds: number,
  steps: number,
): Promise<Record<"faults" | "splits" | "assembled", number>> {
  const sums = { faults: 0, splits: 0, assembled: 0 };
  for (const seed of seeds) {
    const options = { largePages: "always", collapseMissing: 300 } as const;
    const world = await run({ seed: seed + odds, odds, steps, options, shape: LARGE, loads: 80 });
    const { faults, splits, mappedWhole, collapses } = world.vmm.large.stats();
    expect(world.coin.failures > 0).toBe(odds < 1000);
    sums.faults += faults;
    sums.splits += splits;
    sums.assembled += mappedWhole + collapses;
  }
  return sums;
}
