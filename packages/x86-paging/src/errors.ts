/** The one error class of this package. It is thrown for a caller's mistake only; faults and refusals are values. */

/** What was wrong with the call. */
export type PagingErrorCode =
  | "unaligned"
  | "out-of-range"
  | "not-canonical"
  | "bad-mode"
  | "bad-attributes"
  | "bad-number"
  | "bad-register"
  | "bad-layout"
  | "mode-mismatch"
  | "plan-completed"
  | "inconsistent";

const marker = Symbol.for("@pagewright/x86-paging.PagingError");

/** A caller's mistake. `code` says which, `facts` holds the values that were wrong. */
export class PagingError extends Error {
  /** Which mistake. */
  readonly code: PagingErrorCode;
  /** The values concerned, by name. */
  readonly facts: Readonly<Record<string, string | number>>;

  constructor(code: PagingErrorCode, message: string, facts: Readonly<Record<string, string | number>> = {}) {
    super(message);
    this.name = "PagingError";
    this.code = code;
    this.facts = facts;
    Object.defineProperty(this, marker, { value: true });
  }

  /** Whether a thrown value is a PagingError, of this or of another installed copy of the package. */
  static is(value: unknown): value is PagingError {
    return typeof value === "object" && value !== null && marker in value;
  }
}
