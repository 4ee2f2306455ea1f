import type { ReplacementPolicy } from "../../ports.ts";
import { HarvestSchedule } from "./harvest-schedule.ts";

/** What a policy did that saw accessed bits only. */
export interface AccessedBitSimulation {
  /** Requests whose page was not resident, first uses included. */
  readonly faults: number;
  /** Accessed bits read by harvests. */
  readonly scanned: number;
  /** Accessed bits of victims read before they left. */
  readonly looked: number;
}

/** How a simulation with accessed bits differs from what the manager does. */
export interface AccessedBitOptions {
  /** False: accessed bits are read of victims alone. */
  readonly harvest?: boolean;
  /** False: a victim leaves without a last look at its accessed bit. */
  readonly look?: boolean;
  /** True: nothing invalidates the TLB (64 entries, 4 ways) when bits are cleared, so a translation in it hides use. */
  readonly staleTlb?: boolean;
}

const ABSENT = 0;
const RESIDENT = 1;
const ACCESSED = 2;

/** A spared victim may come again at once; a policy that insists gets its way. */
const MAX_LOOKS = 1000;

/**
 * Runs a policy as a memory manager does: no hit is seen; hardware sets accessed bits, which are harvested in batches by
 * {@link HarvestSchedule}, and the victim's is looked at before it leaves.
 *
 * @param policy fresh
 * @param requests `slot * 2 + (1 for a store)`
 * @param slots slots are 0 … slots − 1
 * @param frames pages that may be resident at once, at least 1
 */
export function simulateAccessedBits(
  policy: ReplacementPolicy,
  requests: Uint32Array,
  slots: number,
  frames: number,
  options: AccessedBitOptions = {},
): AccessedBitSimulation {
  const { harvest = true, look = true, staleTlb = false } = options;
  const state = new Uint8Array(slots);
  const schedule = new HarvestSchedule(frames);
  const tlb = staleTlb ? new Tlb() : null;
  let resident = 0;
  let faults = 0;
  let scanned = 0;
  let looked = 0;
  for (let i = 0; i < requests.length; i++) {
    const slot = requests[i]! >>> 1;
    if (state[slot] !== ABSENT) {
      if (tlb === null || !tlb.reach(slot)) state[slot] = RESIDENT | ACCESSED;
      continue;
    }
    faults++;
    if (resident === frames) {
      for (let looks = 0; look && looks < MAX_LOOKS; looks++) {
        const candidate = policy.victim();
        looked++;
        if (state[candidate] !== (RESIDENT | ACCESSED)) break;
        state[candidate] = RESIDENT;
        policy.accessed(candidate);
      }
      const victim = policy.evict();
      state[victim] = ABSENT;
      tlb?.drop(victim);
      if (harvest && schedule.evicted()) {
        scanned += frames;
        tellAccessed(policy, state);
      }
    } else resident++;
    state[slot] = RESIDENT | ACCESSED;
    tlb?.reach(slot);
    policy.insert(slot);
  }
  return { faults, scanned, looked };
}

/** A harvest in the order of the page tables. */
function tellAccessed(policy: ReplacementPolicy, state: Uint8Array): void {
  for (let slot = 0; slot < state.length; slot++) {
    if (state[slot] !== (RESIDENT | ACCESSED)) continue;
    state[slot] = RESIDENT;
    policy.accessed(slot);
  }
}

/** 16 sets of 4 entries, least recently used leaves. */
class Tlb {
  readonly #entries: Int32Array = new Int32Array(64).fill(-1);

  /** Whether the page was there; now it is, as the most recent of its set. */
  reach(slot: number): boolean {
    const set = (slot & 15) * 4;
    let way = 0;
    while (way < 3 && this.#entries[set + way] !== slot) way++;
    const hit = this.#entries[set + way] === slot;
    this.#entries.copyWithin(set + 1, set, set + way);
    this.#entries[set] = slot;
    return hit;
  }

  drop(slot: number): void {
    const set = (slot & 15) * 4;
    for (let way = set; way < set + 4; way++) if (this.#entries[way] === slot) this.#entries[way] = -1;
  }
}
