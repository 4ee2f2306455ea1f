/**
 * Frames in which an error was found that could not be corrected, from the moment it is noted, which may be in the middle of any access, until it is settled what it costs.
 *
 * ```
 *  error ── suspect: its page stays where it is, is written nowhere and copied nowhere ── Migrator.discard ── a good copy: read again
 *                                                                                                       └─ none: poisoned, a bus error
 * ```
 */
import type { Pfn } from "../units.ts";

/** The frames whose bytes nobody relies on. */
export class SuspectFrames {
  readonly #frames: Set<Pfn> = new Set();

  /** How many there are. */
  get count(): number {
    return this.#frames.size;
  }

  /** Notes an error. */
  add(pfn: Pfn): void {
    this.#frames.add(pfn);
  }

  /** Whether bytes of the frame may be wrong. To be asked after they were read: the reading itself may find the error. One comparison where there are none. */
  has(pfn: Pfn): boolean {
    return this.#frames.size > 0 && this.#frames.has(pfn);
  }

  /** It is settled. */
  delete(pfn: Pfn): void {
    this.#frames.delete(pfn);
  }
}
