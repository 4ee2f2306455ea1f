/** The race of shootdown.model.test.ts finds out what is wrong with each of these memory managers. */
import { describe, expect, test } from "vitest";
import { Race, STEPS, Violation } from "./kit/race.ts";
import { SABOTAGES } from "./kit/sabotage.ts";
import type { Sabotage } from "./kit/sabotage.ts";

/** Seeds that found one of them fast; any others do in the end. */
const SEEDS = [27, 7, 2, 5, ...Array.from({ length: 150 }, (_, at) => at + 30)];

/** What the race finds wrong, or null. */
function verdict(sabotage: Sabotage): string | null {
  for (const seed of SEEDS) {
    const race = new Race(seed, true, sabotage);
    try {
      race.run(STEPS);
    } catch (error) {
      if (error instanceof Violation) return error.message;
      throw error;
    }
  }
  return null;
}

describe("a memory manager is caught in which", () => {
  for (const [wrong, sabotage] of Object.entries(SABOTAGES))
    test(wrong, { timeout: 120_000 }, () => {
      expect(verdict(sabotage)).not.toBeNull();
    });
});
