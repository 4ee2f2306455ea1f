/**
 * A `Blob` or `File` as the read-only backing of an object: nothing is read before it is asked for, and no more than that.
 *
 * It answers later, never at once, in browsers and in Node ≥ 20 alike.
 */
import type { AsyncBackingStore } from "../ports.ts";
import { reasonOf, storeFailure } from "./store-failure.ts";
import { bytesWithin } from "./transfer-range.ts";

/** What {@link BlobBacking} has done so far. */
export interface BlobBackingStats {
  /** Transfers asked of the Blob. */
  readonly reads: number;
  /** Bytes that came from the Blob. */
  readonly readBytes: number;
}

/** The bytes of a Blob. They cannot change; a `File` that did change on disk is refused by the browser and rejects. */
export class BlobBacking implements AsyncBackingStore {
  readonly #blob: Blob;
  #reads = 0;
  #readBytes = 0;

  /** Uses the Blob as it is; a part of one is `blob.slice(start, end)`. */
  constructor(blob: Blob) {
    this.#blob = blob;
  }

  /** Bytes in the Blob. */
  size(): number {
    return this.#blob.size;
  }

  /**
   * Reads `into.length` bytes at `offset`; what lies beyond the end reads as zero. Rejects with `store-changed` if the file behind the
   * Blob is gone or another one; `into` is then as it was.
   */
  async readLater(offset: number, into: Uint8Array): Promise<void> {
    const bytes = bytesWithin(offset, into.length, this.#blob.size);
    this.#reads++;
    let content: ArrayBuffer;
    try {
      content = await this.#blob.slice(offset, offset + bytes).arrayBuffer();
    } catch (thrown) {
      throw storeFailure("store-changed", `the Blob cannot be read any more: ${reasonOf(thrown)}`, { offset });
    }
    if (content.byteLength !== bytes)
      throw storeFailure("store-changed", `the Blob gave ${content.byteLength} bytes instead of ${bytes}`, { offset });
    into.set(new Uint8Array(content));
    into.fill(0, bytes);
    this.#readBytes += bytes;
  }

  /** Transfers and bytes so far. */
  stats(): BlobBackingStats {
    return { reads: this.#reads, readBytes: this.#readBytes };
  }
}
