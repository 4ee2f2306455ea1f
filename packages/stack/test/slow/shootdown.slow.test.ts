/** The race of shootdown.model.test.ts over many seeds, lazily and at once. */
import { expect, test } from "vitest";
import { Race, STEPS } from "../kit/race.ts";

test("a hundred races of four hostile processors", { timeout: 600_000 }, () => {
  let switches = 0;
  for (let seed = 100; seed < 200; seed++) {
    const race = new Race(seed, seed % 3 > 0);
    race.run(STEPS);
    switches += race.switches;
  }
  expect(switches).toBeGreaterThan(5000);
});
