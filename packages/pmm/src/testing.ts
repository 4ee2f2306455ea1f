/** One claim about an implementation of a port; throws a plain error when it does not hold. */
export interface ConformanceCase<T> {
  /** The claim. */
  readonly name: string;
  /** Makes fresh implementations and tries the claim on them. */
  run(make: () => T): void | Promise<void>;
}
