/** A clock that can be read: virtual nanoseconds since the machine was switched on. */
export interface Time {
  /** Now, in ns; never goes back. */
  readonly now: number;
}
