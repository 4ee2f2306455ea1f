/** The model test with 2M pages, at length. */
import { expect, test } from "vitest";

import { LARGE_COURSE, Race } from "../kit/race.ts";
import { runLarge } from "../model/large-run.ts";

for (const [name, odds] of [
  ["ports that work", 2 ** 30],
  ["one port call in 15 fails", 15],
  ["one port call in 4 fails", 4],
] as const)
  test(`long random runs with 2M pages agree with a Map of pages: ${name}`, { timeout: 600_000 }, async () => {
    const { faults, splits, assembled } = await runLarge([1, 2, 3, 4, 5, 6, 7, 8], odds, 500);
    expect(faults).toBeGreaterThan(30);
    expect(splits).toBeGreaterThan(20);
    expect(assembled).toBeGreaterThan(3);
  });

test("long races of two to four processors over 2M pages agree with the oracle", { timeout: 600_000 }, () => {
  let collapses = 0;
  for (let seed = 1; seed <= 12; seed++) {
    const race = new Race(seed * 101, 2 + (seed % 3), LARGE_COURSE);
    race.run(800);
    collapses += race.rig.vmm.large.stats().collapses;
  }
  expect(collapses).toBeGreaterThan(0);
});
