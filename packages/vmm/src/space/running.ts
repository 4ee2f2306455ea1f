/**
 * Work over pages that may have to be waited for: repeat it until it runs through.
 *
 * ```
 *  work ─ access needs a page that is on its way ─► unwind ─ await the page ─► work again
 *    └─ runs through ─► done            pages touched in any round stay pinned until then, so every round gets further
 * ```
 */
import type { FaultOutcome } from "../outcome.ts";
import { SpaceMemory, type MemoryWatch } from "../space-memory.ts";
import { PAGE_SIZE, vpnOf, type VirtAddr, type Vpn } from "../units.ts";
import { AWAIT_LIMIT } from "./residency.ts";
import type { AddressSpace } from "./space.ts";

/** What a run came to. */
export type RunOutcome<T> =
  /** The work ran through. */
  | { readonly done: true; readonly value: T; readonly rounds: number }
  /** A page came and went without being there when it was needed, or no frame was left for it. */
  | { readonly done: false; readonly reason: "no-progress" | "no-memory"; readonly address: VirtAddr };

/** Ends a round. Never leaves this module. */
class Interruption {
  readonly address: VirtAddr;
  readonly outcome: FaultOutcome;
  constructor(address: VirtAddr, outcome: FaultOutcome) {
    this.address = address;
    this.outcome = outcome;
  }
}

/** Pins what is touched and interrupts what has to wait. */
class Round implements MemoryWatch {
  /** Set when an access had to wait, whatever the work made of it. */
  interruption: Interruption | null = null;
  readonly #space: AddressSpace;
  readonly #pinned: Set<number>;

  constructor(space: AddressSpace, pinned: Set<number>) {
    this.#space = space;
    this.#pinned = pinned;
  }

  touched(page: number): void {
    if (this.#pinned.has(page)) return;
    this.#pinned.add(page);
    this.#space.vmm.core.pin(page);
  }

  failed(address: VirtAddr, outcome: FaultOutcome): void {
    if (outcome !== "pending" && outcome !== "no-memory") return;
    this.interruption = new Interruption(address, outcome);
    // eslint-disable-next-line @typescript-eslint/only-throw-error -- not an error: unwinds the work, caught below
    throw this.interruption;
  }
}

/**
 * Runs `work` until no access has to wait. It may run several times and must be repeatable; other faults (a bus error, a missing right) are its own business, as
 * the results of the memory that it is given. What it throws, the run throws.
 */
export async function runIn<T>(space: AddressSpace, work: (memory: SpaceMemory) => T): Promise<RunOutcome<T>> {
  const pinned = new Set<number>();
  const awaited = new Map<Vpn, number>();
  try {
    for (let rounds = 1; ; rounds++) {
      const round = new Round(space, pinned);
      const value = oneRound(space, round, work);
      const { interruption } = round;
      if (interruption === null) return { done: true, value: value as T, rounds };
      const { address, outcome } = interruption;
      if (outcome === "no-memory" || space.pending === null) return { done: false, reason: "no-memory", address };
      const times = (awaited.get(vpnOf(address)) ?? 0) + 1;
      if (times > AWAIT_LIMIT) return { done: false, reason: "no-progress", address: vpnOf(address) * PAGE_SIZE };
      awaited.set(vpnOf(address), times);
      await space.vmm.pressure.stalls.during(space.pending);
    }
  } finally {
    const { core } = space.vmm;
    const change = core.begin(space);
    for (const page of pinned) core.releasePinned(page, change.plan);
    core.end(change);
  }
}

function oneRound<T>(space: AddressSpace, round: Round, work: (memory: SpaceMemory) => T): T | undefined {
  try {
    return work(new SpaceMemory(space, round));
  } catch (thrown) {
    if (round.interruption !== null) return undefined;
    throw thrown;
  }
}
