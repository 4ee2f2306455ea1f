/** Runs of the memory manager's model test on a whole stack, with an audit after each step. */
import { run } from "../../../vmm/test/model/run.ts";
import { SMALL, type WorldShape } from "../../../vmm/test/model/world.ts";
import { audit, type StackOptions } from "../../src/index.ts";
import { StackGround } from "./stack-ground.ts";

const SHAPE: WorldShape = { ...SMALL, frames: 48 * 256 };

/** What a run is. */
export interface AuditedCourse {
  readonly seed: number;
  /** Of so many port calls one fails. */
  readonly odds: number;
  readonly steps: number;
  readonly options?: Partial<StackOptions>;
}

/** Runs a world to its end; returns how many port calls failed, and how many facts the auditor looked at. Throws at the first problem. */
export async function runAudited({
  seed,
  odds,
  steps,
  options = {},
}: AuditedCourse): Promise<{ failures: number; facts: number }> {
  let ground: StackGround | null = null;
  let facts = 0;
  const world = await run({
    seed,
    odds,
    steps,
    shape: SHAPE,
    ground: (coin) => (ground = new StackGround(coin, SHAPE, options)),
    look: () => {
      if (ground === null) throw new Error("nothing to audit");
      const { checked, problems } = audit(ground.stack);
      if (problems.length > 0) throw new Error(problems.join("; "));
      facts += checked;
    },
  });
  return { failures: world.coin.failures, facts };
}
