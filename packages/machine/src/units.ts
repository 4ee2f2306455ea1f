/**
 * The integer domains of this package. Each type is a plain `number` with a string-literal flavour: a literal needs
 * no cast, yet one domain never passes for another, and the types of two installed copies agree.
 */

/** A physical byte address: an integer in `[0, 2^52)`. */
export type PhysAddr = number & { readonly __unit?: "PhysAddr" };

/** A physical frame number: PhysAddr / 4096, an integer in `[0, 2^40)`. */
export type Pfn = number & { readonly __unit?: "Pfn" };

/**
 * A canonical virtual address read as a signed 64-bit integer: the lower half is ≥ 0, the upper half negative. Exact
 * within ±2^53.
 */
export type VirtAddr = number & { readonly __unit?: "VirtAddr" };

/** A virtual page number: floor(VirtAddr / 4096). */
export type Vpn = number & { readonly __unit?: "Vpn" };

/** The frame number that stands for "no frame". */
export const NO_FRAME: Pfn = -1;

/** Bytes in a frame or a page. */
export const FRAME_BYTES = 4096;

/** Words (32 bits) in a frame. */
export const FRAME_WORDS: number = FRAME_BYTES / 4;

/** One past the highest physical address: 52 bits, the limit of the architecture. */
export const PHYSICAL_LIMIT: PhysAddr = 2 ** 52;

/** Bytes in a KiB. */
export const KIB = 1024;

/** Bytes in a MiB. */
export const MIB: number = 1024 * KIB;

/** Bytes in a GiB. */
export const GIB: number = 1024 * MIB;

/*
 * Hot: written with a literal, because an imported constant is loaded, checked and divided by at every use (2 ns of a TLB miss).
 */

/** Returns the frame that holds a physical address. */
export function pfnOf(address: PhysAddr): Pfn {
  return Math.floor(address * 2 ** -12);
}

/** Returns the first address of a frame. */
export function addressOf(pfn: Pfn): PhysAddr {
  return pfn * FRAME_BYTES;
}

/** Returns the page that holds a virtual address. */
export function vpnOf(address: VirtAddr): Vpn {
  return Math.floor(address * 2 ** -12);
}

/** Returns an address as people read it: `0x` and sixteen digits; a negative number is printed as its 64 bits. */
export function formatAddress(address: number): string {
  return `0x${BigInt.asUintN(64, BigInt(address)).toString(16).padStart(16, "0")}`;
}

/** Returns an address as JSON carries it: `0x` and its digits without padding. */
export function hexOf(address: number): string {
  return address < 0 ? `0x${BigInt.asUintN(64, BigInt(address)).toString(16)}` : `0x${address.toString(16)}`;
}

/** Returns `value` rounded down to a multiple of `unit`, a power of two; exact up to 2^53. */
export function alignDown(value: number, unit: number): number {
  return Math.floor(value / unit) * unit;
}

/** Returns `value` rounded up to a multiple of `unit`, a power of two; exact up to 2^53. */
export function alignUp(value: number, unit: number): number {
  return Math.ceil(value / unit) * unit;
}

/** Returns whether `value` is a power of two from 1 to 2^52; exact. */
export function isPowerOfTwo(value: number): boolean {
  return Number.isSafeInteger(value) && value > 0 && 2 ** Math.round(Math.log2(value)) === value;
}
