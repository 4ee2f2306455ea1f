/** Whole runs of worlds: every step compared, everything loaded now and then, and every frame back at the end. */
import type { VmmOptions } from "@pagewright/vmm";

import { SMALL, World, type WorldShape } from "./world.ts";

/** What a run is. */
export interface Course {
  readonly seed: number;
  /** Of so many port calls one fails. */
  readonly odds: number;
  readonly steps: number;
  readonly options?: Partial<VmmOptions>;
  readonly shape?: WorldShape;
  /** Steps between two loads of everything. */
  readonly loads?: number;
}

/** Ports that work. */
export const NEVER: number = 2 ** 30;

/** Runs a world to its end and returns it. What goes wrong is told with the seed and the last steps. */
export async function run({ seed, odds, steps, options = {}, shape = SMALL, loads = 50 }: Course): Promise<World> {
  const world = new World(seed, odds, options, shape);
  try {
    for (let step = 0; step < steps; step++) {
      await world.step();
      if (step % loads === loads - 1) await world.loadAll();
    }
    await world.loadAll();
    await world.close();
  } catch (cause) {
    const last = `after ${world.done.length} steps, the last ones ${world.done.slice(-6).join(", ")}`;
    throw new Error(`seed ${seed}, one call in ${odds} fails: ${String(cause)} (${last})`, { cause });
  }
  return world;
}
