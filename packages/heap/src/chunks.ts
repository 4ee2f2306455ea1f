import { HeapError } from "./errors.ts";
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

/** One contiguous range taken from the source: `bytes` from `address`, of which the first is word `word`. */
export interface Chunk {
  readonly address: number;
  bytes: number;
  readonly word: number;
}

/** The ranges that an allocator has taken from its source, in the order of their words, and the policy for more. */
export class Chunks {
  readonly #source: RangeSource;
  readonly #least: number;
  readonly #retainBytes: number;
  readonly #retainMs: number;
  readonly #clock: Clock | null;
  #lastGrowth = 0;
  /** The ranges, ascending in words. */
  readonly list: Chunk[] = [];
  /** Calls to the source so far. */
  calls = 0;
  /** Bytes held. */
  bytes = 0;

  constructor(source: RangeSource, policy: GrowthPolicy) {
    this.#source = source;
    this.#least = policy.chunkBytes ?? 65536;
    this.#retainBytes = policy.retainBytes ?? 2 ** 20;
    this.#retainMs = policy.retainMs ?? 1000;
    this.#clock = policy.clock ?? null;
    if (!(this.#least >= 1)) throw new HeapError("bad-option", this.#least, "chunkBytes must be at least 1");
  }

  /**
   * Takes more from the source: as the policy says, or `bytes` where that much is not there.
   *
   * @param word the first word of a range that does not follow the last one.
   * @returns the range, new or grown, with the bytes that it grew by; null where the source has nothing.
   */
  grow(bytes: number, unit: number, alignment: number, word: number): { chunk: Chunk; added: number } | null {
    const least = Math.ceil(bytes / unit) * unit;
    const wish = Math.max(least, Math.ceil(Math.max(this.#least, this.bytes / 8) / unit) * unit);
    let added = wish;
    let address = this.#reserve(wish, alignment);
    if (address === -1 && least < wish) address = this.#reserve((added = least), alignment);
    if (address === -1) return null;
    this.bytes += added;
    if (this.#clock !== null) this.#lastGrowth = this.#clock.now();
    const last = this.list.at(-1);
    if (last !== undefined && last.address + last.bytes === address) {
      last.bytes += added;
      return { chunk: last, added };
    }
    const chunk = { address, bytes: added, word };
    this.list.push(chunk);
    return { chunk, added };
  }

  #reserve(bytes: number, alignment: number): number {
    this.calls++;
    return this.#source.reserve(bytes, alignment);
  }

  /** Gives the last `bytes` of a chunk back. */
  shrink(chunk: Chunk, bytes: number): void {
    this.calls++;
    chunk.bytes -= bytes;
    this.bytes -= bytes;
    this.#source.release(chunk.address + chunk.bytes, bytes);
    if (chunk.bytes === 0) this.list.splice(this.list.indexOf(chunk), 1);
  }

  /** Says that the contents of a free range are not needed. @returns whether the source takes such hints. */
  discard(address: number, bytes: number): boolean {
    if (this.#source.discard === undefined) return false;
    this.calls++;
    this.#source.discard(address, bytes);
    return true;
  }

  /** How many of `free` bytes at the end of the heap the policy gives back now. */
  surplus(free: number): number {
    if (this.#clock === null || free <= this.#retainBytes) return 0;
    return this.#clock.now() - this.#lastGrowth < this.#retainMs ? 0 : free - this.#retainBytes;
  }

  /** Gives everything back. */
  releaseAll(): void {
    for (const chunk of this.list.splice(0)) {
      this.calls++;
      this.#source.release(chunk.address, chunk.bytes);
    }
    this.bytes = 0;
  }
}
