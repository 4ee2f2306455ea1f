/**
 * Media: where a block device keeps its bytes for good. One in a real file is in `@pagewright/machine/node`.
 */

/** Where a block device keeps its bytes. Offsets and sizes in bytes; synchronous. */
export interface BlockMedium {
  /** Bytes of the medium. */
  readonly size: number;
  /** Fills `into` from `offset` on. */
  read(offset: number, into: Uint8Array): void;
  /** Stores `from` at `offset`. */
  write(offset: number, from: Uint8Array): void;
  /** Makes all earlier writes durable. */
  sync(): void;
}

/** A medium in memory. */
export class MemoryMedium implements BlockMedium {
  /** Bytes of the medium. */
  readonly size: number;
  readonly #bytes: Uint8Array;

  /** Creates a medium of `size` zero bytes. */
  constructor(size: number) {
    this.size = size;
    this.#bytes = new Uint8Array(size);
  }

  /** BlockMedium: fills `into` from `offset` on. */
  read(offset: number, into: Uint8Array): void {
    into.set(this.#bytes.subarray(offset, offset + into.length));
  }

  /** BlockMedium: stores `from` at `offset`. */
  write(offset: number, from: Uint8Array): void {
    this.#bytes.set(from, offset);
  }

  /** BlockMedium: nothing to do, memory is as durable as it gets. */
  sync(): void {
    /* Memory has no cache to flush. */
  }
}
