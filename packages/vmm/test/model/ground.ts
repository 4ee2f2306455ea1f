/** The least that a world can stand on: frames without a machine, and tables that take none of them. */
import { PlainMemory, SpaceMemory, Vmm, type VmmOptions } from "@pagewright/vmm";

import { FlakyFrames, FlakySwap, type Coin } from "./flaky.ts";
import type { Ground, WorldShape } from "./world.ts";

/** A manager over frames and swap that fail when the coin says so. `isWatched`: it hears how many frames are left. */
export function plainGround(coin: Coin, isWatched: boolean, shape: WorldShape, options: Partial<VmmOptions>): Ground {
  const memory = new PlainMemory(shape.frames);
  const frames = new FlakyFrames(memory, coin);
  const vmm = new Vmm({
    frames,
    window: memory,
    special: frames,
    swap: [new FlakySwap(shape.slots, coin)],
    residentLimit: shape.residentLimit,
    ...(isWatched ? { pressure: memory } : {}),
    ...options,
  });
  return { vmm, memory, otherFrames: () => 0, access: (space) => new SpaceMemory(space) };
}
