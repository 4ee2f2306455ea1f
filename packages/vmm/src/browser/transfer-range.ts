/** The part of a transfer that lies within a file. */
import { VmmError } from "../errors.ts";

/**
 * Bytes of `[offset, offset + length)` that lie below `size`, 0 … `length`.
 *
 * Throws `out-of-range` unless the offset is an integer from 0 on and the end is exact (≤ 2^53 − 1).
 */
export function bytesWithin(offset: number, length: number, size: number): number {
  if (!Number.isSafeInteger(offset) || offset < 0 || !Number.isSafeInteger(offset + length))
    throw new VmmError("out-of-range", `no transfer of ${length} bytes at offset ${offset}`, { offset, length });
  return Math.max(0, Math.min(length, size - offset));
}
