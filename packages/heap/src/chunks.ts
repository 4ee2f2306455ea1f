import type { Clock, RangeSource } from "./ports.ts";

/** When an allocator takes memory from its source, and when it gives some back. */
export interface GrowthPolicy {
  /** Smallest range taken at once; 65536 by default. Larger heaps take an eighth of what they have. */
  readonly chunkBytes?: number;
  /** Free memory at the end of the heap that is never given back; 1 MiB by default. */
  readonly retainBytes?: number;
  /** Milliseconds for which free memory is kept in case it is needed again; 1000 by default. Counts only with a clock. */
  readonly retainMs?: number;
  /** Without a clock memory is given back by `trim()` alone. */
  readonly clock?: Clock;
}

/** One contiguous range taken from the source. */
export interface Chunk {
  readonly address: number;
  bytes: number;
  /** The number of its first granule: the owner's. */
  start: number;
}

/** The ranges that an allocator has taken from its source, in the order in which they came, and the policy for more. */
export class Chunks {
  readonly #source: RangeSource;
  readonly #policy: GrowthPolicy;
  #lastGrowth = 0;
  readonly list: Chunk[] = [];
  /** Calls to the source so far. */
  calls = 0;
  /** Bytes held. */
  bytes = 0;

  constructor(source: RangeSource, policy: GrowthPolicy) {
    this.#source = source;
    this.#policy = policy;
  }

  /**
   * Takes more from the source: as the policy says, or a sixteenth of that or just `bytes` where that much is not there. What follows the last chunk makes that one longer.
   *
   * @param unit what is taken is a multiple of this.
   * @returns how many bytes came, at the end of the last chunk; 0 where the source has nothing.
   */
  grow(bytes: number, unit: number, alignment: number): number {
    const { chunkBytes = 65536, clock } = this.#policy;
    for (const part of [1, 1 / 16, 0]) {
      const wish = Math.max(chunkBytes, this.bytes / 8) * part;
      const size = Math.ceil(Math.max(wish, bytes) / unit) * unit;
      const address = this.#source.reserve(size, alignment);
      this.calls++;
      if (address !== -1) {
        const last = this.list.at(-1);
        if (last !== undefined && last.address + last.bytes === address) last.bytes += size;
        else this.list.push({ address, bytes: size, start: 0 });
        this.bytes += size;
        this.#lastGrowth = clock?.now() ?? 0;
        return size;
      }
    }
    return 0;
  }

  /** Gives the last `bytes` of a chunk back. */
  shrink(chunk: Chunk, bytes: number): void {
    this.calls++;
    chunk.bytes -= bytes;
    this.bytes -= bytes;
    this.#source.release(chunk.address + chunk.bytes, bytes);
    if (chunk.bytes === 0) this.list.splice(this.list.indexOf(chunk), 1);
  }

  /** Says that the contents of a free range are not needed, where the source takes such hints. */
  discard(address: number, bytes: number): void {
    if (this.#source.discard === undefined) return;
    this.calls++;
    this.#source.discard(address, bytes);
  }

  /** How many of `free` bytes at the end of the heap the policy gives back now. */
  surplus(free: number): number {
    const { clock, retainBytes = 2 ** 20, retainMs = 1000 } = this.#policy;
    return clock !== undefined && clock.now() - this.#lastGrowth >= retainMs ? Math.max(free - retainBytes, 0) : 0;
  }

  /** Gives everything back. */
  releaseAll(): void {
    while (this.list[0] !== undefined) this.shrink(this.list[0], this.list[0].bytes);
  }
}
