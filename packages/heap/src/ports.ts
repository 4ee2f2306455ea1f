/**
 * Where an allocator's memory comes from. Addresses and sizes are in any unit that the source has: bytes as a rule, any
 * multiple for a GPU buffer. Addresses may be negative (the upper half of an address space), but never −1.
 */
export interface RangeSource {
  /**
   * Takes a range of `bytes` whose address is a multiple of `alignment` (a power of two).
   *
   * @returns its address, or −1 where there is none. A range that directly follows an earlier one lets allocators merge the two.
   */
  reserve(bytes: number, alignment: number): number;
  /** Gives back a range: one that `reserve` returned, or the tail of one; where ranges follow each other they count as one. */
  release(address: number, bytes: number): void;
  /** Says that the contents of a range, which stays reserved, are not needed: its memory may be taken away and read as zero. */
  discard?(address: number, bytes: number): void;
}

/** The bytes behind a range, for what has to touch them: zeroing, moving, poison, red zones. Plain number ranges have none. */
export interface BlockMemory {
  /** Sets `bytes` bytes to `value` (0 … 255). */
  fill(address: number, bytes: number, value: number): void;
  /** Copies `bytes` bytes; the two ranges may overlap. */
  copy(from: number, to: number, bytes: number): void;
  /** The 32-bit little-endian word at `address` (a multiple of 4), as an int32. */
  load32(address: number): number;
  /** Stores a 32-bit little-endian word at `address` (a multiple of 4). */
  store32(address: number, value: number): void;
}

/** Memory whose words an allocator can reach directly, which is where boundary tags can be held in band. */
export interface WordMemory extends RangeSource, BlockMemory {
  /** All words from address 0: another array when the memory has grown. One that is no longer valid, because someone else has grown the memory, has no words. */
  readonly words: Int32Array;
}

/** The passing of time, in milliseconds from any origin; never goes back. */
export interface Clock {
  now(): number;
}
