/** Limits of a space; passing one refuses the operation and changes nothing. */

/** The most of each thing that a space may have. */
export interface SpaceLimits {
  /** Regions. Linux's default is 65530. */
  regions: number;
  /** Mapped pages, resident or not. */
  pages: number;
  /** Locked pages. */
  lockedPages: number;
  /** Pages with translations at once; beyond, the space's own leave. A fault for which none can leave is `no-memory`. */
  residentPages: number;
  /** −1000 … 1000: thousandths of all memory by which the space counts as larger when one has to go; −1000: never. */
  outOfMemoryAdjustment: number;
}

/** No limit on pages, Linux's default on regions. */
export function defaultLimits(): SpaceLimits {
  return { regions: 65530, pages: Infinity, lockedPages: Infinity, residentPages: Infinity, outOfMemoryAdjustment: 0 };
}
