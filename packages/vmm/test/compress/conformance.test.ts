import { describe, test } from "vitest";

import { PlainMemory } from "../../src/frames/plain-memory.ts";
import type { SwapStore } from "../../src/ports.ts";
import { CompressedPool } from "../../src/swap/compressed-pool.ts";
import { MemorySwap } from "../../src/swap/memory-swap.ts";
import { StripedSwap } from "../../src/swap/striped-swap.ts";
import { swapStoreSuite } from "../../src/testing/stores.ts";

function pool(): SwapStore {
  const memory = new PlainMemory(64);
  return new CompressedPool({ frames: memory, window: memory, limitFrames: 3, slots: 16 });
}

const stores: Readonly<Record<string, () => SwapStore>> = {
  "a compressed pool": pool,
  "a stripe": () => new StripedSwap([new MemorySwap(8), new MemorySwap(8)]),
};

for (const [name, make] of Object.entries(stores))
  describe(`${name} is a swap store`, () => {
    for (const each of swapStoreSuite) test(each.name, () => each.run(make));
  });
