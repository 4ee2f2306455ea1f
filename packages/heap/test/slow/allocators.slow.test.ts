import { describe, test } from "vitest";
import { useAtRandom } from "@pagewright/heap/testing";
import { fixtures } from "../fixtures.ts";

for (const [name, make] of Object.entries(fixtures)) {
  describe(name, () => {
    for (let seed = 3; seed <= 42; seed++)
      test(`keeps its promises over 600 random steps, seed ${String(seed)}`, () => useAtRandom(make(), seed, 600));
  });
}
