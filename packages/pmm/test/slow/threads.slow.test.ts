import { test } from "vitest";

import { stress } from "../threads.ts";

for (const seed of [11, 12, 13]) {
  test(`ten deaths among threads that hand frames around lose nothing (seed ${seed})`, async () => {
    await stress(seed, 10, 300);
  });
}
