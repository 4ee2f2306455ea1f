import { describe, test } from "vitest";

import { PlainMemory } from "../../src/frames/plain-memory.ts";
import type { SwapStore } from "../../src/ports.ts";
import { CompressedPool } from "../../src/swap/compressed-pool.ts";
import { swapStoreSuite } from "../../src/testing/stores.ts";

function pool(): SwapStore {
  const memory = new PlainMemory(64);
  return new CompressedPool({ frames: memory, window: memory, limitFrames: 3, slots: 16 });
}

describe("a compressed pool is a swap store", () => {
  for (const each of swapStoreSuite) test(each.name, () => each.run(pool));
});
