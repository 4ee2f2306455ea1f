/** The audited model test at length, on stacks of several kinds. */
import { describe, expect, test } from "vitest";
import { NEVER } from "../../../vmm/test/model/run.ts";
import type { StackOptions } from "../../src/index.ts";
import { runAudited } from "../kit/audited-run.ts";

const STEPS = 200;
const SEEDS = [11, 12, 13, 14];

const KINDS: readonly (readonly [string, Partial<StackOptions>])[] = [
  ["windows alone", {}],
  ["a recursive slot and no PCIDs", { recursiveSlot: 300, contexts: 0 }],
  ["compressed memory", { compressed: { limitFrames: 8 } }],
  ["unhelpful processors", { adversary: {}, seed: 5 }],
];

describe.each(KINDS)("a stack with %s stays clean", (_kind, options) => {
  for (const seed of SEEDS)
    for (const odds of [NEVER, 15, 4])
      test(`seed ${seed}, ${odds === NEVER ? "ports that work" : `one call of a port in ${odds} fails`}`, async () => {
        const { failures } = await runAudited({ seed: seed + (odds % 1000) * 100, odds, steps: STEPS, options });
        expect(failures > 0).toBe(odds !== NEVER);
      });
});
