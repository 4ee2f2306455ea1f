/**
 * A policy for the memory manager, out of what the user named. The manager asks for more than simulation does: it looks at a victim's
 * accessed bit before the page goes, and takes pages away by itself. A user's policy may have insert, accessed and evict only; the
 * rest is made of these.
 */
import type { ReplacementPolicy } from "@pagewright/vmm";
import type { SimulatedPolicy } from "@pagewright/vmm/policies";
import { UsageError } from "../output.ts";
import { policyFactoryOf, runUserPolicy } from "../policy-modules.ts";

/**
 * Returns the policy that a word names.
 *
 * @param pages - Pages that there may be in all; `frames` of them are resident at once.
 * @throws {@link UsageError} for an unknown name, a module that cannot be used, or a policy that has to know the future.
 */
export async function managerPolicyOf(word: string, pages: number, frames: number): Promise<ReplacementPolicy> {
  if (word.toLowerCase() === "opt")
    throw new UsageError("--policy opt: the optimum knows the future; see `pagewright policies`");
  const factory = await policyFactoryOf("--policy", word);
  const slots = 2 ** Math.ceil(Math.log2(pages + 4096));
  const policy = factory({ slots, frames, requests: new Uint32Array(0) });
  return isComplete(policy) ? policy : new SimplePolicy(word, policy, slots);
}

function isComplete(policy: Partial<ReplacementPolicy>): policy is ReplacementPolicy {
  return [policy.victim, policy.remove, policy.grow, policy.resize, policy.check].every(
    (method) => typeof method === "function",
  );
}

/** What the manager needs, over a policy that can only insert, be told of use, and evict. */
class SimplePolicy implements ReplacementPolicy {
  readonly name: string;
  readonly #policy: Pick<SimulatedPolicy, "insert" | "accessed" | "evict">;
  readonly #slots: number;
  /** 1: resident in the manager's eyes. A page that the manager took away is skipped when the policy evicts it. */
  readonly #resident: Uint8Array;
  /** 1: the policy holds the slot still. */
  readonly #held: Uint8Array;
  /** The victim that was named and not yet taken, or −1; the policy has evicted it already. */
  #named: number = -1;

  constructor(name: string, policy: Pick<SimulatedPolicy, "insert" | "accessed" | "evict">, slots: number) {
    this.name = name;
    this.#policy = policy;
    this.#slots = slots;
    this.#resident = new Uint8Array(slots);
    this.#held = new Uint8Array(slots);
  }

  insert(slot: number): void {
    this.#resident[slot] = 1;
    if (this.#held[slot] === 1) this.accessed(slot);
    else this.#call(() => this.#policy.insert(slot));
    this.#held[slot] = 1;
  }

  accessed(slot: number): void {
    if (slot !== this.#named) {
      this.#call(() => this.#policy.accessed(slot));
      return;
    }
    this.#named = -1;
    this.#held[slot] = 0;
    this.insert(slot);
  }

  victim(): number {
    while (this.#named < 0) {
      const slot = this.#call(() => this.#policy.evict());
      if (!(slot >= 0)) return -1;
      if (this.#held[slot] !== 1) throw new UsageError(`policy ${this.name}: evicted ${slot}, which is not in memory`);
      this.#held[slot] = 0;
      if (this.#resident[slot] === 1) this.#named = slot;
    }
    return this.#named;
  }

  evict(): number {
    const slot = this.victim();
    if (slot >= 0) this.#resident[slot] = 0;
    this.#named = -1;
    return slot;
  }

  remove(slot: number): void {
    this.#resident[slot] = 0;
    if (slot === this.#named) this.#named = -1;
  }

  grow(slots: number): void {
    if (slots > this.#slots)
      throw new UsageError(`policy ${this.name}: made for ${this.#slots} pages, needed for ${slots}`);
  }

  resize(): void {
    return;
  }

  check(): void {
    return;
  }

  #call<T>(code: () => T): T {
    return runUserPolicy(this.name, code);
  }
}
