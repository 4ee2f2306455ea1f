import { test } from "vitest";

import { story } from "../model.ts";

for (let seed = 10; seed < 30; seed += 1) {
  test(`two thousand operations of all kinds keep every frame in one place (seed ${seed})`, () => {
    story(seed, seed % 2 === 0 ? 1 : 4, seed % 5 === 0, 2000);
  });
}
