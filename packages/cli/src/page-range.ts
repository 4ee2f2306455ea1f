/** Address ranges that users give. */
import { UsageError } from "./output.ts";
import { numberOf } from "./paging-options.ts";

/** A half-open range of bytes, its ends multiples of 4096. */
export interface ByteRange {
  readonly start: bigint;
  readonly end: bigint;
}

/**
 * Reads `START-END` (END exclusive; …fff is rounded up to the page's end) or `START+SIZE`, widened to whole pages.
 *
 * @throws {@link UsageError} naming the option for anything else, and for an empty range.
 */
export function rangeOf(option: string, text: string): ByteRange {
  const match = /^([^-+]+)([-+])(.+)$/.exec(text.trim());
  if (match === null) throw new UsageError(`${option} ${text}: expected START-END or START+SIZE`);
  const first = numberOf(option, match[1]);
  const second = numberOf(option, match[3]);
  const last = match[2] === "+" ? first + second : second;
  const start = (first >> 12n) << 12n;
  const end = ((last + 0xfffn) >> 12n) << 12n;
  if (end <= start || end > 1n << 64n) throw new UsageError(`${option} ${text}: the range is empty or leaves 64 bits`);
  return { start, end };
}
