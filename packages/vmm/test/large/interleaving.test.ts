/** Processors that run into each other where 2M pages are filled, split, collapsed and taken apart by reclaim. */
import { expect, test } from "vitest";

import { LARGE_COURSE, Race } from "../kit/race.ts";

for (const cpus of [2, 4])
  for (const seed of [1, 2])
    test(`${cpus} processors on 2M pages, seed ${seed}`, () => {
      const race = new Race(seed * 31 + cpus, cpus, LARGE_COURSE);
      race.run(250);
      const { faults, splits } = race.rig.vmm.large.stats();
      expect(race.switches).toBeGreaterThan(20);
      expect(faults).toBeGreaterThan(1);
      expect(splits).toBeGreaterThan(1);
    });
