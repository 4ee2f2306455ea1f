import { expect, test } from "vitest";
import { CASES, noTotals, runAll } from "./kit/lost-pages.ts";

const STEPS = 120;
const totals = noTotals();

test.each(CASES.flatMap(([what, odds]) => [1, 2, 3, 4].map((seed) => [what, seed, odds] as const)))(
  "stores %s lose nothing that they kept (seed %i)",
  async (_what, seed, odds) => {
    await runAll(seed, odds, STEPS, totals);
  },
);

test("all that can go wrong went wrong", () => {
  for (const [what, count] of Object.entries(totals))
    expect({ what, happened: count > 0 }).toEqual({ what, happened: true });
});
