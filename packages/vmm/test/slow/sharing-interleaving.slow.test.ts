import { describe, expect, test } from "vitest";

import { SharedRace } from "../kit/shared-race.ts";

describe("two spaces with one table, in a thousand orders", () => {
  for (const cpus of [2, 3, 4])
    for (const limit of [12, 24, 200])
      test(`${cpus} processors, ${limit} frames`, () => {
        for (let seed = 100; seed < 140; seed++) {
          const race = new SharedRace(seed * 31 + cpus, cpus, limit);
          race.run(300);
          expect(race.shares).toBeGreaterThan(0);
        }
      }, 600_000);
});
