import { expect, test } from "vitest";

import { scenarios, threeThreads } from "../protocol.ts";

for (const scenario of scenarios(true)) {
  test(`${scenario.name}, in every order, with one of them dead at any step`, () => {
    const { states, outcomes } = scenario.run();
    expect(states).toBeGreaterThan(100);
    expect(outcomes).toBeGreaterThan(0);
  });
}

test("a refill, a drain and a take of the whole block, in every order of the three", () => {
  expect(threeThreads().states).toBeGreaterThan(1000);
});
