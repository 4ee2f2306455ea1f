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
    const wish = Math.max(this.#policy.chunkBytes ?? 65536, this.bytes / 8);
    for (const part of [wish, wish / 16, 0]) {
      const size = Math.ceil(Math.max(part, bytes) / unit) * unit;
      const address = this.#source.reserve(size, alignment);
      this.calls++;
      if (address === -1) continue;
      const last = this.list.at(-1);
      if (last && last.address + last.bytes === address) last.bytes += size;
      else this.list.push({ address, bytes: size, start: 0 });
      this.bytes += size;
      this.#lastGrowth = this.#now();
      return size;
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

  /** Whether free memory has been kept for as long as the policy says. */
  isDue(): boolean {
    return this.#now() - this.#lastGrowth >= (this.#policy.retainMs ?? 1000);
  }

  #now(): number {
    return this.#policy.clock?.now() ?? 0;
  }
}

/** Says to the source of an allocator's chunks that the contents of a free range are not needed, where it takes such hints. */
export function discard(chunks: Chunks, source: RangeSource, address: number, bytes: number): void {
  if (source.discard === undefined) return;
  chunks.calls++;
  source.discard(address, bytes);
}

/** Gives every chunk back. */
export function releaseAll(chunks: Chunks): void {
  while (chunks.list[0] !== undefined) chunks.shrink(chunks.list[0], chunks.list[0].bytes);
}
