/** The race of shootdown.model.test.ts finds out what is wrong with each of these memory managers. */
import { physicalMapFromJson } from "@pagewright/machine";
import { describe, expect, test } from "vitest";
import { audit, createStack } from "../src/index.ts";
import { KEEPS_ALL, Race, STEPS, Violation } from "./kit/race.ts";
import { leaveSharedFrames, SABOTAGES } from "./kit/sabotage.ts";
import type { Sabotage } from "./kit/sabotage.ts";

/** Seeds that found one of them fast; any others do in the end. */
const SEEDS = [14, 8, 2, 4, 21, 9, 33, ...Array.from({ length: 60 }, (_, at) => at + 30)];

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

describe("a frame that lives on in a clone", () => {
  /** What the auditor says after a processor has kept a translation of it, and the clone has given it back. */
  const problems = (sabotage: Sabotage): readonly string[] => {
    const map = physicalMapFromJson({ entries: [{ base: 0, length: 24 * 2 ** 20, type: 1 }] });
    const stack = createStack({ map, cpus: 2, lazyShootdown: true, translationBuffers: KEEPS_ALL });
    sabotage(stack);
    const space = stack.vmm.createSpace();
    const address = space?.map({ bytes: 8 * 4096 });
    if (space === null || typeof address !== "number") throw new Error("no memory");
    const cpus = [0, 1].map((number) => stack.enter(space, number));
    for (let page = 0; page < 8; page++) cpus[0]?.store32(address + page * 4096, page);
    const clone = space.clone();
    cpus[0]?.store32(address, 9); // The first page is a copy of its own: it dies with the range, the others live on.
    for (let page = 0; page < 8; page++) cpus[1]?.load32(address + page * 4096);
    stack.as(0, () => {
      space.unmap(address, 4 * 4096);
      clone?.advise(address, 8 * 4096, "dont-need"); // Gives its frames back at once.
      stack.vmm.background(0);
    });
    return audit(stack).problems;
  };

  test("is caught where it is left to quiescent points, and not otherwise", () => {
    expect(problems(() => undefined)).toEqual([]);
    expect(problems(leaveSharedFrames).join()).toContain("no TLB reaches a free frame: processor 1");
  });
});
