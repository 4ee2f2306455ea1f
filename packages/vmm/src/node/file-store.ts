/** Files of Node as backing stores and as swap. Synchronous: a transfer blocks the thread, as a fault blocks a program. */
import * as fs from "node:fs";

import { VmmError } from "../errors.ts";
import type { BackingStore, IoOutcome, SwapStore } from "../ports.ts";
import { PAGE_SIZE } from "../units.ts";

/** How a file is opened. */
export interface FileStoreOptions {
  /** Whether stores are refused; false by default. */
  readonly readOnly?: boolean;
  /** Whether the file is made if it is not there; false by default. */
  readonly create?: boolean;
}

/** An open file as a backing store. Errors of the disk are outcomes; opening throws Node's own error. */
export class FileBacking implements BackingStore {
  /** The path it was opened by. */
  readonly path: string;
  /** The last error of the disk, null if there was none. */
  lastError: Error | null = null;
  readonly #descriptor: number;
  readonly #readOnly: boolean;
  #size: number;
  #open = true;

  /** Opens a file. */
  constructor(path: string, options: FileStoreOptions = {}) {
    this.path = path;
    this.#readOnly = options.readOnly ?? false;
    const flags = this.#readOnly ? fs.constants.O_RDONLY : fs.constants.O_RDWR;
    this.#descriptor = fs.openSync(path, options.create === true ? flags | fs.constants.O_CREAT : flags, 0o600);
    this.#size = fs.fstatSync(this.#descriptor).size;
  }

  /** See {@link BackingStore.size}. As of the last open or resize: others' changes are not seen. */
  size(): number {
    return this.#size;
  }

  /** See {@link BackingStore.read}. */
  read(offset: number, into: Uint8Array): IoOutcome {
    try {
      const done = readFully(this.#descriptor, into, offset);
      if (done < into.length) into.fill(0, done);
      return "ok";
    } catch (error) {
      return this.#failed(error);
    }
  }

  /** See {@link BackingStore.write}. */
  write(offset: number, from: Uint8Array): IoOutcome {
    if (this.#readOnly) return "failed";
    try {
      writeFully(this.#descriptor, from, offset);
      this.#size = Math.max(this.#size, offset + from.length);
      return "ok";
    } catch (error) {
      return this.#failed(error);
    }
  }

  /** See {@link BackingStore.sync}. */
  sync(): IoOutcome {
    if (this.#readOnly) return "ok";
    try {
      fs.fdatasyncSync(this.#descriptor);
      return "ok";
    } catch (error) {
      return this.#failed(error);
    }
  }

  /** See {@link BackingStore.resize}. */
  resize(bytes: number): IoOutcome {
    if (this.#readOnly) return "failed";
    try {
      fs.ftruncateSync(this.#descriptor, bytes);
      this.#size = bytes;
      return "ok";
    } catch (error) {
      return this.#failed(error);
    }
  }

  /** Closes the file. Idempotent. */
  close(): void {
    if (this.#open) fs.closeSync(this.#descriptor);
    this.#open = false;
  }

  #failed(error: unknown): IoOutcome {
    this.lastError = error instanceof Error ? error : new Error(String(error));
    return isFull(error) ? "full" : "failed";
  }
}

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
    this.lastError = error instanceof Error ? error : new Error(String(error));
    return isFull(error) ? "full" : "failed";
  }
}

const ZEROES = new Uint8Array(ERASED_TOGETHER * PAGE_SIZE);

function readFully(descriptor: number, into: Uint8Array, offset: number): number {
  let done = 0;
  while (done < into.length) {
    const count = fs.readSync(descriptor, into, done, into.length - done, offset + done);
    if (count === 0) break;
    done += count;
  }
  return done;
}

function writeFully(descriptor: number, from: Uint8Array, offset: number): void {
  let done = 0;
  while (done < from.length) done += fs.writeSync(descriptor, from, done, from.length - done, offset + done);
}

function isFull(error: unknown): boolean {
  const code = error instanceof Error && "code" in error ? error.code : "";
  return code === "ENOSPC" || code === "EDQUOT" || code === "EFBIG";
}
