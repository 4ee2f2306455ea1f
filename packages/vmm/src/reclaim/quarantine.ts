/**
 * Frames whose stale translations nobody has been interrupted for: they wait until every processor has passed a quiescent point by itself, in the manner
 * of LATR (Kumar and others, "LATR: Lazy Translation Coherence", ASPLOS 2018).
 *
 * Only unmapped regions' frames come here. Tables never do, and their pages' addresses are not mapped again before the frames are released.
 */
import { VmmError } from "../errors.ts";
import type { FrameSource, TlbControl } from "../ports.ts";
import type { Vpn } from "../units.ts";

/** One plan's frames and pages. */
interface Batch {
  readonly ticket: number;
  readonly asid: number;
  readonly start: Vpn;
  readonly end: Vpn;
  readonly frames: Float64Array;
}

/** Batches in order of their tickets. */
export class Quarantine {
  readonly #frames: FrameSource;
  readonly #tlb: TlbControl;
  readonly #batches: Batch[] = [];
  #held = 0;

  /** A quarantine in front of a source. */
  constructor(frames: FrameSource, tlb: TlbControl) {
    this.#frames = frames;
    this.#tlb = tlb;
  }

  /** Frames held. */
  get held(): number {
    return this.#held;
  }

  /**
   * Takes the frames of an unmapped range; the processors have been told to invalidate it when they come by. Releases what has been passed first: frames that
   * come back soon are still in caches.
   */
  hold(asid: number, start: Vpn, end: Vpn, frames: Float64Array): void {
    this.release();
    this.#batches.push({ ticket: this.#tlb.ticket(), asid, start, end, frames });
    this.#held += frames.length;
  }

  /** Releases what every processor has passed; returns how many frames. */
  release(): number {
    const passed = this.#tlb.quiesced();
    let released = 0;
    while (this.#batches.length > 0) {
      const [first] = this.#batches;
      if (first === undefined || first.ticket > passed) break;
      this.#batches.shift();
      this.#frames.giveMany(first.frames, first.frames.length);
      released += first.frames.length;
    }
    this.#held -= released;
    return released;
  }

  /** Interrupts the processors that owe something and releases everything: frames or addresses are needed. */
  drain(): number {
    if (this.#batches.length === 0) return 0;
    this.#tlb.settle();
    return this.release();
  }

  /** Whether pages of a range of a space may still be known to some processor. */
  overlaps(asid: number, start: Vpn, end: Vpn): boolean {
    return this.#batches.some((batch) => batch.asid === asid && batch.start < end && start < batch.end);
  }

  /** First page of a batch that touches a range of a space, −1 if none does. */
  firstOverlap(asid: number, start: Vpn, end: Vpn): Vpn {
    const batch = this.#batches.find((one) => one.asid === asid && one.start < end && start < one.end);
    return batch === undefined ? -1 : batch.start;
  }

  /** Walks everything; throws with the sentence of the broken invariant. */
  check(): void {
    let held = 0;
    let last = -Infinity;
    for (const batch of this.#batches) {
      held += batch.frames.length;
      if (batch.ticket < last)
        throw new VmmError("invariant", "Quarantined batches are out of order.", { ticket: batch.ticket });
      last = batch.ticket;
    }
    if (held !== this.#held) throw new VmmError("invariant", "The count of quarantined frames is wrong.", { held });
  }

  /** The frames held, for auditors. */
  frames(): Float64Array {
    const all = new Float64Array(this.#held);
    let at = 0;
    for (const batch of this.#batches) {
      all.set(batch.frames, at);
      at += batch.frames.length;
    }
    return all;
  }
}
