import { expect, test } from "vitest";
import { CASES, noTotals, runAll } from "../kit/lost-pages.ts";

const STEPS = 400;
const SEEDS = Array.from({ length: 8 }, (_, at) => 100 + at);

test.each(CASES)("long runs on stores %s", { timeout: 3_600_000 }, async (_what, odds) => {
  const totals = noTotals();
  for (const seed of SEEDS) await runAll(seed, odds, STEPS, totals);
  expect(totals.interrupted).toBeGreaterThan(0);
  expect(totals.movedDown).toBeGreaterThan(0);
});
