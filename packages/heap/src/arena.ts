import { endUse, moveBlock, NO_ADDRESS, requireRequest } from "./allocator.ts";
import type { Allocator, HeapSource, HeapStats } from "./allocator.ts";
import { HeapError } from "./errors.ts";

/** How an arena takes memory. */
export interface ArenaOptions {
  /** Smallest range that is taken from the source at once; 65536 by default. Larger arenas take an eighth of what they have. */
  readonly chunkBytes?: number;
}

/** One range of the source, in use up to `top`. */
interface Chunk {
  readonly start: number;
  end: number;
  top: number;
}

/** A place in an arena to rewind to. */
export interface ArenaMark {
  readonly chunks: number;
  readonly top: number;
  readonly blocks: number;
}

/** The chunk of an arena that has none: nothing ends in it, nothing follows it. */
const NOTHING: Chunk = { start: 0, end: NaN, top: 0 };

/**
 * A bump allocator: allocating adds to a number, everything dies together, or back to a mark.
 *
 * It keeps no record per block: `free` of the newest block takes it back, of any other does nothing until `rewind` or `reset`; so `owns` answers for the memory, not
 * for the block, `usableSize` is the distance to the end of what was bumped, and `walk` visits whole chunks. It is the one
 * allocator here that does not detect misuse.
 */
export class Arena implements Allocator {
  readonly #source: HeapSource;
  readonly #chunkBytes: number;
  readonly #chunks: Chunk[] = [];
  /** The last chunk: the one that is bumped. */
  #chunk: Chunk = NOTHING;
  /** Where the newest block starts. */
  #newest = NO_ADDRESS;
  #blocks = 0;
  #calls = 0;
  /** Bytes held. */
  #bytes = 0;

  constructor(source: HeapSource, { chunkBytes = 65536 }: ArenaOptions = {}) {
    this.#source = source;
    this.#chunkBytes = chunkBytes;
  }

  /** Bumps: two additions and a comparison. */
  allocate(size: number, alignment = 0): number {
    requireRequest(size, alignment);
    const chunk = this.#chunk;
    const unit = alignment || 8;
    const address = Math.ceil(chunk.top / unit) * unit;
    const top = address + (size || 1);
    if (!(top <= chunk.end)) return this.#grow(size || 1, unit);
    chunk.top = top;
    this.#newest = address;
    this.#blocks++;
    return address;
  }

  /** Takes a range of the source, or just the block's bytes where there is no more, and allocates. */
  #grow(size: number, unit: number, bytes: number = Math.max(this.#chunkBytes, size, (this.#bytes >>> 6) * 8)): number {
    this.#calls++;
    const start = this.#source.reserve(bytes, unit);
    if (start === NO_ADDRESS) return bytes > size ? this.#grow(size, unit, size) : NO_ADDRESS;
    if (this.#chunk.end !== start) this.#chunks.push((this.#chunk = { start, end: start, top: start }));
    this.#chunk.end += bytes;
    this.#bytes += bytes;
    return this.allocate(size, unit);
  }

  /** Takes the newest block back; any other block stays until rewind or reset. */
  free(address: number): void {
    this.usableSize(address);
    if (address !== this.#newest) return;
    this.#chunk.top = address;
    this.#newest = NO_ADDRESS;
    this.#blocks--;
  }

  /** In place for the newest block; any other block is moved, since nobody knows where it ends. */
  resize(address: number, size: number, alignment = 0): number {
    requireRequest(size, alignment);
    const top = address + (size || 1);
    if (address !== this.#newest || top > this.#chunk.end)
      return moveBlock(this, this.#source, address, this.usableSize(address), size, alignment);
    this.#chunk.top = top;
    return address;
  }

  /** The bytes up to the newest end in the block's chunk. */
  usableSize(address: number): number {
    for (const { start, top } of this.#chunks) if (address >= start && address < top) return top - address;
    throw new HeapError("wild-free", address);
  }

  /** Whether the address lies in what was bumped. */
  owns(address: number): boolean {
    for (const { start, top } of this.#chunks) if (address >= start && address < top) return true;
    return false;
  }

  /** A place to rewind to. What was allocated before it is neither taken back nor made longer in place any more. */
  mark(): ArenaMark {
    this.#newest = NO_ADDRESS;
    return { chunks: this.#chunks.length, top: this.#chunk.top, blocks: this.#blocks };
  }

  /** Ends the life of everything allocated since the mark. @throws HeapError `bad-option` for a mark above what is allocated, because it was rewound over. */
  rewind({ chunks, top, blocks }: ArenaMark): void {
    const { start, top: end } = this.#chunks[chunks - 1] ?? NOTHING;
    if (top < start || top > end || blocks > this.#blocks) throw new HeapError("bad-option", top);
    this.#keep(chunks || 1);
    this.#chunk.top = chunks ? top : this.#chunk.start;
    this.#blocks = blocks;
  }

  /** Gives all chunks but the first `count` back. */
  #keep(count: number): void {
    for (const { start, end } of this.#chunks.splice(count)) {
      this.#calls++;
      this.#bytes -= end - start;
      this.#source.release(start, end - start);
    }
    this.#chunk = this.#chunks.at(-1) ?? NOTHING;
    this.#newest = NO_ADDRESS;
  }

  /** Runs `work`; what it allocated here dies when it returns or throws. */
  scoped<T>(work: (arena: this) => T): T {
    const mark = this.mark();
    try {
      return work(this);
    } finally {
      this.rewind(mark);
    }
  }

  /** A snapshot; `liveBytes` counts padding and blocks freed but not rewound. */
  stats(): HeapStats {
    let liveBytes = 0;
    this.walk((_address, bytes) => (liveBytes += bytes));
    return {
      liveBlocks: this.#blocks,
      liveBytes,
      reservedBytes: this.#bytes,
      metadataBytes: this.#chunks.length * 24,
      sourceCalls: this.#calls,
    };
  }

  /** A chunk's top lies in it. */
  check(): void {
    for (const { start, end, top } of this.#chunks)
      if (top < start || top > end) throw new HeapError("corrupt", top, "tops are in chunks");
  }

  /** Visits the used part of every chunk: blocks leave no trace. */
  walk(visit: (address: number, bytes: number) => void): void {
    for (const { start, top } of this.#chunks) if (top > start) visit(start, top - start);
  }

  /** Forgets all blocks and keeps the first chunk. */
  reset(): void {
    this.rewind({ chunks: 0, top: 0, blocks: 0 });
  }

  /** Forgets all blocks and gives all chunks back. */
  destroy(): void {
    this.#keep(0);
    this.#blocks = 0;
    endUse(this);
  }
}
