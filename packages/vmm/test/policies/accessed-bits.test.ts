import fc from "fast-check";
import { describe, expect, test } from "vitest";

import { defaultPolicy, policies } from "../../src/reclaim/policies/catalogue.ts";
import { Clock } from "../../src/reclaim/policies/clock.ts";
import { HarvestSchedule } from "../../src/reclaim/policies/harvest-schedule.ts";
import { simulateAccessedBits } from "../../src/reclaim/policies/simulate-accessed-bits.ts";
import { simulate } from "../../src/reclaim/policies/simulate.ts";

const SLOTS = 40;
const someRequests = fc
  .array(fc.oneof(fc.nat(SLOTS - 1), fc.nat(9)), { maxLength: 600 })
  .map((slots) => Uint32Array.from(slots, (slot) => slot * 2));

describe("a harvest schedule", () => {
  test("asks for a harvest each time a sixteenth of the frames left", () => {
    const schedule = new HarvestSchedule(64);
    expect(Array.from({ length: 9 }, () => schedule.evicted())).toEqual([
      false,
      false,
      false,
      true,
      false,
      false,
      false,
      true,
      false,
    ]);
    schedule.resize(8);
    expect([schedule.evicted(), schedule.evicted()]).toEqual([true, true]);
  });
});

describe("with accessed bits alone", () => {
  test("looking at the victim's bit makes CLOCK0 exact CLOCK: the bit is the hardware's", () => {
    fc.assert(
      fc.property(someRequests, fc.integer({ min: 1, max: 30 }), (requests, frames) => {
        const seen = simulateAccessedBits(new Clock(SLOTS, 0), requests, SLOTS, frames, { harvest: false });
        expect(seen.faults).toBe(simulate(new Clock(SLOTS, 1), requests, SLOTS, frames).faults);
        expect(seen.scanned).toBe(0);
      }),
    );
  });

  test("no policy beats OPT, and each keeps its invariants", () => {
    fc.assert(
      fc.property(someRequests, fc.integer({ min: 1, max: 30 }), fc.boolean(), (requests, frames, staleTlb) => {
        const best = simulate(
          policies["opt"]?.({ slots: SLOTS, frames, requests }) ?? never(),
          requests,
          SLOTS,
          frames,
        );
        for (const [name, make] of Object.entries(policies)) {
          if (name === "opt") continue;
          const policy = make({ slots: SLOTS, frames, requests: new Uint32Array() });
          const { faults } = simulateAccessedBits(policy, requests, SLOTS, frames, { staleTlb });
          expect(faults).toBeGreaterThanOrEqual(best.faults);
          policy.check();
        }
      }),
      { numRuns: 40 },
    );
  });

  test("a loop a little larger than memory does not flush pages in steady use", () => {
    const requests = Uint32Array.from({ length: 60_000 }, (_, i) => 2 * (i % 4 < 3 ? i % 16 : 16 + ((i >>> 2) % 200)));
    const frames = 128;
    const { faults } = simulateAccessedBits(defaultPolicy(216, frames), requests, 216, frames);
    const lru = simulateAccessedBits(
      policies["lru"]?.({ slots: 216, frames, requests }) ?? never(),
      requests,
      216,
      frames,
    );
    expect(faults).toBeLessThan(0.7 * lru.faults);
  });
});

function never(): never {
  throw new Error("a policy is missing");
}
