/**
 * Not-present entries that carry something for the operating system, such as a swap slot.
 *
 *   63                            12 11      1 0
 *   ~value << 12 (all 52 bits)       tag (11)  0      present bit 0: hardware ignores the rest
 *
 * A processor with the L1TF flaw may speculatively load from the frame that a not-present entry names. The value is stored inverted, so that
 * small values name frames at the top of physical memory, where there is none. Source: Intel, L1 Terminal Fault; Linux, pgtable-invert.
 */

import { PagingError } from "./errors.ts";

/** Largest value of a payload: the frame numbers below 2^39 stay beyond any memory after inversion. */
export const PAYLOAD_LIMIT: number = 2 ** 39;

/** The tag occupies bits 11:3: clear of EPT's three present bits too. */
const TAG_SHIFT = 3;

/** The low word of a payload: `value` 0 … 2^39−1 (a swap slot), `tag` 0 … 511 (whose slot). Throws `out-of-range`. */
export function payloadLow(value: number, tag: number): number {
  if (
    !Number.isInteger(value)
    || value < 0
    || value >= PAYLOAD_LIMIT
    || !Number.isInteger(tag)
    || tag < 0
    || tag > 511
  ) {
    throw new PagingError("out-of-range", `payload ${value} with tag ${tag} does not fit a not-present entry`, {
      value,
      tag,
    });
  }
  return ((~(value * 4096) & 0xfffff000) | (tag << TAG_SHIFT)) >>> 0;
}

/** The high word of a payload. */
export function payloadHigh(value: number): number {
  return ~Math.floor(value / 0x100000) >>> 0;
}

/** The value of a payload entry. */
export function payloadValue(low: number, high: number): number {
  return (~high >>> 0) * 0x100000 + (~low >>> 12);
}

/** The tag of a payload entry. */
export function payloadTag(low: number): number {
  return (low >>> TAG_SHIFT) & 511;
}

/**
 * Whether a not-present entry is safe on a machine of `physicalBits`: it is zero, or names a frame in the upper half of physical
 * addresses, where no memory is.
 */
export function isL1tfSafe(low: number, high: number, physicalBits: number): boolean {
  const pfn = (high & 0xfffff) * 0x100000 + (low >>> 12);
  const named = (low !== 0 || high !== 0) && pfn * 4096 < 2 ** (physicalBits - 1);
  return !named;
}
