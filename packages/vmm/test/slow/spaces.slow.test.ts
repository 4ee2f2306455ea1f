/** The model test of all operations on spaces and objects, at length. */
import { expect, test } from "vitest";

import { NEVER, run } from "../model/run.ts";

for (const [name, odds] of [
  ["ports that work", NEVER],
  ["one port call in 15 fails", 15],
  ["one port call in 4 fails", 4],
] as const)
  test(`long random runs agree with a Map of pages: ${name}`, { timeout: 1_800_000 }, async () => {
    for (let seed = 10_001; seed <= 10_060; seed++) {
      const world = await run({ seed, odds, steps: 600, loads: 100 });
      expect(world.coin.failures > 0).toBe(odds !== NEVER);
    }
  });
