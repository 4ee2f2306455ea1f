/** Holes, new ends, syncs and stores of one object at once, on several processors: kit/file-race.ts. */
import { describe, test } from "vitest";

import { raceOnFiles } from "./kit/file-race.ts";

describe.each(["file", "anonymous"] as const)("processors that change one object (%s) at once", (kind) => {
  test.each([2, 3, 4])("%i of them agree with the oracle, seeds 1 to 4", (cpus) => {
    raceOnFiles(kind, cpus, [1, 2, 3, 4], 250);
  });
});
