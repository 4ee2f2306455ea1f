/** Whole runs of worlds: every step compared, everything loaded now and then, and every frame back at the end. */
import type { VmmOptions } from "@pagewright/vmm";

import type { Coin } from "./flaky.ts";
import { plainGround } from "./ground.ts";
import { SMALL, World, type Ground, type WorldShape } from "./world.ts";

/** What a run is. */
export interface Course {
  readonly seed: number;
  /** Of so many port calls one fails. */
  readonly odds: number;
  readonly steps: number;
  /** What the manager is made with where the world stands on the least that it can. */
  readonly options?: Partial<VmmOptions>;
  /** What the world stands on; {@link plainGround} if absent. */
  readonly ground?: (coin: Coin) => Ground;
  /** Looks at the world after each step and at its end; throws where something is wrong. */
  readonly look?: () => void;
  readonly shape?: WorldShape;
  /** Steps between two loads of everything. */
  readonly loads?: number;
}

/** Ports that work. */
export const NEVER: number = 2 ** 30;

/** Runs a world to its end and returns it. What goes wrong is told with the seed and the last steps. */
export async function run(course: Course): Promise<World> {
  const { seed, odds, steps, options = {}, shape = SMALL, loads = 50, look = () => undefined } = course;
  const { ground = (coin: Coin): Ground => plainGround(coin, seed % 2 === 1, shape, options) } = course;
  const world = new World(seed, odds, shape, ground);
  try {
    for (let step = 0; step < steps; step++) {
      await world.step();
      look();
      if (step % loads === loads - 1) await world.loadAll();
    }
    await world.loadAll();
    await world.close();
    look();
  } catch (cause) {
    const last = `after ${world.done.length} steps, the last ones ${world.done.slice(-6).join(", ")}`;
    throw new Error(`seed ${seed}, one call in ${odds} fails: ${String(cause)} (${last})`, { cause });
  }
  return world;
}
