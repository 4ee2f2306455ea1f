import { NO_ADDRESS } from "./errors.ts";

/** Freed blocks that are kept from reuse, the oldest first: up to so many, and up to so many bytes together. */
export class Quarantine {
  /** A ring of `#held` addresses, the oldest at `#oldest`. */
  readonly #addresses: Float64Array;
  readonly #sizes: Int32Array;
  readonly #limit: number;
  #oldest = 0;
  #held = 0;
  #bytes = 0;

  constructor(places: number, bytes: number) {
    this.#addresses = new Float64Array(places);
    this.#sizes = new Int32Array(places);
    this.#limit = bytes;
  }

  /** Whether nothing is in it. */
  get isEmpty(): boolean {
    return this.#held === 0;
  }

  /** Whether a block of this size is ever kept. */
  takes(size: number): boolean {
    return this.#addresses.length > 0 && size <= this.#limit;
  }

  /** Whether the blocks have more bytes than they may, so that the oldest have to leave. */
  get isOver(): boolean {
    return this.#bytes > this.#limit;
  }

  /** Takes a block in. @returns the oldest one, which had to leave for it, or NO_ADDRESS. */
  put(address: number, size: number): number {
    const leaving = this.#held === this.#addresses.length ? this.takeOldest() : NO_ADDRESS;
    const after = this.#oldest + this.#held;
    const place = after < this.#addresses.length ? after : after - this.#addresses.length;
    this.#addresses[place] = address;
    this.#sizes[place] = size;
    this.#held++;
    this.#bytes += size;
    return leaving;
  }

  /** Takes the oldest block out; there is one. */
  takeOldest(): number {
    const oldest = this.#oldest;
    this.#bytes -= this.#sizes[oldest]!;
    this.#oldest = oldest + 1 === this.#addresses.length ? 0 : oldest + 1;
    this.#held--;
    return this.#addresses[oldest]!;
  }

  /** The addresses of all blocks, the oldest first. */
  addresses(): number[] {
    const { length } = this.#addresses;
    return Array.from({ length: this.#held }, (_, at) => this.#addresses[(this.#oldest + at) % length]!);
  }
}
