/**
 * The package's one error class. It is thrown for a caller's bug only; expected outcomes (no frame, not mapped, a page fault, a failing disk)
 * are values. One exception: an asynchronous store rejects its promise with a `store-…` code, where a synchronous one returns an outcome.
 */

/** What a caller did wrong. */
export type VmmErrorCode =
  /** An address, length or offset that is no multiple of what it has to be. */
  | "unaligned"
  /** A number outside its domain. */
  | "out-of-range"
  /** An option or a combination of options that means nothing. */
  | "bad-argument"
  /** A space, object or region that was destroyed is used. */
  | "destroyed"
  /** A count would fall below zero: unpin without pin, unlock without lock. */
  | "unbalanced"
  /** An asynchronous store got no answer in time; asking again later may help. */
  | "store-unreachable"
  /** An asynchronous store's server says no. */
  | "store-refused"
  /** What an asynchronous store reads is not what was opened any more. */
  | "store-changed"
  /** An asynchronous store's server answers with something else than it was asked for. */
  | "store-contract"
  /** A port broke its contract: the sentence says which. */
  | "port-contract"
  /** `check()` found a broken invariant: the sentence says which. */
  | "invariant";

const MARKER = Symbol.for("@pagewright/vmm/VmmError");

/** A caller's bug or a broken invariant. Recognise it with {@link isVmmError}, also across copies of the package. */
export class VmmError extends Error {
  /** What went wrong. */
  readonly code: VmmErrorCode;
  /** The numbers and names that the sentence speaks of. */
  readonly facts: Readonly<Record<string, number | string | boolean>>;
  /** Makes the error of `code` with its sentence and facts. */
  constructor(code: VmmErrorCode, sentence: string, facts: Readonly<Record<string, number | string | boolean>> = {}) {
    super(sentence);
    this.name = "VmmError";
    this.code = code;
    this.facts = facts;
    Object.defineProperty(this, MARKER, { value: true });
  }
}

/** Whether a value is a {@link VmmError} of any copy of the package. */
export function isVmmError(value: unknown): value is VmmError {
  return typeof value === "object" && value !== null && MARKER in value;
}

/** Throws `invariant` with the sentence unless the condition holds. */
export function invariant(
  holds: boolean,
  sentence: string,
  facts?: Readonly<Record<string, number | string | boolean>>,
): void {
  if (!holds) throw new VmmError("invariant", sentence, facts);
}
