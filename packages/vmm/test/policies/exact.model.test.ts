import fc from "fast-check";
import { describe, expect, test } from "vitest";

import { policies } from "../../src/reclaim/policies/catalogue.ts";
import type { PolicyFactory } from "../../src/reclaim/policies/policy.ts";
import { simulate } from "../../src/reclaim/policies/simulate.ts";
import { naivePolicies } from "./naive.ts";

const SLOTS = 24;

/** Locality as programs have it: phases, each a loop, a scan or a skewed draw over some of the pages. */
const phase = fc.oneof(
  fc.array(fc.nat(SLOTS - 1), { minLength: 1, maxLength: 30 }),
  fc.array(fc.nat(5), { minLength: 1, maxLength: 30 }),
  fc.tuple(fc.nat(SLOTS - 1), fc.integer({ min: 2, max: SLOTS }), fc.integer({ min: 1, max: 4 })).map(scan),
);

function scan([start, length, rounds]: [number, number, number]): number[] {
  return Array.from({ length: length * rounds }, (_, i) => (start + (i % length)) % SLOTS);
}

/** Whether each request missed, with `check()` after every one. */
function missesOf(make: PolicyFactory, requests: readonly number[], frames: number): boolean[] {
  const policy = make({ slots: SLOTS, frames, requests: Uint32Array.from(requests, (slot) => slot * 2) });
  const resident = new Set<number>();
  return requests.map((slot) => {
    const miss = !resident.has(slot);
    if (miss) {
      if (resident.size === frames) resident.delete(policy.evict(slot));
      policy.insert(slot);
      resident.add(slot);
    } else policy.accessed(slot);
    policy.check();
    expect(resident.size).toBeLessThanOrEqual(frames);
    return miss;
  });
}

describe.each(Object.keys(naivePolicies))("%s", (name) => {
  const make = policies[name];
  const naive = naivePolicies[name];
  if (make === undefined || naive === undefined) throw new Error(`${name} has no implementation`);

  test("misses exactly where its pseudo-code misses", () => {
    fc.assert(
      fc.property(fc.array(phase, { maxLength: 8 }), fc.integer({ min: 1, max: 14 }), (phases, frames) => {
        const requests = phases.flat();
        expect(missesOf(make, requests, frames)).toEqual(naive(requests, frames));
      }),
      { numRuns: 200 },
    );
  });

  test("has the faults and write-backs in simulate() that a count by hand gives", () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.nat(11), fc.boolean()), { maxLength: 120 }), (references) => {
        const frames = 4;
        const requests = Uint32Array.from(references, ([slot, store]) => slot * 2 + (store ? 1 : 0));
        const policy = make({ slots: 12, frames, requests });
        const dirty = new Map<number, boolean>();
        let faults = 0;
        let writebacks = 0;
        for (const [slot, store] of references) {
          if (dirty.has(slot)) policy.accessed(slot);
          else {
            faults++;
            const victim = dirty.size === frames ? policy.evict(slot) : -1;
            if (dirty.get(victim) === true) writebacks++;
            dirty.delete(victim);
            policy.insert(slot);
          }
          dirty.set(slot, store || dirty.get(slot) === true);
        }
        expect(simulate(make({ slots: 12, frames, requests }), requests, 12, frames)).toEqual({ faults, writebacks });
      }),
    );
  });
});

test("no policy beats OPT", () => {
  fc.assert(
    fc.property(fc.array(phase, { maxLength: 6 }), fc.integer({ min: 1, max: 14 }), (phases, frames) => {
      const requests = Uint32Array.from(phases.flat(), (slot) => slot * 2);
      const faults = Object.values(policies).map(
        (make) => simulate(make({ slots: SLOTS, frames, requests }), requests, SLOTS, frames).faults,
      );
      expect(faults[0]).toBe(Math.min(...faults));
    }),
  );
});
