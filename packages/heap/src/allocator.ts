import { HeapError } from "./errors.ts";
import type { BlockMemory, RangeSource } from "./ports.ts";

/** What allocate and resize return where there is no memory left. */
export const NO_ADDRESS = -1;

/** What is said about the block that is asked for, as bits; an allocator may ignore it. */
export const Hint = {
  /** Nothing is known. */
  none: 0,
  /** The block dies soon, together with those allocated around it. */
  shortLived: 1,
  /** The block stays for long: fragmentation matters more than speed. */
  longLived: 2,
} as const;

/** A snapshot of an allocator. All sizes are in the unit of its source (bytes, as a rule). */
export interface HeapStats {
  /** Blocks that are live. */
  readonly liveBlocks: number;
  /** What the live blocks can hold together: at least what was asked for. */
  readonly liveBytes: number;
  /** What was taken from the source and not given back. */
  readonly reservedBytes: number;
  /** The allocator's own state outside the source's ranges, in bytes. */
  readonly metadataBytes: number;
  /** How often the source was called: reserve, release and discard. */
  readonly sourceCalls: number;
}

/** An allocator of blocks out of ranges. All implementations here pass `allocatorSuite` of `@pagewright/heap/testing`. */
export interface Allocator {
  /**
   * The address of a block of at least `size`. A size of 0 gives a block of the smallest size.
   *
   * @param alignment a power of two up to 2^30; 0 stands for the allocator's own (8 where not said otherwise).
   * @param hint bits of {@link Hint}, or an allocator's own.
   * @returns the address, or {@link NO_ADDRESS} where no memory is left or the size exceeds any memory.
   * @throws HeapError `bad-size` for a negative or fractional size, `bad-alignment` where it is no power of two.
   */
  allocate(size: number, alignment?: number, hint?: number): number;
  /**
   * Ends the life of a block.
   *
   * @throws HeapError `double-free` or `wild-free` where no live block starts at `address`; nothing has changed then.
   */
  free(address: number): void;
  /**
   * Changes a block's size, in place or by moving its contents.
   *
   * @returns the block's address from now on, or {@link NO_ADDRESS}: then the block is as it was. Without reachable bytes
   * (a plain range of numbers) a block is never moved.
   * @throws HeapError as allocate and free do.
   */
  resize(address: number, size: number): number;
  /** What the live block can hold: at least what was asked for. @throws HeapError `wild-free` where no live block starts there. */
  usableSize(address: number): number;
  /** Whether a live block of this allocator starts at `address`. */
  owns(address: number): boolean;
  /** Like allocate; the first `size` bytes read as zero. @throws HeapError `no-memory` for a plain range of numbers. */
  allocateZeroed(size: number, alignment?: number, hint?: number): number;
  /** Allocates `count` blocks of one size. @returns how many there was memory for: so many addresses are in `into`. */
  allocateMany(into: Float64Array, count: number, size: number, alignment?: number): number;
  /** Frees the first `count` of `addresses`. Stops at the first misuse, which it throws. */
  freeMany(addresses: Float64Array, count: number): void;
  /** A snapshot. */
  stats(): HeapStats;
  /** Walks all state. @throws HeapError `corrupt` with the sentence of the broken invariant. */
  check(): void;
  /** Visits every live block, each once. The visitor must not call the allocator. */
  walk(visit: (address: number, bytes: number) => void): void;
  /** Ends the life of all blocks at once and keeps the memory. */
  reset(): void;
  /** Ends the life of all blocks at once and gives all memory back. Any later use throws `destroyed`. */
  destroy(): void;
}

/** Throws what is wrong with a size and an alignment; does nothing where they are in range. */
export function requireRequest(size: number, alignment: number): void {
  if (!(size >= 0) || Math.floor(size) !== size) throw new HeapError("bad-size", size);
  if (alignment !== 0 && !(alignment >= 1 && alignment <= 2 ** 30 && (alignment & (alignment - 1)) === 0))
    throw new HeapError("bad-alignment", alignment);
}

/** Throws `corrupt` with a sentence where an invariant does not hold. */
export function requireInvariant(holds: boolean, subject: number, sentence: string): void {
  if (!holds) throw new HeapError("corrupt", subject, sentence);
}

/** A source, whose bytes may be reachable. */
export type HeapSource = RangeSource & Partial<BlockMemory>;

/** The reachable bytes of a source, or null where it is a plain range of numbers. */
export function memoryOf(source: HeapSource): BlockMemory | null {
  return source.fill === undefined ? null : (source as RangeSource & BlockMemory);
}

/** What allocators share: everything that follows from the primitive operations. */
export abstract class BaseAllocator implements Allocator {
  /** The bytes of the blocks, or null for plain numbers. */
  protected readonly memory: BlockMemory | null;

  constructor(memory: BlockMemory | null) {
    this.memory = memory;
  }

  abstract allocate(size: number, alignment?: number, hint?: number): number;
  abstract free(address: number): void;
  abstract usableSize(address: number): number;
  abstract owns(address: number): boolean;
  abstract stats(): HeapStats;
  abstract check(): void;
  abstract walk(visit: (address: number, bytes: number) => void): void;
  abstract reset(): void;
  abstract destroy(): void;

  /** By moving, where the block cannot hold `size`. Allocators that can do better do. */
  resize(address: number, size: number): number {
    const usable = this.usableSize(address);
    requireRequest(size, 0);
    return size <= usable ? address : this.move(address, usable, size);
  }

  /** Moves a block of `usable` to one of `size`. */
  protected move(address: number, usable: number, size: number): number {
    if (this.memory === null) return NO_ADDRESS;
    const to = this.allocate(size);
    if (to === NO_ADDRESS) return to;
    this.memory.copy(address, to, Math.min(usable, size));
    this.free(address);
    return to;
  }

  /** A snapshot whose live blocks are counted by walking. */
  protected measure(reservedBytes: number, metadataBytes: number, sourceCalls: number): HeapStats {
    let liveBlocks = 0;
    let liveBytes = 0;
    this.walk((_address, bytes) => {
      liveBlocks++;
      liveBytes += bytes;
    });
    return { liveBlocks, liveBytes, reservedBytes, metadataBytes, sourceCalls };
  }

  /** Makes every later use throw `destroyed`. */
  protected end(): void {
    this.allocate = (size) => {
      throw new HeapError("destroyed", size);
    };
  }

  /** Allocates, then fills with zero. */
  allocateZeroed(size: number, alignment = 0, hint = 0): number {
    if (this.memory === null) throw new HeapError("no-memory", size);
    const address = this.allocate(size, alignment, hint);
    if (address !== NO_ADDRESS) this.memory.fill(address, size, 0);
    return address;
  }

  /** One by one. */
  allocateMany(into: Float64Array, count: number, size: number, alignment = 0): number {
    let done = 0;
    for (; done < count; done++) {
      const address = this.allocate(size, alignment);
      if (address === NO_ADDRESS) break;
      into[done] = address;
    }
    return done;
  }

  /** One by one. */
  freeMany(addresses: Float64Array, count: number): void {
    for (let at = 0; at < count; at++) this.free(addresses[at]!);
  }
}
