/**
 * Pages on their way out that nobody is interrupted for: unmapped in batches, and saved once every processor has passed a quiescent point.
 *
 * ```
 *  unmapped, frozen in its frame ── all have passed ── mapped again meanwhile? ── yes: stays, back to the policy
 *                                                                             └─ no: saved, the frame is free
 * ```
 * A processor with a stale translation goes on storing to the frame, which still is the page's: nothing is lost, because the bytes are saved after the last one
 * has passed. A dirty bit cannot be missed either: a processor sets it in the entry, finds the entry gone and faults (Intel SDM 3A, Accessed and Dirty
 * Flags). Who needs frames at once settles: interrupts whoever still owes something.
 */
import type { Core } from "../core.ts";
import { VmmError } from "../errors.ts";
import type { Victim } from "../reclaim/reclaimer.ts";

interface Batch {
  readonly ticket: number;
  readonly victims: readonly Victim[];
}

/** Batches of pages that leave, in order of their tickets. */
export class Parting {
  readonly #core: Core;
  readonly #batches: Batch[] = [];
  #isRunning = false;

  /** Nothing leaves at first. */
  constructor(core: Core) {
    this.#core = core;
  }

  /** Pages on their way out. */
  get count(): number {
    return this.#batches.reduce((sum, { victims }) => sum + victims.length, 0);
  }

  /** Sends up to `budget` pages on their way; returns how many. */
  depart(budget: number): number {
    const core = this.#core;
    const { tlb } = core;
    if (tlb === null) return 0;
    const change = core.begin(null);
    const victims = core.reclaimer.unmapVictims(budget, change.plan);
    if (victims.length > 0) {
      change.plan.flushLater();
      this.#batches.push({ ticket: tlb.ticket(), victims });
    }
    core.end(change);
    return victims.length;
  }

  /** Ends the departure of pages that everybody has passed; returns how many frames came free. */
  arrive(): number {
    const core = this.#core;
    if (this.#batches.length === 0 || this.#isRunning) return 0;
    this.#isRunning = true;
    let freed = 0;
    const passed = core.tlb?.quiesced() ?? Infinity;
    for (let first = this.#batches[0]; first !== undefined && first.ticket <= passed; first = this.#batches[0]) {
      this.#batches.shift();
      const change = core.begin(null);
      freed += core.reclaimer.finishVictims(first.victims, change.plan);
      core.end(change);
    }
    this.#isRunning = false;
    return freed;
  }

  /** Interrupts the processors that owe something, and ends all departures: frames are needed now. */
  settle(): number {
    if (this.#batches.length === 0) return 0;
    this.#core.tlb?.settle();
    return this.arrive();
  }

  /** Walks everything; throws with the sentence of the broken invariant. */
  check(): void {
    let last = -Infinity;
    for (const { ticket, victims } of this.#batches) {
      if (ticket < last) throw new VmmError("invariant", "Batches of pages that leave are out of order.", { ticket });
      last = ticket;
      for (const { page } of victims)
        if (this.#core.pages.pins[page] === 0)
          throw new VmmError("invariant", "A page that is on its way out is not held in its frame.", { page });
    }
  }
}
