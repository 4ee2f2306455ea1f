import { HeapError, NO_ADDRESS } from "./errors.ts";
import type { BlockMemory, RangeSource } from "./ports.ts";

export { NO_ADDRESS };

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
   * @param alignment of the address where the block moves, as for allocate; one that stays keeps the one that it has.
   * @param hint what is said about the block where it moves. What was said before is not kept.
   * @returns the block's address from now on, or {@link NO_ADDRESS}: then the block is as it was. Without reachable bytes
   * (a plain range of numbers) a block is never moved.
   * @throws HeapError as allocate and free do.
   */
  resize(address: number, size: number, alignment?: number, hint?: number): number;
  /** What the live block can hold: at least what was asked for. @throws HeapError `wild-free` where no live block starts there. */
  usableSize(address: number): number;
  /** Whether a live block of this allocator starts at `address`. */
  owns(address: number): boolean;
  /** A snapshot. */
  stats(): HeapStats;
  /** Walks all state. @throws HeapError `corrupt` with the sentence of the broken invariant. */
  check(): void;
  /** Visits every live block, each once. The visitor must not call the allocator. */
  walk(visit: (address: number, bytes: number) => void): void;
  /** Ends the life of all blocks at once and keeps the memory. */
  reset(): void;
  /**
   * Ends the life of all blocks at once and gives all memory back, once. Any later allocation throws `destroyed`; other calls do too, or find no live block.
   */
  destroy(): void;
}

/** A source, whose bytes may be reachable. */
export type HeapSource = RangeSource & Partial<BlockMemory>;

/** Throws what is wrong with a size and an alignment; does nothing where they are in range. */
export function requireRequest(size: number, alignment: number): void {
  if (size % 1 !== 0 || size < 0) throw new HeapError("bad-size", size);
  // The lowest bit that is set, of 31 bits and a sign: of a power of two up to 2^30, and of 0, the number itself.
  if ((alignment & -alignment) !== alignment || alignment < 0) throw new HeapError("bad-alignment", alignment);
}

/** Throws `corrupt` with a sentence where an invariant does not hold. */
export function requireInvariant(holds: boolean, subject: number, sentence: string): void {
  if (!holds) throw new HeapError("corrupt", subject, sentence);
}

/**
 * Moves a block that can hold `usable` to a new one of `size`: what resizing comes to where it cannot be done in place.
 *
 * @returns the new address, or {@link NO_ADDRESS}: where there is no memory, or nothing to copy with.
 */
export function moveBlock(
  heap: Allocator,
  memory: Partial<Pick<BlockMemory, "copy">>,
  address: number,
  usable: number,
  size: number,
  alignment: number,
  hint?: number,
): number {
  const to = memory.copy ? heap.allocate(size, alignment, hint) : NO_ADDRESS;
  if (to !== NO_ADDRESS) {
    memory.copy?.(address, to, Math.min(usable, size));
    heap.free(address);
  }
  return to;
}

/** A snapshot whose live blocks are counted by walking. */
export function measure(heap: Allocator, reservedBytes: number, metadataBytes: number, sourceCalls: number): HeapStats {
  let liveBlocks = 0;
  let liveBytes = 0;
  heap.walk((_address, bytes) => {
    liveBlocks++;
    liveBytes += bytes;
  });
  return { liveBlocks, liveBytes, reservedBytes, metadataBytes, sourceCalls };
}

/** Makes every later allocation throw `destroyed`; there is no block left that anything else could be about. */
export function endUse(heap: Allocator): void {
  heap.allocate = (size) => {
    throw new HeapError("destroyed", size);
  };
}
