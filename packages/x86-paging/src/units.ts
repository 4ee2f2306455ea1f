/**
 * The four kinds of number that memory management mixes up, each with a type of its own.
 *
 * A flavour is optional, so a literal needs no cast, yet a `Pfn` never passes for a `PhysAddr`. Every package of the
 * family declares the same flavours; they agree structurally.
 */

/** A physical address in bytes, 0 … 2^52−1, exact. */
export type PhysAddr = number & { readonly __unit?: "PhysAddr" };

/** A frame number: a physical address divided by 4096. */
export type Pfn = number & { readonly __unit?: "Pfn" };

/**
 * A canonical virtual address read as a signed 64-bit integer: the lower half is ≥ 0, the upper half negative
 * (0xffff_8000_0000_0000 is −2^47). Exact within ±2^53, which is all of 4-level paging.
 */
export type VirtAddr = number & { readonly __unit?: "VirtAddr" };

/** A page number: floor(virtual address / 4096), negative in the upper half. Exact for 5-level paging too. */
export type Vpn = number & { readonly __unit?: "Vpn" };

/** Bytes of a frame and of a 4K page. */
export const PAGE_SIZE = 4096;

/** The frame number that stands for "no frame". */
export const NO_FRAME: Pfn = -1;

/** 2^32: the weight of a high word. */
export const TWO_32 = 4294967296;

/** The frame that holds a physical address. */
export function pfnOf(address: PhysAddr): Pfn {
  return Math.floor(address / PAGE_SIZE);
}

/** The first physical address of a frame. */
export function physOf(pfn: Pfn): PhysAddr {
  return pfn * PAGE_SIZE;
}

/** The page that holds a virtual address. */
export function vpnOf(address: VirtAddr): Vpn {
  return Math.floor(address / PAGE_SIZE);
}

/** The first virtual address of a page; exact within ±2^53 (for 5-level pages beyond that use `addressOfVpn`). */
export function virtOf(vpn: Vpn): VirtAddr {
  return vpn * PAGE_SIZE;
}

/** Bits 31:0 of a signed or unsigned integer of up to 2^53, as an unsigned word. */
export function lowWord(value: number): number {
  return value >>> 0;
}

/** Bits 63:32 of a signed or unsigned integer of up to 2^53, as an unsigned word (two's complement below zero). */
export function highWord(value: number): number {
  return Math.floor(value / TWO_32) >>> 0;
}
