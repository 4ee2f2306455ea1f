import fc from "fast-check";
import { describe, expect, test } from "vitest";

import { policies } from "../../src/reclaim/policies/catalogue.ts";

/** What a memory manager does with a policy, in any order: it sees no hits, asks for victims, unmaps, grows and resizes. */
const step = fc.oneof(
  { weight: 6, arbitrary: fc.record({ kind: fc.constant("use" as const), slot: fc.nat(63) }) },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant("evict" as const), slot: fc.nat(63) }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant("spare" as const), slot: fc.nat(63) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("remove" as const), slot: fc.nat(63) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("resize" as const), slot: fc.nat(63) }) },
);

describe.each(Object.keys(policies).filter((name) => name !== "opt"))("%s in a manager", (name) => {
  test("knows exactly the resident pages, whatever order it is called in", () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 300 }), (steps) => {
        let slots = 4;
        const policy = policies[name]?.({ slots, frames: 8, requests: new Uint32Array() });
        if (policy === undefined) throw new Error(`no policy ${name}`);
        const resident = new Set<number>();
        for (const { kind, slot } of steps) {
          if (slot >= slots) policy.grow((slots = slot + 1));
          if (kind === "resize") policy.resize(slot + 1);
          else if (kind === "remove") {
            policy.remove(slot);
            resident.delete(slot);
          } else if (kind === "use") {
            if (resident.has(slot)) policy.accessed(slot);
            else policy.insert(slot);
            resident.add(slot);
          } else {
            const victim = policy.victim();
            expect(victim >= 0).toBe(resident.size > 0);
            if (victim >= 0) expect(resident.has(victim)).toBe(true);
            if (kind === "spare" && victim >= 0) policy.accessed(victim);
            else {
              expect(policy.evict()).toBe(victim);
              resident.delete(victim);
            }
          }
          policy.check();
        }
        while (resident.size > 0) expect(resident.delete(policy.evict())).toBe(true);
        expect(policy.evict()).toBe(-1);
        policy.check();
      }),
      { numRuns: 60 },
    );
  });
});
