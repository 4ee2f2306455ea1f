/** Invalidation under processors that keep every translation as long as they may: no stale one ever does harm. */
import { describe, expect, test } from "vitest";
import { Race, STEPS } from "./kit/race.ts";

describe("four hostile processors agree with the model, and the auditor finds nothing", () => {
  for (const lazy of [false, true])
    test(lazy ? "invalidating lazily" : "invalidating at once", { timeout: 120_000 }, () => {
      const sums = { switches: 0, interrupts: 0, deferred: 0, kept: 0, migrations: 0, evictions: 0, held: 0 };
      for (let seed = 1; seed <= 8; seed++) {
        const race = new Race(seed, lazy);
        race.run(STEPS);
        const { vmm, control } = race.stack;
        sums.switches += race.switches;
        sums.interrupts += control.stats.interrupts;
        sums.deferred += control.stats.deferred;
        sums.kept += control.stats.kept;
        sums.migrations += vmm.stats.migrations;
        sums.evictions += vmm.stats.evictions;
        sums.held += race.mostHeld;
      }
      expect(sums.switches).toBeGreaterThan(400);
      expect(sums.interrupts).toBeGreaterThan(100);
      expect(sums.deferred).toBeGreaterThan(50);
      expect(sums.kept).toBeGreaterThan(10);
      expect(sums.migrations).toBeGreaterThan(20);
      expect(sums.evictions).toBeGreaterThan(20);
      expect(sums.held > 0).toBe(lazy);
    });
});
