/** Freed blocks that are kept from reuse, the oldest first: up to so many, and up to so many bytes together. */
export class Quarantine {
  /** A ring of `#held` addresses, the oldest at `#oldest`. */
  readonly #addresses: Float64Array;
  readonly #sizes: Float64Array;
  readonly #limit: number;
  #oldest = 0;
  #held = 0;
  #bytes = 0;

  constructor(places: number, bytes: number) {
    this.#addresses = new Float64Array(places);
    this.#sizes = new Float64Array(places);
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

  /** Whether a block has to leave before another one comes in. */
  get isFull(): boolean {
    return this.#held === this.#addresses.length;
  }

  /** Whether the blocks have more bytes than they may, so that the oldest have to leave. */
  get isOver(): boolean {
    return this.#bytes > this.#limit;
  }

  /** Takes a block in, for which there is a place. */
  put(address: number, size: number): void {
    const after = this.#oldest + this.#held;
    const place = after < this.#addresses.length ? after : after - this.#addresses.length;
    this.#addresses[place] = address;
    this.#sizes[place] = size;
    this.#held++;
    this.#bytes += size;
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
