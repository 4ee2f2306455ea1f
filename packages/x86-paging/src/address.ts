/** Virtual addresses: canonical form, Linear Address Masking, table indices, text; as numbers, as words, and as bigint. */

import { PagingError } from "./errors.ts";
import type { PagingMode } from "./mode.ts";
import { levelOf } from "./mode.ts";
import type { VirtAddr, Vpn } from "./units.ts";
import { TWO_32 } from "./units.ts";

const MASK_64 = 0xffff_ffff_ffff_ffffn;

/** The signed `VirtAddr` of a (low, high) address. Exact within ±2^53; throws `out-of-range` beyond (5-level addresses). */
export function virtOfWords(low: number, high: number): VirtAddr {
  const address = (high | 0) * TWO_32 + (low >>> 0);
  if (!Number.isSafeInteger(address)) {
    throw new PagingError("out-of-range", `${formatAddress(low, high)} is beyond ±2^53: use words or bigint`, {
      low,
      high,
    });
  }
  return address;
}

/** The page of a (low, high) address, exact over all 64 bits. */
export function vpnOfWords(low: number, high: number): Vpn {
  return (high | 0) * 0x100000 + (low >>> 12);
}

/** The low word of a page's address. */
export function vpnLow(vpn: Vpn): number {
  return (Math.floor(vpn - Math.floor(vpn / 0x100000) * 0x100000) * 4096) >>> 0;
}

/** The high word of a page's address. */
export function vpnHigh(vpn: Vpn): number {
  return Math.floor(vpn / 0x100000) >>> 0;
}

/** A (low, high) pair as an unsigned 64-bit bigint. */
export function bigintOfWords(low: number, high: number): bigint {
  return (BigInt(high >>> 0) << 32n) | BigInt(low >>> 0);
}

/** The (low, high) words of a bigint, modulo 2^64. */
export function wordsOfBigint(value: bigint): readonly [low: number, high: number] {
  const bits = BigInt.asUintN(64, value);
  return [Number(bits & 0xffff_ffffn), Number(bits >> 32n)];
}

/** The unsigned 64-bit form of a signed address: −2^47 becomes 0xffff_8000_0000_0000n. */
export function bigintOfVirt(address: VirtAddr): bigint {
  return BigInt.asUintN(64, BigInt(address));
}

/** The signed form of an unsigned 64-bit address. Throws `out-of-range` beyond ±2^53. */
export function virtOfBigint(value: bigint): VirtAddr {
  const [low, high] = wordsOfBigint(value);
  return virtOfWords(low, high);
}

/** The unsigned 64-bit address of a page, exact for every mode. */
export function bigintOfVpn(vpn: Vpn): bigint {
  return BigInt.asUintN(64, BigInt(vpn) * 4096n);
}

/** The page of an unsigned 64-bit address. */
export function vpnOfBigint(value: bigint): Vpn {
  const [low, high] = wordsOfBigint(value);
  return vpnOfWords(low, high);
}

/** Whether bits 63:`width` of the address with this high word are copies of bit `width − 1`. `width` is 48 or 57 (33 … 63): the low word does not count. */
export function isCanonical(high: number, width: number): boolean {
  const shift = 64 - width;
  return (high << shift) >> shift === (high | 0);
}

/** Whether a signed address is canonical in `width` bits. */
export function isCanonicalVirt(address: VirtAddr, width: number): boolean {
  return address >= -(2 ** (width - 1)) && address < 2 ** (width - 1);
}

/** Whether a 64-bit address is canonical in `width` bits. */
export function isCanonicalBigint(value: bigint, width: number): boolean {
  return BigInt.asUintN(64, BigInt.asIntN(width, value)) === BigInt.asUintN(64, value);
}

/** A LAM address without its tag: bits 62:`width` replaced by bit `width − 1`, bit 63 kept. `width` is 48 or 57. */
export function untagBigint(value: bigint, width: number): bigint {
  const extended = BigInt.asUintN(63, BigInt.asIntN(width, value));
  return (value & (1n << 63n)) | extended;
}

/** The table indices of an address, root first, as in "PML4[511] PDPT[510] PD[0] PT[257]". */
export function splitAddress(mode: PagingMode, value: bigint): { level: number; name: string; index: number }[] {
  const parts: { level: number; name: string; index: number }[] = [];
  for (let n = mode.depth; n > 0; n--) {
    const level = levelOf(mode, n);
    parts.push({
      level: n,
      name: level.name,
      index: Number((value >> BigInt(level.shift)) & BigInt(level.entries - 1)),
    });
  }
  return parts;
}

/** `0x` and sixteen digits of a (low, high) pair. */
export function formatAddress(low: number, high: number): string {
  return `0x${hexWord(high)}${hexWord(low)}`;
}

/** `0x` and sixteen digits of a bigint modulo 2^64. */
export function formatBigint(value: bigint): string {
  return `0x${BigInt.asUintN(64, value).toString(16).padStart(16, "0")}`;
}

/** Eight lower-case digits of a word. */
export function hexWord(word: number): string {
  return (word >>> 0).toString(16).padStart(8, "0");
}

const DIGITS_3: readonly string[] = /* @__PURE__ */ Array.from({ length: 4096 }, (_, i) =>
  i.toString(16).padStart(3, "0"),
);
const DIGITS_2: readonly string[] = /* @__PURE__ */ DIGITS_3.slice(0, 256).map((digits) => digits.slice(1));

/** Prints addresses of pages or frames, quickly where neighbours share their high word: use one for each column. */
export class PageDigits {
  #high = 0;
  #digits = "00000000";

  /** Sixteen digits, without `0x`, of the address of a page or frame (of either sign). */
  of(page: number): string {
    const above = Math.floor(page / 0x100000);
    const high = above >>> 0;
    if (high !== this.#high) {
      this.#high = high;
      this.#digits = hexWord(high);
    }
    const below = page - above * 0x100000;
    return `${this.#digits}${DIGITS_2[below >>> 12] ?? ""}${DIGITS_3[below & 4095] ?? ""}000`;
  }
}

/**
 * Parses a 64-bit number: `0x…` or decimal, `_` and a backtick as separators, a minus sign for the signed form.
 * Throws `bad-number` for anything else or a value that does not fit 64 bits.
 */
export function parseNumber(text: string): bigint {
  const plain = text.trim().replaceAll(/[_`]/g, "");
  const match = /^(-?)(0x[0-9a-f]+|[0-9]+)$/i.exec(plain);
  if (match === null) throw new PagingError("bad-number", `"${text}" is not a number`, { text });
  const magnitude = BigInt(match[2] ?? "0");
  const value = match[1] === "-" ? -magnitude : magnitude;
  if (value > MASK_64 || value < -(1n << 63n))
    throw new PagingError("bad-number", `"${text}" does not fit 64 bits`, { text });
  return BigInt.asUintN(64, value);
}
