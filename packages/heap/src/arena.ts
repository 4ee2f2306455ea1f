import { BaseAllocator, memoryOf, NO_ADDRESS, requireInvariant, requireRequest } from "./allocator.ts";
import type { HeapSource, HeapStats } from "./allocator.ts";
import { HeapError } from "./errors.ts";

/** How an arena takes memory. */
export interface ArenaOptions {
  /** Smallest range that is taken from the source at once; 65536 by default. */
  readonly chunkBytes?: number;
}

/** One range of the source: `[start, end)`, bumped up to `top` when it is not the last. */
interface Chunk {
  readonly start: number;
  readonly end: number;
  top: number;
}

/** A place in an arena to rewind to. */
export interface ArenaMark {
  readonly chunks: number;
  readonly top: number;
  readonly blocks: number;
}

/**
 * A bump allocator: allocating adds to a number, everything dies together, or back to a mark.
 *
 * It keeps no record per block: `free` of the newest block takes it back, of any other does nothing until `rewind` or `reset`; so `owns` answers for the memory, not
 * for the block, `usableSize` is the distance to the end of what was bumped, and `walk` visits whole chunks. It is the one
 * allocator here that does not detect misuse.
 */
export class Arena extends BaseAllocator {
  readonly #source: HeapSource;
  readonly #chunkBytes: number;
  #chunks: Chunk[] = [];
  #top = 0;
  #end = 0;
  /** Where the newest block starts. */
  #last = 0;
  #blocks = 0;
  #calls = 0;

  constructor(source: HeapSource, options: ArenaOptions = {}) {
    super(memoryOf(source));
    this.#source = source;
    this.#chunkBytes = options.chunkBytes ?? 65536;
  }

  /** Bumps: two additions and a comparison. */
  allocate(size: number, alignment = 8): number {
    requireRequest(size, alignment);
    const unit = alignment === 0 ? 8 : alignment;
    const address = Math.ceil(this.#top / unit) * unit;
    const top = address + Math.max(size, 1);
    if (top > this.#end) return this.#allocateInNext(size, unit);
    this.#top = top;
    this.#last = address;
    this.#blocks++;
    return address;
  }

  #allocateInNext(size: number, unit: number): number {
    const bytes = Math.ceil(Math.max(this.#chunkBytes, size, 1) / 8) * 8;
    this.#calls++;
    let start = this.#source.reserve(bytes, Math.max(unit, 8));
    let end = start + bytes;
    if (start === NO_ADDRESS) {
      this.#calls++;
      start = this.#source.reserve(Math.max(size, 1), Math.max(unit, 8));
      if (start === NO_ADDRESS) return NO_ADDRESS;
      end = start + Math.max(size, 1);
    }
    const last = this.#chunks.at(-1);
    if (last?.end === start) this.#chunks[this.#chunks.length - 1] = { start: last.start, end, top: 0 };
    else {
      if (last !== undefined) last.top = this.#top;
      this.#chunks.push({ start, end, top: 0 });
      this.#top = start;
    }
    this.#end = end;
    return this.allocate(size, unit);
  }

  /** Takes the newest block back; any other block stays until rewind or reset. */
  free(address: number): void {
    if (!this.owns(address)) throw new HeapError("wild-free", address);
    if (address !== this.#last || this.#blocks === 0) return;
    this.#top = address;
    this.#blocks--;
    this.#last = NO_ADDRESS;
  }

  /** In place for the newest block; any other block is moved, since nobody knows where it ends. */
  override resize(address: number, size: number): number {
    requireRequest(size, 0);
    const usable = this.usableSize(address);
    if (address !== this.#last || address + Math.max(size, 1) > this.#end) return this.move(address, usable, size);
    this.#top = address + Math.max(size, 1);
    return address;
  }

  /** The bytes up to the newest end in the block's chunk. */
  usableSize(address: number): number {
    const at = this.#chunks.findIndex((chunk) => address >= chunk.start && address < chunk.end);
    const chunk = this.#chunks[at];
    if (chunk === undefined || address > this.#topOf(at)) throw new HeapError("wild-free", address);
    return this.#topOf(at) - address;
  }

  /** Whether the address lies in what was bumped. */
  owns(address: number): boolean {
    return this.#chunks.some(
      (chunk, at) => address >= chunk.start && address <= this.#topOf(at) && address < chunk.end,
    );
  }

  /** A place to rewind to. */
  mark(): ArenaMark {
    return { chunks: this.#chunks.length, top: this.#top, blocks: this.#blocks };
  }

  /** Ends the life of everything allocated since the mark. @throws HeapError `bad-option` for a mark that was rewound over. */
  rewind(mark: ArenaMark): void {
    if (mark.chunks > this.#chunks.length || mark.blocks > this.#blocks) throw new HeapError("bad-option", mark.top);
    for (const chunk of this.#chunks.splice(Math.max(mark.chunks, 1))) {
      this.#calls++;
      this.#source.release(chunk.start, chunk.end - chunk.start);
    }
    const last = this.#chunks.at(-1);
    this.#top = mark.chunks === 0 ? (last?.start ?? 0) : mark.top;
    this.#end = last?.end ?? 0;
    this.#last = NO_ADDRESS;
    this.#blocks = mark.blocks;
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

  #topOf(at: number): number {
    return at === this.#chunks.length - 1 ? this.#top : (this.#chunks[at]?.top ?? 0);
  }

  /** A snapshot; `liveBytes` counts padding and blocks freed but not rewound. */
  stats(): HeapStats {
    let live = 0;
    let reserved = 0;
    this.#chunks.forEach((chunk, at) => {
      live += this.#topOf(at) - chunk.start;
      reserved += chunk.end - chunk.start;
    });
    return {
      liveBlocks: this.#blocks,
      liveBytes: live,
      reservedBytes: reserved,
      metadataBytes: this.#chunks.length * 24,
      sourceCalls: this.#calls,
    };
  }

  /** The top lies in the last chunk, every other chunk's in it. */
  check(): void {
    this.#chunks.forEach((chunk, at) => {
      const top = this.#topOf(at);
      requireInvariant(top >= chunk.start && top <= chunk.end, top, "an arena's top lies in its chunk");
    });
  }

  /** Visits the used part of every chunk: blocks leave no trace. */
  walk(visit: (address: number, bytes: number) => void): void {
    this.#chunks.forEach((chunk, at) => {
      if (this.#topOf(at) > chunk.start) visit(chunk.start, this.#topOf(at) - chunk.start);
    });
  }

  /** Forgets all blocks and keeps the first chunk. */
  reset(): void {
    this.rewind({ chunks: 0, top: 0, blocks: 0 });
  }

  /** Forgets all blocks and gives all chunks back. */
  destroy(): void {
    for (const { start, end } of this.#chunks) this.#source.release(start, end - start);
    this.#chunks = [];
    this.#top = this.#end = this.#blocks = 0;
    this.allocate = () => {
      throw new HeapError("destroyed", 0);
    };
  }
}
