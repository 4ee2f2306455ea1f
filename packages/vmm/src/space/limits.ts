/** Limits of a space; passing one refuses the operation and changes nothing. */

/** The most of each thing that a space may have. */
export interface SpaceLimits {
  /** Regions. Linux's default is 65530. */
  regions: number;
  /** Mapped pages, resident or not. */
  pages: number;
  /** Locked pages. */
  lockedPages: number;
}

/** No limit on pages, Linux's default on regions. */
export function defaultLimits(): SpaceLimits {
  return { regions: 65530, pages: Infinity, lockedPages: Infinity };
}
