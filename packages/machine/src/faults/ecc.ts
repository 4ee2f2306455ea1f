/**
 * The error-correcting code of server memory: 64 data bits and 8 check bits, a Hamming code with an overall parity bit
 * (single error correction, double error detection). Data bits sit at the positions 1 … 71 that are no power of two:
 *
 *   position   1  2  3  4  5  6  7  8  9 …        the syndrome of a single error is the position of the bit,
 *   holds      c  c  d0 c  d1 d2 d3 c  d4 …       with bit 7 set for its odd parity
 *
 * Source: Hsiao, "A Class of Optimal Minimum Odd-weight-column SEC-DED Codes", IBM Journal 14(4), 1970, on Hamming codes
 * with an extra parity bit.
 */

/** By data bit 0 … 63: its position in the code word. */
const POSITIONS: readonly number[] = Array.from({ length: 71 }, (_, at) => at + 1).filter(
  (position) => !Number.isInteger(Math.log2(position)),
);

/** What the check of a word says. */
export interface EccVerdict {
  /** `clean`, `corrected` (one bit), or `uncorrected` (two bits, or more that look like it). */
  readonly kind: "clean" | "corrected" | "uncorrected";
  /** The syndrome: 0 when clean; bit 7 is the overall parity. */
  readonly syndrome: number;
  /** The data bit that was corrected, or −1. */
  readonly bit: number;
}

const CLEAN: EccVerdict = { kind: "clean", syndrome: 0, bit: -1 };

/** Returns the verdict on a word in which `flipped` data bits (0 … 63, distinct) read wrong. */
export function eccVerdict(flipped: readonly number[]): EccVerdict {
  if (flipped.length === 0) return CLEAN;
  const place = flipped.reduce((syndrome, bit) => syndrome ^ (POSITIONS[bit] ?? 0), 0);
  const odd = flipped.length % 2 === 1;
  const syndrome = place + (odd ? 0x80 : 0);
  const bit = odd ? POSITIONS.indexOf(place) : -1;
  return bit >= 0 ? { kind: "corrected", syndrome, bit } : { kind: "uncorrected", syndrome, bit: -1 };
}
