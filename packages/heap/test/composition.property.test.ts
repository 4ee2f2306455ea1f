import { describe, test } from "vitest";
import { useAtRandom } from "@pagewright/heap/testing";
import { bases, stackOver } from "./stacks.ts";

describe.each(Object.keys(bases))("a stack of wrappers over %s does what an allocator does", (base) => {
  for (let seed = 1; seed <= 10; seed++) {
    const { name, make } = stackOver(base, seed);
    test(`${name}, seed ${seed}`, () => useAtRandom(make(), seed, 120));
  }
});
