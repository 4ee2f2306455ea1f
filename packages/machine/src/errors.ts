/** Every code that a {@link MachineError} can carry. */
export type MachineErrorCode =
  | "bad-argument"
  | "bad-firmware-map"
  | "bad-text"
  | "beyond-map"
  | "unaligned"
  | "overlap"
  | "double-claim"
  | "no-address-space"
  | "host-memory-exhausted"
  | "device-misuse"
  | "mtrr-misuse"
  | "update-sequence"
  | "stale-translation"
  | "deadlock"
  | "snapshot-refused"
  | "snapshot-mismatch"
  | "destroyed"
  | "broken-invariant";

const MARK = Symbol.for("@pagewright/machine/error");

/**
 * The one error of this package: a caller's bug or unreadable input, never an expected outcome.
 *
 * `facts` holds the numbers and names that the message speaks of (both parties of a conflict, for example).
 */
export class MachineError extends Error {
  /** What went wrong, for programs. */
  readonly code: MachineErrorCode;
  /** The facts behind the message. */
  readonly facts: Readonly<Record<string, unknown>>;

  /** Creates an error with a code, a sentence and the facts behind it. */
  constructor(code: MachineErrorCode, message: string, facts: Readonly<Record<string, unknown>> = {}) {
    super(message);
    this.name = "MachineError";
    this.code = code;
    this.facts = facts;
    Object.defineProperty(this, MARK, { value: true });
  }
}

/** Returns whether `value` is a {@link MachineError}, also one of another installed copy of this package. */
export function isMachineError(value: unknown): value is MachineError {
  return typeof value === "object" && value !== null && MARK in value;
}

/** Throws a {@link MachineError} with code `broken-invariant` unless `holds`; `sentence` says what should be true. */
export function invariant(holds: boolean, sentence: string): asserts holds {
  if (!holds) throw new MachineError("broken-invariant", `Invariant broken: ${sentence}`);
}
