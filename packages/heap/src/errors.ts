/** What allocate and resize return where there is no memory left: a value, not an error. */
export const NO_ADDRESS = -1;

/**
 * What went wrong, as a closed set.
 *
 * - `bad-size`, `bad-alignment`, `bad-option`: an argument outside its documented range; nothing has changed.
 * - `double-free`: the block was freed before. `wild-free`: no block ever started at this address.
 * - `size-mismatch`: a sized free named another size than the block has.
 * - `corrupt`: the words of an allocator, or the bytes around a block, are not what the allocator wrote.
 * - `use-after-free`: a freed block was written to.
 * - `leak`: blocks are live that should not be.
 * - `no-memory`: an operation that cannot say so by its value found no memory.
 * - `destroyed`: the allocator was destroyed.
 * - `in-callback`: a callback asked the heap that called it for what it cannot do meanwhile.
 * - `bad-format`: bytes that should be a saved heap, a trace or a profile are not.
 */
export type HeapErrorCode =
  | "bad-size"
  | "bad-alignment"
  | "bad-option"
  | "double-free"
  | "wild-free"
  | "size-mismatch"
  | "corrupt"
  | "use-after-free"
  | "leak"
  | "no-memory"
  | "destroyed"
  | "in-callback"
  | "bad-format";

/** A caller's mistake or a broken invariant. Running out of memory is not an error: it is the value {@link NO_ADDRESS}. */
export class HeapError extends Error {
  override readonly name = "HeapError";
  /** What went wrong. */
  declare readonly code: HeapErrorCode;
  /** The address or argument that it is about. */
  declare readonly subject: number;

  constructor(code: HeapErrorCode, subject: number, sentence: string = code) {
    super(`${sentence} (${subject})`);
    this.code = code;
    this.subject = subject;
  }
}

/** Whether `value` is a {@link HeapError}, of this or another copy of the package. */
export function isHeapError(value: unknown): value is HeapError {
  return value instanceof Error && value.name === "HeapError";
}
