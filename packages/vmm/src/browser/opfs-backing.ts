/**
 * A file of the browser's origin-private file system as the backing of an object: synchronous, so an access that misses is resolved
 * on the spot, as with a file in Node.
 */
import { VmmError } from "../errors.ts";
import type { BackingStore, IoOutcome } from "../ports.ts";
import { isNoRoom, type SyncAccessHandle } from "./sync-access-handle.ts";
import { bytesWithin } from "./transfer-range.ts";

/** Backing over a sync access handle. A device error is an outcome; only use after {@link OpfsBacking.close} throws. */
export class OpfsBacking implements BackingStore {
  readonly #handle: SyncAccessHandle;
  #size: number;
  #open = true;

  /** Takes the handle over: nobody else may change the file's size from now on. */
  constructor(handle: SyncAccessHandle) {
    this.#handle = handle;
    this.#size = handle.getSize();
  }

  /** Bytes in the file. */
  size(): number {
    return this.#size;
  }

  /** Reads `into.length` bytes at `offset`; what lies beyond the end reads as zero. */
  read(offset: number, into: Uint8Array): IoOutcome {
    const bytes = this.#within(offset, into.length);
    try {
      const got = bytes === 0 ? 0 : this.#handle.read(into.subarray(0, bytes), { at: offset });
      if (got !== bytes) return "failed";
    } catch {
      return "failed";
    }
    into.fill(0, bytes);
    return "ok";
  }

  /** Writes all of `from` at `offset`, within the size; `full` where the browser's quota ends. */
  write(offset: number, from: Uint8Array): IoOutcome {
    if (this.#within(offset, from.length) !== from.length)
      throw new VmmError("out-of-range", "a store writes within its size: resize it first", {
        offset,
        length: from.length,
        size: this.#size,
      });
    try {
      return this.#handle.write(from, { at: offset }) === from.length ? "ok" : "full";
    } catch (thrown) {
      return isNoRoom(thrown) ? "full" : "failed";
    }
  }

  /** Makes what was written durable. */
  sync(): IoOutcome {
    this.#requireOpen();
    try {
      this.#handle.flush();
      return "ok";
    } catch (thrown) {
      return isNoRoom(thrown) ? "full" : "failed";
    }
  }

  /** Sets the size; new bytes read as zero. On failure the size is as it was. */
  resize(bytes: number): IoOutcome {
    this.#requireOpen();
    if (!Number.isSafeInteger(bytes) || bytes < 0)
      throw new VmmError("out-of-range", `no file has ${bytes} bytes`, { bytes });
    try {
      this.#handle.truncate(bytes);
    } catch (thrown) {
      return isNoRoom(thrown) ? "full" : "failed";
    }
    this.#size = bytes;
    return "ok";
  }

  /** Gives the file up. */
  close(): void {
    this.#requireOpen();
    this.#open = false;
    this.#handle.close();
  }

  /** Throws if the file's size is not the one that the store goes by: somebody else changed it. */
  check(): void {
    this.#requireOpen();
    const size = this.#handle.getSize();
    if (size !== this.#size)
      throw new VmmError("invariant", "only the store changes its file's size", { size, expected: this.#size });
  }

  #within(offset: number, length: number): number {
    this.#requireOpen();
    return bytesWithin(offset, length, this.#size);
  }

  #requireOpen(): void {
    if (!this.#open) throw new VmmError("destroyed", "the store was closed");
  }
}
