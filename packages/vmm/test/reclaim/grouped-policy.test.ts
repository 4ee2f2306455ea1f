import fc from "fast-check";
import { describe, expect, test } from "vitest";

import { GroupedPolicy } from "../../src/reclaim/grouped-policy.ts";
import { Lru } from "../../src/reclaim/policies/lru.ts";

const SLOTS = 400;
const groupOf = (slot: number): number => Math.floor(slot / 100);

/** Memory of some frames under a grouped policy; returns what a use of a slot does. */
function memory(policy: GroupedPolicy, frames: number): (slot: number) => boolean {
  const resident = new Set<number>();
  return (slot) => {
    if (resident.has(slot)) {
      policy.accessed(slot);
      return true;
    }
    if (resident.size === frames) expect(resident.delete(policy.evict())).toBe(true);
    policy.insert(slot);
    resident.add(slot);
    return false;
  };
}

const residentOf = (policy: GroupedPolicy): number[] => policy.stats().map(({ resident }) => resident);

describe("a grouped policy", () => {
  test("a space that scans pushes out its own pages alone once it has its part", () => {
    const policy = new GroupedPolicy(SLOTS, groupOf, (slots) => new Lru(slots));
    const use = memory(policy, 60);
    for (let slot = 0; slot < 25; slot++) use(slot);
    for (let slot = 100; slot < 200; slot++) use(slot);
    expect(residentOf(policy)).toEqual([25, 35]);
    let hits = 0;
    for (let slot = 0; slot < 25; slot++) if (use(slot)) hits++;
    expect(hits).toBe(25);
    policy.check();
  });

  test("contended memory is divided by weight", () => {
    const policy = new GroupedPolicy(SLOTS, groupOf, (slots) => new Lru(slots));
    policy.setShare(1, { weight: 3 });
    const use = memory(policy, 80);
    for (let round = 0; round < 3; round++)
      for (let page = 0; page < 100; page++) for (const group of [0, 1]) use(group * 100 + page);
    expect(residentOf(policy).sort((a, b) => a - b)).toEqual([20, 60]);
  });

  test("a minimum is kept, a limit is cut back first", () => {
    const policy = new GroupedPolicy(SLOTS, groupOf);
    policy.setShare(0, { minimum: 30 });
    const use = memory(policy, 50);
    for (let slot = 0; slot < 40; slot++) use(slot);
    for (let slot = 100; slot < 200; slot++) use(slot);
    expect(policy.stats()[0]?.resident).toBeGreaterThanOrEqual(30);
    policy.setShare(1, { limit: 5 });
    expect(policy.excess(1)).toBe((policy.stats()[1]?.resident ?? 0) - 5);
    while (policy.excess(1) > 0) expect(groupOf(policy.evict())).toBe(1);
    expect(policy.stats()[1]?.resident).toBe(5);
    policy.check();
  });

  test("knows the resident pages of each group in any order of calls", () => {
    const step = fc.tuple(fc.constantFrom("use", "use", "use", "evict", "end", "remove", "move"), fc.nat(63));
    fc.assert(
      fc.property(fc.array(step, { maxLength: 250 }), (steps) => {
        const owner = new Map<number, number>();
        const policy = new GroupedPolicy(8, (slot) => owner.get(slot) ?? slot % 3);
        const resident = new Map<number, number>();
        let slots = 8;
        for (const [kind, slot] of steps) {
          if (slot >= slots) policy.grow((slots = slot + 1));
          if (kind === "move") owner.set(slot, (owner.get(slot) ?? slot) % 3);
          else if (kind === "remove") {
            policy.remove(slot);
            resident.delete(slot);
          } else if (kind === "use" && resident.has(slot)) policy.accessed(slot);
          else if (kind === "use") {
            resident.set(slot, owner.get(slot) ?? slot % 3);
            policy.insert(slot);
          } else if (kind === "end") policy.end(slot % 3);
          else {
            const victim = policy.victim();
            expect(policy.evict()).toBe(victim);
            expect(victim >= 0 ? resident.delete(victim) : true).toBe(true);
          }
          policy.check();
          expect(residentOf(policy).reduce((sum, count) => sum + count, 0)).toBe(resident.size);
        }
      }),
      { numRuns: 60 },
    );
  });
});
