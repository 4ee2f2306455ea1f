import { test } from "vitest";

import { story } from "./model.ts";

/* Stories with a 1G group are told by the slow suite. */
for (const [seed, colours] of [
  [1, 1],
  [2, 1],
  [3, 4],
  [4, 4],
] as const) {
  test(`any sequence of operations keeps every frame in one place (seed ${seed}, ${colours} colours)`, () => {
    story(seed, colours, false, 400);
  });
}
