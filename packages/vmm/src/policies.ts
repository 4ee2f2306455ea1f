/** `@pagewright/vmm/policies`: replacement policies, pure modules for simulation and for the manager alike. */
export { defaultPolicy, policies } from "./reclaim/policies/catalogue.ts";
export { simulate, type Simulation } from "./reclaim/policies/simulate.ts";
export {
  simulateAccessedBits,
  type AccessedBitOptions,
  type AccessedBitSimulation,
} from "./reclaim/policies/simulate-accessed-bits.ts";
export { HarvestSchedule } from "./reclaim/policies/harvest-schedule.ts";
export type { PolicyFactory, PolicySetting, SimulatedPolicy } from "./reclaim/policies/policy.ts";
export { Opt } from "./reclaim/policies/opt.ts";
export { Fifo } from "./reclaim/policies/fifo.ts";
export { Lru } from "./reclaim/policies/lru.ts";
export { Clock } from "./reclaim/policies/clock.ts";
export { TwoQueue } from "./reclaim/policies/two-queue.ts";
export { Arc } from "./reclaim/policies/arc.ts";
export { Lirs } from "./reclaim/policies/lirs.ts";
export { S3Fifo } from "./reclaim/policies/s3-fifo.ts";
export { Sieve } from "./reclaim/policies/sieve.ts";
export { Generations } from "./reclaim/policies/generations.ts";
export { GroupedPolicy, type GroupShare, type GroupStats } from "./reclaim/grouped-policy.ts";
export { SlotLists } from "./reclaim/policies/slot-lists.ts";
export type { ReplacementPolicy } from "./ports.ts";
