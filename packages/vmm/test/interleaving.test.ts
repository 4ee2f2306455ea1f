/** Two to four processors on one space that run into each other at every yield point: kit/race.ts. */
import { describe, expect, test } from "vitest";

import { Race } from "./kit/race.ts";

describe("processors that run into each other at every yield point agree with the oracle", () => {
  for (const cpus of [2, 3, 4])
    for (const seed of [1, 2, 3])
      test(`${cpus} processors, seed ${seed}`, () => {
        const race = new Race(seed * 17 + cpus, cpus);
        race.run(500);
        expect(race.switches).toBeGreaterThan(20);
      });
});
