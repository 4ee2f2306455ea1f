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

/** A file of page-sized slots as swap. The file grows as slots are used and is removed when closed. */
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
  #open = true;

  /** Makes a file of at most `slots` slots at a path where none is; `keep`: closing leaves it. Throws Node's own error. */
  constructor(path: string, slots: number, keep = false) {
    if (!Number.isInteger(slots) || slots < 1)
      throw new VmmError("out-of-range", "A swap file has at least one slot.", { slots });
    this.path = path;
    this.slots = slots;
    this.#keep = keep;
    this.#descriptor = fs.openSync(path, "wx+", 0o600);
  }

  /** See {@link SwapStore.write}. */
  write(slot: number, from: Uint8Array): IoOutcome {
    try {
      writeFully(this.#descriptor, from, slot * PAGE_SIZE);
      this.writes++;
      return "ok";
    } catch (error) {
      return this.#failed(error);
    }
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

  /** Closes the file and removes it. Idempotent. */
  close(): void {
    if (!this.#open) return;
    this.#open = false;
    fs.closeSync(this.#descriptor);
    if (!this.#keep) fs.rmSync(this.path, { force: true });
  }

  #failed(error: unknown): IoOutcome {
    this.lastError = error instanceof Error ? error : new Error(String(error));
    return isFull(error) ? "full" : "failed";
  }
}

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
