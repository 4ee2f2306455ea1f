import { expect, test } from "vitest";

import { explore } from "./interleave.ts";
import { doubleFree, finished, HintMap, scenarios } from "./protocol.ts";

test("hint maps: a member that stays is found, in every order of two adders and a remover", () => {
  const words = new Int32Array(8);
  const map = new HintMap(words, 0, 64);
  const seen = explore({
    deaths: false,
    memory: () => words.slice(),
    start: () => {
      words.fill(0);
      finished(map.add(3));
      return [map.remove(3), map.add(4), map.remove(40)];
    },
    verify: () => {
      expect(words[0]).toBe(1 << 4);
      expect(words[2]! & 1).toBe(1);
    },
  });
  expect(seen.states).toBeGreaterThan(20);
});

for (const scenario of scenarios(false)) {
  test(`${scenario.name}, in every order of their atomic steps`, () => {
    const { states, outcomes } = scenario.run();
    expect(states).toBeGreaterThan(100);
    expect(outcomes).toBeGreaterThan(0);
  });
}

test("of two workers that drain one frame exactly one reports it, in every order", () => {
  expect(doubleFree().outcomes).toBeGreaterThan(0);
});
