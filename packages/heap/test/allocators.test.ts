import { describe, test } from "vitest";
import { allocatorSuite } from "@pagewright/heap/testing";
import { fixtures } from "./fixtures.ts";

for (const [name, make] of Object.entries(fixtures)) {
  describe(name, () => {
    for (const { name: claim, run } of allocatorSuite) test(claim, () => run(make));
  });
}
