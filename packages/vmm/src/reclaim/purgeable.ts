/**
 * Ranges of spaces that their owners can make again: dropped under pressure, before anything is written to swap. A range is its pages, not its addresses: it moves with them, and
 * where one of them is unmapped nothing is dropped any more, whatever is mapped there next.
 */
import { NEVER_DROPPED, NOT_DROPPED, PurgeableRanges, type PurgeOutcome } from "../pressure/purgeable.ts";
import type { AddressSpace } from "../space/space.ts";
import { PAGE_SIZE, pagesFor, type VirtAddr, type Vpn } from "../units.ts";

/** A purgeable range in its owner's hands. Held when made. */
export interface PurgeableHandle {
  /** Takes the range into use; `purged`: its content is gone and reads as zero. Holds nest. */
  hold(): PurgeOutcome;
  /** Lets the range be dropped when memory runs short. */
  release(): void;
  /** The range is ordinary memory again. */
  close(): void;
}

/** Where the pages of a range are. */
interface Place {
  readonly space: AddressSpace;
  readonly address: VirtAddr;
  readonly bytes: number;
}

/** All purgeable ranges of a manager. */
export class Purgeable {
  /** By range; null where its pages are not together any more. */
  readonly #places: Map<number, Place | null> = new Map();
  readonly #ranges: PurgeableRanges = new PurgeableRanges((range) => this.#drop(range));
  #number = 0;

  /** Makes a range of private memory purgeable. */
  add(space: AddressSpace, address: VirtAddr, bytes: number): PurgeableHandle {
    const range = this.#number++;
    this.#places.set(range, { space, address, bytes });
    this.#ranges.add(range);
    return {
      hold: () => {
        const place = this.#places.get(range) ?? null;
        if (place !== null && !place.space.isDestroyed) place.space.waitForQuiet(place.address, place.bytes);
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

  /** Pages `[start, end)` of a space are unmapped: ranges with one of them have lost it. */
  unmapped(space: AddressSpace, start: Vpn, end: Vpn): void {
    if (this.#places.size === 0) return;
    for (const [range] of this.#within(space, start, end)) {
      this.#places.set(range, null);
      this.#ranges.lose(range);
    }
  }

  /** Pages `[start, end)` of a space are now `distance` pages further up, in that space or another. */
  moved(space: AddressSpace, start: Vpn, end: Vpn, into: AddressSpace, distance: number): void {
    if (this.#places.size === 0) return;
    for (const [range, { address, bytes }] of this.#within(space, start, end)) {
      const isWhole = address >= start * PAGE_SIZE && address + bytes <= end * PAGE_SIZE;
      this.#places.set(range, isWhole ? { space: into, address: address + distance * PAGE_SIZE, bytes } : null);
    }
  }

  /** Throws with the sentence of the broken invariant. */
  check(): void {
    this.#ranges.check();
  }

  #within(space: AddressSpace, start: Vpn, end: Vpn): [number, Place][] {
    const found: [number, Place][] = [];
    for (const [range, place] of this.#places)
      if (place?.space === space && place.address < end * PAGE_SIZE && place.address + place.bytes > start * PAGE_SIZE)
        found.push([range, place]);
    return found;
  }

  #drop(range: number): number {
    const place = this.#places.get(range) ?? null;
    if (place === null) return NEVER_DROPPED;
    if (place.space.isDestroyed) return 0;
    const { core } = place.space.vmm;
    const before = core.resident;
    const outcome = place.space.discard(place.address, place.bytes);
    return outcome === "ok" ? Math.min(before - core.resident, pagesFor(place.bytes)) : NOT_DROPPED;
  }
}
