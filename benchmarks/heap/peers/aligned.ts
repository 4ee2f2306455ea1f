/** Alignments above an allocator's own, for peers that have none: a larger block, and a note of where it really starts. */
export class AlignedBlocks {
  readonly #starts = new Map<number, number>();
  readonly #allocate: (size: number) => number;

  constructor(allocate: (size: number) => number) {
    this.#allocate = allocate;
  }

  /** Whether any block is noted. */
  any = false;

  /** Returns an aligned address inside a larger block, or −1. */
  allocate(size: number, alignment: number): number {
    const start = this.#allocate(size + alignment);
    if (start === -1) return -1;
    const address = Math.ceil(start / alignment) * alignment;
    this.#starts.set(address, start);
    this.any = true;
    return address;
  }

  /** Returns what has to be freed for an address, and forgets it. */
  startOf(address: number): number {
    const start = this.#starts.get(address);
    if (start === undefined) return address;
    this.#starts.delete(address);
    return start;
  }
}
