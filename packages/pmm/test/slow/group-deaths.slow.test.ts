import { expect, test, vi } from "vitest";

import { groupScenarios, threeOnAGroup } from "../groups.ts";

vi.mock("../../src/units.ts", async (original) => ({
  ...(await original<object>()),
  GROUP_SHIFT: 10,
  GROUP_FRAMES: 1024,
  ORDER_1G: 10,
}));

for (const { name, run } of groupScenarios) {
  test(`${name}, in every order, with one of them dead at any step`, () => {
    expect(run(true).outcomes).toBeGreaterThan(0);
  });
}

test(`${threeOnAGroup.name}, in every order of the three`, () => {
  expect(threeOnAGroup.run(false).states).toBeGreaterThan(1000);
});
