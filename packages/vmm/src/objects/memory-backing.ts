/** A file that is bytes in memory: for tests, for generated content, and for files that were loaded whole. */
import type { BackingStore, IoOutcome } from "../ports.ts";

/** Bytes as a backing store. */
export class MemoryBacking implements BackingStore {
  #bytes: Uint8Array;

  /** A file with a copy of these bytes, or of so many zeroes. */
  constructor(content: Uint8Array | number) {
    this.#bytes = typeof content === "number" ? new Uint8Array(content) : content.slice();
  }

  /** The bytes as they are now: what has been written back, no more. */
  get bytes(): Uint8Array {
    return this.#bytes.slice();
  }

  /** See {@link BackingStore.size}. */
  size(): number {
    return this.#bytes.length;
  }

  /** See {@link BackingStore.read}. */
  read(offset: number, into: Uint8Array): IoOutcome {
    const from = this.#bytes.subarray(offset, offset + into.length);
    into.set(from);
    into.fill(0, from.length);
    return "ok";
  }

  /** See {@link BackingStore.write}: `failed` beyond the size. */
  write(offset: number, from: Uint8Array): IoOutcome {
    if (offset + from.length > this.#bytes.length) return "failed";
    this.#bytes.set(from, offset);
    return "ok";
  }

  /** See {@link BackingStore.sync}. */
  sync(): IoOutcome {
    return "ok";
  }

  /** See {@link BackingStore.resize}. */
  resize(bytes: number): IoOutcome {
    const resized = new Uint8Array(bytes);
    resized.set(this.#bytes.subarray(0, bytes));
    this.#bytes = resized;
    return "ok";
  }
}
