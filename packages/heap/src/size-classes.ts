/*
 * The sizes that small blocks are rounded up to. A slab is 4 KiB; from 272 on the sizes divide it into 15, 14, 13, … parts.
 *
 *      8 … 128 in steps of 8 · … 256 in steps of 16 · 272 288 312 336 368 408 448 512 584 680 816 1024
 *
 * A block wastes at most 7 bytes up to 128, 15 up to 256, and a fifth of the size class above; the tail of a slab that is no
 * block is at most 3.6 %. A table of both is in this package's DESIGN.md, and proved by a test.
 */

/** Bytes of a slab. */
export const SLAB_BYTES = 4096;

/** Largest size that is served out of slabs. */
export const SMALL_BYTES = 1024;

/** The size after a size class: what it is plus 8, or 16, or what a slab holds one less of. */
function nextSize(size: number): number {
  if (size < 256) return size + (size < 128 ? 8 : 16);
  return (SLAB_BYTES / (Math.floor(SLAB_BYTES / size) - 1)) & -8;
}

const sizes: number[] = [];
for (let size = 8; size <= SMALL_BYTES; size = nextSize(size)) sizes.push(size);

/** The size classes, ascending. */
export const SIZE_CLASSES: readonly number[] = sizes;

/** The class of a size, by the size in 8-byte units, rounded up. */
export const CLASS_OF_UNITS: Uint8Array = Uint8Array.from({ length: SMALL_BYTES / 8 + 1 }, (_, units) =>
  sizes.findIndex((size) => size >= units * 8),
);

/** How many size classes there are. */
export const CLASSES: number = SIZE_CLASSES.length;

/** The smallest class whose blocks hold `size` at multiples of `alignment`, both at most 1 KiB. */
export function classFor(size: number, alignment: number): number {
  let list = CLASS_OF_UNITS[(Math.max(size, alignment) + 7) >>> 3]!;
  // A slab is aligned to more than any class: every multiple of a size that is a multiple of the alignment is aligned.
  while (alignment > 8 && (SIZE_CLASSES[list] ?? SLAB_BYTES) % alignment !== 0) list++;
  return list;
}
