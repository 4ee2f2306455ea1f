/** test/file-race.test.ts at length. */
import { describe, test } from "vitest";

import { raceOnFiles } from "../kit/file-race.ts";

const SEEDS = Array.from({ length: 60 }, (_, at) => 101 + at);

describe.each(["file", "anonymous"] as const)("processors that change one object (%s) at once", (kind) => {
  test.each([2, 3, 4])("%i of them agree with the oracle, seeds 101 to 160", { timeout: 600_000 }, (cpus) => {
    raceOnFiles(kind, cpus, SEEDS, 600);
  });
});
