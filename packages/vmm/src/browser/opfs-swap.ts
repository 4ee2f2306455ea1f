/**
 * A file of the browser's origin-private file system as swap: slot n is the 4096 bytes at n × 4096. The file grows as slots are first
 * written and is emptied when the store is made, so no page of an earlier owner can be read.
 */
import { VmmError } from "../errors.ts";
import type { IoOutcome, SwapStore } from "../ports.ts";
import { PAGE_SIZE } from "../units.ts";
import { isNoRoom, type SyncAccessHandle } from "./sync-access-handle.ts";

/** What an {@link OpfsSwap} has done so far. */
export interface OpfsSwapStats {
  /** Slots there are. */
  readonly slots: number;
  /** Slots that hold a page. */
  readonly usedSlots: number;
  /** Pages read. */
  readonly reads: number;
  /** Pages written. */
  readonly writes: number;
}

/** Swap over a sync access handle. One byte of state per slot says whether it holds a page. */
export class OpfsSwap implements SwapStore {
  /** Slots, numbered from 0. */
  readonly slots: number;
  readonly #handle: SyncAccessHandle;
  /** 1 where the slot holds a page. */
  readonly #used: Uint8Array;
  #usedSlots = 0;
  #reads = 0;
  #writes = 0;
  #open = true;

  /** Takes the handle over and empties its file. Throws `out-of-range` unless `slots` is an integer from 1 on. */
  constructor(handle: SyncAccessHandle, slots: number) {
    if (!Number.isInteger(slots) || slots < 1 || slots > 2 ** 31)
      throw new VmmError("out-of-range", `a swap file has 1 … 2^31 slots, not ${slots}`, { slots });
    this.#handle = handle;
    this.slots = slots;
    this.#used = new Uint8Array(slots);
    handle.truncate(0);
  }

  /** Writes the 4096 bytes of a page; `full` where the browser's quota ends, the slot then holds nothing. */
  write(slot: number, from: Uint8Array): IoOutcome {
    this.#requireSlot(slot, from.length);
    this.discard(slot);
    try {
      if (this.#handle.write(from, { at: slot * PAGE_SIZE }) !== PAGE_SIZE) return "full";
    } catch (thrown) {
      return isNoRoom(thrown) ? "full" : "failed";
    }
    this.#used[slot] = 1;
    this.#usedSlots++;
    this.#writes++;
    return "ok";
  }

  /** Reads the 4096 bytes of a page; `failed` for a slot that holds none. */
  read(slot: number, into: Uint8Array): IoOutcome {
    this.#requireSlot(slot, into.length);
    if (this.#used[slot]! === 0) return "failed";
    try {
      if (this.#handle.read(into, { at: slot * PAGE_SIZE }) !== PAGE_SIZE) return "failed";
    } catch {
      return "failed";
    }
    this.#reads++;
    return "ok";
  }

  /** The content of a slot is not needed any more: it can be read no more. The file keeps its size. */
  discard(slot: number): void {
    this.#requireSlot(slot, PAGE_SIZE);
    this.#usedSlots -= this.#used[slot]!;
    this.#used[slot] = 0;
  }

  /** Empties the file and gives it up. */
  close(): void {
    this.#requireOpen();
    this.#open = false;
    this.#handle.truncate(0);
    this.#handle.close();
  }

  /** Slots and transfers so far. */
  stats(): OpfsSwapStats {
    return { slots: this.slots, usedSlots: this.#usedSlots, reads: this.#reads, writes: this.#writes };
  }

  /** Throws unless the used slots add up and lie within the file. */
  check(): void {
    this.#requireOpen();
    let used = 0;
    let end = 0;
    for (let slot = 0; slot < this.slots; slot++)
      if (this.#used[slot]! === 1) {
        used++;
        end = (slot + 1) * PAGE_SIZE;
      }
    const size = this.#handle.getSize();
    if (used !== this.#usedSlots)
      throw new VmmError("invariant", "the used slots are counted", { used, counted: this.#usedSlots });
    if (end > size) throw new VmmError("invariant", "every used slot lies within the file", { end, size });
  }

  #requireSlot(slot: number, bytes: number): void {
    this.#requireOpen();
    if (!Number.isInteger(slot) || slot < 0 || slot >= this.slots)
      throw new VmmError("out-of-range", `there is no slot ${slot}`, { slot, slots: this.slots });
    if (bytes !== PAGE_SIZE) throw new VmmError("bad-argument", "a slot holds one page of 4096 bytes", { bytes });
  }

  #requireOpen(): void {
    if (!this.#open) throw new VmmError("destroyed", "the store was closed");
  }
}
