import { describe, expect, test } from "vitest";

import { SharedRace } from "./kit/shared-race.ts";

describe("processors in two spaces with one table run into each other at every yield point, and agree with the oracle", () => {
  for (const cpus of [2, 3, 4])
    for (const seed of [1, 2, 3])
      test(`${cpus} processors, seed ${seed}`, () => {
        const race = new SharedRace(seed * 31 + cpus, cpus, 24);
        race.run(400);
        expect(race.switches).toBeGreaterThan(20);
        expect(race.shares).toBeGreaterThan(2);
      });
});
