/** Files of Node as backing stores. Synchronous: a transfer blocks the thread, as a fault blocks a program. */
import * as fs from "node:fs";

import type { BackingStore, IoOutcome } from "../ports.ts";
import { errorOf, outcomeOf, readFully, writeFully } from "./transfers.ts";

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
    this.lastError = errorOf(error);
    return outcomeOf(error);
  }
}
