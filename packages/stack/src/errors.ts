/** Every cause of a {@link StackError}. */
export type StackErrorCode =
  /** The machine has no processor of that number. */
  | "no-such-processor"
  /** More bytes at once than a channel's buffer has. */
  | "transfer-too-long"
  /** Compressed memory alone, without its number of slots. */
  | "no-slots"
  /** A map without a usable frame above the low zone, which is kept for devices. */
  | "no-memory";

const MARK = Symbol.for("@pagewright/stack/error");

/** The one error of this package: a caller's bug. The layers below throw their own. */
export class StackError extends Error {
  /** What went wrong, for programs. */
  readonly code: StackErrorCode;
  /** The numbers that the message speaks of. */
  readonly facts: Readonly<Record<string, number>>;

  /** Creates an error with a code, a sentence and the facts behind it. */
  constructor(code: StackErrorCode, message: string, facts: Readonly<Record<string, number>>) {
    super(message);
    this.name = "StackError";
    this.code = code;
    this.facts = facts;
    Object.defineProperty(this, MARK, { value: true });
  }
}

/** Returns whether `value` is a {@link StackError}, also one of another installed copy of this package. */
export function isStackError(value: unknown): value is StackError {
  return typeof value === "object" && value !== null && MARK in value;
}
