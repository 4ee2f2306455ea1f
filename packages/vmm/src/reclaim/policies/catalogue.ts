import type { ReplacementPolicy } from "../../ports.ts";
import { Arc } from "./arc.ts";
import { Clock } from "./clock.ts";
import { Fifo } from "./fifo.ts";
import { Generations } from "./generations.ts";
import { Lirs } from "./lirs.ts";
import { Lru } from "./lru.ts";
import { Opt } from "./opt.ts";
import type { PolicyFactory } from "./policy.ts";
import { S3Fifo } from "./s3-fifo.ts";
import { Sieve } from "./sieve.ts";
import { TwoQueue } from "./two-queue.ts";

/** Every policy by the name that users give it; `opt` runs in simulation only. */
export const policies: Readonly<Record<string, PolicyFactory>> = {
  opt: ({ slots, requests }) => new Opt(slots, requests),
  lru: ({ slots }) => new Lru(slots),
  fifo: ({ slots }) => new Fifo(slots),
  clock: ({ slots }) => new Clock(slots, 1),
  clock0: ({ slots }) => new Clock(slots, 0),
  "2q": ({ slots, frames }) => new TwoQueue(slots, frames),
  arc: ({ slots, frames }) => new Arc(slots, frames),
  lirs: ({ slots, frames }) => new Lirs(slots, frames),
  "s3-fifo": ({ slots, frames }) => new S3Fifo(slots, frames),
  sieve: ({ slots }) => new Sieve(slots),
  generations: ({ slots, frames }) => new Generations(slots, frames),
};

/**
 * The policy that a manager uses unless told otherwise: S3-FIFO, fed by a `HarvestSchedule`. Of all policies here it
 * has the fewest faults on accessed bits alone, fewer than exact LRU: see README.md beside this file.
 */
export function defaultPolicy(slots: number, frames: number): ReplacementPolicy {
  return new S3Fifo(slots, frames);
}
