/** A physical address in bytes: a number from 0 to 2^52 − 1, exact. */
export type PhysAddr = number & { readonly __unit?: "PhysAddr" };

/** A frame number: the physical address of a 4 KiB frame divided by 4096, from 0 to 2^40 − 1. */
export type Pfn = number & { readonly __unit?: "Pfn" };

/** Bytes of a frame. */
export const FRAME_BYTES = 4096;

/** Frames of a 2M block, the unit of the lock-free bit fields: 2 MiB / 4 KiB. */
export const BLOCK_FRAMES = 512;

/** log2 of the frames of a 1G group. A number of its own so that tests can explore groups of a few blocks. */
export const GROUP_SHIFT: number = 18;

/** Frames of a 1G group: 512 blocks of 512 frames. */
export const GROUP_FRAMES: number = 2 ** GROUP_SHIFT;

/** One past the highest frame number: physical addresses have at most 52 bits (Intel SDM 3A, "Physical-address width"). */
export const PFN_LIMIT: number = 2 ** 40;

/** The answer of `take` when there is no frame: never a frame number. */
export const NO_FRAME = -1;

/** Orders that `take` serves: log2 of the frames of a 4K, a 2M and a 1G page. */
export const ORDER_4K = 0;
/** The order of a 2M block: 2^9 frames. */
export const ORDER_2M = 9;
/** The order of a 1G group: 2^18 frames. */
export const ORDER_1G: number = GROUP_SHIFT;
