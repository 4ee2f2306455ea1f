/**
 * A policy for the memory manager, out of what the user named. The manager asks for more than simulation does: it looks at a victim's
 * accessed bit before the page goes, and takes pages away by itself. A user's policy may have insert, accessed and evict only; the
 * rest is made of these.
 */
import type { ReplacementPolicy } from "@pagewright/vmm";
import type { SimulatedPolicy } from "@pagewright/vmm/policies";
import { UsageError } from "../output.ts";
import { isBuiltInPolicy, policyFactoryOf, runUserPolicy } from "../policy-modules.ts";

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
  if (!isComplete(policy)) return new SimplePolicy(word, policy, slots);
  return isBuiltInPolicy(word) ? policy : new WatchedPolicy(word, policy);
}

function isComplete(policy: Partial<ReplacementPolicy>): policy is ReplacementPolicy {
  return [policy.victim, policy.remove, policy.grow, policy.resize, policy.check].every(
    (method) => typeof method === "function",
  );
}

/** A user's policy that has all that the manager needs: what it throws and what it returns becomes a complaint that names it. */
class WatchedPolicy implements ReplacementPolicy {
  readonly name: string;
  readonly #policy: ReplacementPolicy;
  readonly #resident: Set<number> = new Set();

  constructor(name: string, policy: ReplacementPolicy) {
    this.name = name;
    this.#policy = policy;
  }

  insert(slot: number): void {
    this.#resident.add(slot);
    this.#call(() => this.#policy.insert(slot));
  }

  accessed(slot: number): void {
    this.#call(() => this.#policy.accessed(slot));
  }

  victim(): number {
    return this.#resident.size === 0 ? -1 : this.#named(this.#call(() => this.#policy.victim()));
  }

  evict(): number {
    if (this.#resident.size === 0) return -1;
    const slot = this.#named(this.#call(() => this.#policy.evict()));
    this.#resident.delete(slot);
    return slot;
  }

  remove(slot: number): void {
    this.#resident.delete(slot);
    this.#call(() => this.#policy.remove(slot));
  }

  grow(slots: number): void {
    this.#call(() => this.#policy.grow(slots));
  }

  resize(capacity: number): void {
    this.#call(() => this.#policy.resize(capacity));
  }

  check(): void {
    this.#call(() => this.#policy.check());
  }

  #named(slot: number): number {
    if (!this.#resident.has(slot)) throw notInMemory(this.name, slot);
    return slot;
  }

  #call<T>(code: () => T): T {
    return runUserPolicy(this.name, code);
  }
}

function notInMemory(name: string, slot: unknown): UsageError {
  return new UsageError(`policy ${name}: evicted ${String(slot)}, which is not in memory`);
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
  /** How many it holds. */
  #count: number = 0;
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
    if (this.#held[slot] !== 1) this.#count++;
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
      if (this.#count === 0) return -1;
      const slot: unknown = this.#call(() => this.#policy.evict());
      if (typeof slot !== "number" || this.#held[slot] !== 1) throw notInMemory(this.name, slot);
      this.#held[slot] = 0;
      this.#count--;
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
