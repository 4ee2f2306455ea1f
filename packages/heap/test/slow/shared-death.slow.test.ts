import { test } from "vitest";
import { endWorkersAtWork } from "../shared-death.ts";

for (let seed = 2; seed <= 41; seed++)
  test(`workers that are ended in the midst of their work leave a whole heap, seed ${String(seed)}`, async () => {
    await endWorkersAtWork(seed);
  }, 120_000);
