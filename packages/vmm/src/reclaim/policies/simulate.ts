import { VmmError } from "../../errors.ts";
import type { SimulatedPolicy } from "./policy.ts";

/** What a policy did on a trace. */
export interface Simulation {
  /** Requests whose page was not resident, first uses included. */
  readonly faults: number;
  /** Evictions of pages stored to since they came in. */
  readonly writebacks: number;
}

const ABSENT = 0;
const CLEAN = 1;
const DIRTY = 2;

/**
 * Runs a policy exactly, every request told, from an empty memory.
 *
 * One loop serves all policies: with eleven classes through it in one process it still does 65–100 M requests/s, so a
 * loop of its own for each would buy nothing that is needed.
 *
 * @param policy fresh
 * @param requests `slot * 2 + (1 for a store)`
 * @param slots slots are 0 … slots − 1
 * @param frames pages that may be resident at once, at least 1
 * @throws `VmmError` `port-contract` where the policy evicts what is not resident
 */
export function simulate(policy: SimulatedPolicy, requests: Uint32Array, slots: number, frames: number): Simulation {
  /** ABSENT, CLEAN, or CLEAN and DIRTY, by slot. */
  const state = new Uint8Array(slots);
  let resident = 0;
  let faults = 0;
  let writebacks = 0;
  for (let i = 0; i < requests.length; i++) {
    const request = requests[i]!;
    const slot = request >>> 1;
    const dirty = (request & 1) * DIRTY;
    const before = state[slot]!;
    if (before !== ABSENT) {
      state[slot] = before | dirty;
      policy.accessed(slot);
      continue;
    }
    faults++;
    if (resident === frames) {
      const victim = policy.evict(slot);
      if (((state[victim] ?? ABSENT) & CLEAN) === 0)
        throw new VmmError("port-contract", "evict() returned a slot that is not resident", { victim });
      if ((state[victim]! & DIRTY) !== 0) writebacks++;
      state[victim] = ABSENT;
    } else resident++;
    state[slot] = CLEAN | dirty;
    policy.insert(slot);
  }
  return { faults, writebacks };
}
