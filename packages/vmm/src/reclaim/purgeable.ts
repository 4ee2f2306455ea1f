/** Ranges of spaces that their owners can make again: dropped under pressure, before anything is written to swap. */
import { NOT_DROPPED, PurgeableRanges, type PurgeOutcome } from "../pressure/purgeable.ts";
import type { AddressSpace } from "../space/space.ts";
import { pagesFor, type VirtAddr } from "../units.ts";

/** A purgeable range in its owner's hands. Held when made. */
export interface PurgeableHandle {
  /** Takes the range into use; `purged`: its content is gone and reads as zero. Holds nest. */
  hold(): PurgeOutcome;
  /** Lets the range be dropped when memory runs short. */
  release(): void;
  /** The range is ordinary memory again. */
  close(): void;
}

/** All purgeable ranges of a manager. */
export class Purgeable {
  readonly #places: Map<number, { space: AddressSpace; address: VirtAddr; bytes: number }> = new Map();
  readonly #ranges: PurgeableRanges = new PurgeableRanges((range) => this.#drop(range));
  #number = 0;

  /** Makes a range of private memory purgeable. */
  add(space: AddressSpace, address: VirtAddr, bytes: number): PurgeableHandle {
    const range = this.#number++;
    this.#places.set(range, { space, address, bytes });
    this.#ranges.add(range);
    return {
      hold: () => {
        if (!space.isDestroyed) space.waitForQuiet(address, bytes);
        return this.#ranges.hold(range);
      },
      release: () => this.#ranges.release(range),
      close: () => {
        this.#ranges.remove(range);
        this.#places.delete(range);
      },
    };
  }

  /** Drops ranges that nobody holds, those released longest ago first, until `pages` pages are free; returns how many. */
  purge(pages: number): number {
    return this.#places.size === 0 ? 0 : this.#ranges.purge(pages);
  }

  #drop(range: number): number {
    const place = this.#places.get(range);
    if (place === undefined || place.space.isDestroyed) return 0;
    const { core } = place.space.vmm;
    const before = core.resident;
    const outcome = place.space.discard(place.address, place.bytes);
    return outcome === "ok" ? Math.min(before - core.resident, pagesFor(place.bytes)) : NOT_DROPPED;
  }
}
