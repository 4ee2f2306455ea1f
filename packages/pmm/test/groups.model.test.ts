import { expect, test, vi } from "vitest";

import { groupScenarios } from "./groups.ts";

/* Groups of two blocks: small enough for every order. The sources derive all else from these numbers. */
vi.mock("../src/units.ts", async (original) => ({
  ...(await original<object>()),
  GROUP_SHIFT: 10,
  GROUP_FRAMES: 1024,
  ORDER_1G: 10,
}));

for (const { name, run } of groupScenarios) {
  test(`${name}, in every order of their atomic steps`, () => {
    const { states, outcomes } = run(false);
    expect(states).toBeGreaterThan(50);
    expect(outcomes).toBeGreaterThan(0);
  });
}
