/** The memory manager's model test on a whole stack: after each step the manager agrees with a Map of pages, and the auditor finds nothing. */
import { describe, expect, test } from "vitest";
import { NEVER } from "../../vmm/test/model/run.ts";
import { runAudited } from "./kit/audited-run.ts";

const STEPS = 60;

describe("the auditor is clean after every step of random operations", () => {
  for (const seed of [1, 2])
    test(`seed ${seed}, ports that work`, async () => {
      const { failures, facts } = await runAudited({ seed, odds: NEVER, steps: STEPS });
      expect(failures).toBe(0);
      expect(facts).toBeGreaterThan(STEPS * 100);
    });

  for (const odds of [15, 4])
    for (const seed of [3, 4])
      test(`seed ${seed}, one call of a port in ${odds} fails`, async () => {
        expect((await runAudited({ seed, odds, steps: STEPS })).failures).toBeGreaterThan(0);
      });
});
