/**
 * Units of the package: each kind of integer has a name of its own.
 *
 * A flavour is a literal type: a plain number fits without a cast, yet a {@link Pfn} never passes for a {@link PhysAddr}, and the types of
 * two installed copies agree.
 */

/** Physical address in bytes, 0 … 2^52 − 1, exact. */
export type PhysAddr = number & { readonly __unit?: "PhysAddr" };

/** Frame number: physical address / 4096, 0 … 2^40 − 1. {@link NO_FRAME} stands for none. */
export type Pfn = number & { readonly __unit?: "Pfn" };

/** Virtual address in bytes, the canonical address read as a signed 64-bit integer: upper half negative, exact within ±2^53. */
export type VirtAddr = number & { readonly __unit?: "VirtAddr" };

/** Page number: floor(virtual address / 4096), negative in the upper half. */
export type Vpn = number & { readonly __unit?: "Vpn" };

/** Bytes in a page and in a frame (Intel SDM 3A, 4-level paging: the 4-KByte page). */
export const PAGE_SIZE = 4096;

/** Pages under one page table: 4096 bytes of 8-byte entries. */
export const TABLE_PAGES: number = PAGE_SIZE / 8;

/** The frame number that stands for "no frame". */
export const NO_FRAME: Pfn = -1;

/** The page that holds an address. */
export function vpnOf(address: VirtAddr): Vpn {
  return Math.floor(address / PAGE_SIZE);
}

/** The first address of a page. */
export function addressOf(vpn: Vpn): VirtAddr {
  return vpn * PAGE_SIZE;
}

/** Offset of an address within its page, 0 … 4095. Right for negative addresses too. */
export function offsetOf(address: VirtAddr): number {
  return address & (PAGE_SIZE - 1);
}

/** Pages that hold `bytes` bytes, rounded up. */
export function pagesFor(bytes: number): number {
  return Math.ceil(bytes / PAGE_SIZE);
}
