import type { ReplacementPolicy } from "../../ports.ts";

/** What a policy is made for. */
export interface PolicySetting {
  /** Slots are 0 … slots − 1. */
  readonly slots: number;
  /** Pages that may be resident at once, at least 1. */
  readonly frames: number;
  /** Every request to come, `slot * 2 + (1 for a store)`: known in simulation, empty elsewhere. */
  readonly requests: Uint32Array;
}

/** A replacement policy that can make use of knowing which page the room is for; every plain policy is one too. */
export interface SimulatedPolicy extends ReplacementPolicy {
  /**
   * Makes the next victim non-resident and returns it, −1 if none is resident.
   *
   * @param incoming the slot that is inserted next, absent where that is not known
   */
  evict(incoming?: number): number;
}

/** Makes a policy; what a policy module of a user exports by default. */
export type PolicyFactory = (setting: PolicySetting) => SimulatedPolicy;
