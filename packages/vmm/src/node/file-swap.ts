/** A file of Node as swap. Synchronous: a transfer blocks the thread, as a fault blocks a program. */
import * as fs from "node:fs";

import { invariant, VmmError } from "../errors.ts";
import type { IoOutcome, SwapStore } from "../ports.ts";
import { PAGE_SIZE } from "../units.ts";
import { errorOf, outcomeOf, readFully, writeFully } from "./transfers.ts";

/** How a swap file is treated. */
export interface FileSwapOptions {
  /** Whether closing leaves the file; false by default. */
  readonly keep?: boolean;
  /**
   * Whether slots that nobody needs any more are overwritten with zeroes, so that nobody who reads the disk finds what programs had in them; false by default. Costs one
   * more transfer for each 16 pages that leave swap, and on closing one of everything that is left.
   */
  readonly erase?: boolean;
}

/** Slots that are given up before they are erased together, and by which the file has to be too long before it is cut. */
const ERASED_TOGETHER = 16;

/**
 * A file of page-sized slots as swap. It grows as slots are used, is cut behind the last one in use, and is removed when closed. Node cannot give the disk a hole in the
 * middle of a file: the room of a slot there is used again by the next page, whole, and not given back before. Only the owner of the process may read the file (mode
 * 0600); without {@link FileSwapOptions.erase} the disk keeps what was in it until it writes something else there.
 */
export class FileSwap implements SwapStore {
  /** See {@link SwapStore.slots}. */
  readonly slots: number;
  /** The file. */
  readonly path: string;
  /** The last error of the disk, null if there was none. */
  lastError: Error | null = null;
  /** Transfers. */
  reads = 0;
  /** Transfers. */
  writes = 0;
  readonly #descriptor: number;
  readonly #keep: boolean;
  /** Slots that were given up and hold what was in them; null: that is left to the next page. */
  readonly #stale: Set<number> | null;
  /** 1 for a slot that holds a page. */
  readonly #used: Uint8Array;
  /** Slots that the file is long. */
  #length = 0;
  /** All slots in use lie below. */
  #end = 0;
  #open = true;

  /** Makes a file of at most `slots` slots at a path where none is. Throws Node's own error. */
  constructor(path: string, slots: number, options: FileSwapOptions = {}) {
    if (!Number.isInteger(slots) || slots < 1)
      throw new VmmError("out-of-range", "A swap file has at least one slot.", { slots });
    this.path = path;
    this.slots = slots;
    this.#keep = options.keep ?? false;
    this.#stale = options.erase === true ? new Set() : null;
    this.#used = new Uint8Array(slots);
    this.#descriptor = fs.openSync(path, "wx+", 0o600);
  }

  /** See {@link SwapStore.write}. */
  write(slot: number, from: Uint8Array): IoOutcome {
    try {
      this.#length = Math.max(this.#length, slot + 1);
      writeFully(this.#descriptor, from, slot * PAGE_SIZE);
      this.writes++;
    } catch (error) {
      this.#stale?.add(slot); // Part of it may be there.
      return this.#failed(error);
    }
    this.#stale?.delete(slot);
    this.#used[slot] = 1;
    this.#end = Math.max(this.#end, slot + 1);
    return "ok";
  }

  /** See {@link SwapStore.read}. */
  read(slot: number, into: Uint8Array): IoOutcome {
    try {
      this.reads++;
      return readFully(this.#descriptor, into, slot * PAGE_SIZE) === PAGE_SIZE ? "ok" : "failed";
    } catch (error) {
      return this.#failed(error);
    }
  }

  /** See {@link SwapStore.discard}. The file gets shorter where slots at its end are free. */
  discard(slot: number): void {
    this.#used[slot] = 0;
    this.#stale?.add(slot);
    if (this.#stale !== null && this.#stale.size >= ERASED_TOGETHER) this.#erase(this.#stale);
    while (this.#end > 0 && this.#used[this.#end - 1] === 0) this.#end--;
    if (this.#length - this.#end >= ERASED_TOGETHER || this.#end === 0) this.#cut();
  }

  /** Throws with the sentence of the broken invariant. */
  check(): void {
    const end = this.#used.lastIndexOf(1) + 1;
    invariant(this.#end === end, "A swap file does not end behind its last slot in use.", { end });
    invariant(this.#end <= this.#length, "A slot in use lies behind the end of the file.", { end });
  }

  /** Closes the file and removes it. Idempotent. */
  close(): void {
    if (!this.#open) return;
    this.#open = false;
    if (this.#stale !== null) {
      if (!this.#keep) for (let slot = 0; slot < this.#end; slot++) this.#stale.add(slot);
      this.#erase(this.#stale);
    }
    fs.closeSync(this.#descriptor);
    if (!this.#keep) fs.rmSync(this.path, { force: true });
  }

  /** Overwrites stale slots, those in a row at once. What cannot be overwritten stays stale. */
  #erase(stale: Set<number>): void {
    const slots = [...stale].sort((a, b) => a - b);
    for (let first = 0, end: number; first < slots.length; first = end) {
      const start = slots[first] ?? 0;
      for (end = first + 1; end < slots.length && end - first < ERASED_TOGETHER; end++)
        if (slots[end] !== start + end - first) break;
      try {
        writeFully(this.#descriptor, ZEROES.subarray(0, (end - first) * PAGE_SIZE), start * PAGE_SIZE);
        for (let slot = start; slot < start + end - first; slot++) stale.delete(slot);
      } catch (error) {
        this.#failed(error);
      }
    }
  }

  #cut(): void {
    try {
      if (this.#stale !== null) this.#erase(this.#stale);
      fs.ftruncateSync(this.#descriptor, this.#end * PAGE_SIZE);
      this.#length = this.#end;
    } catch (error) {
      this.#failed(error);
    }
  }

  #failed(error: unknown): IoOutcome {
    this.lastError = errorOf(error);
    return outcomeOf(error);
  }
}

const ZEROES = new Uint8Array(ERASED_TOGETHER * PAGE_SIZE);
