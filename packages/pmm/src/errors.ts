import type { Pfn } from "./units.ts";

/** What a caller did wrong; one code per cause. */
export type PmmErrorCode =
  /** A range is empty, reversed, beyond 2^40, fractional, or overlaps another. */
  | "bad-range"
  /** An argument is outside its documented domain. */
  | "bad-argument"
  /** The frame is no RAM that this allocator manages. */
  | "not-managed"
  /** The frame is free already. */
  | "double-free"
  /** The frame was never given out. */
  | "never-given"
  /** The frame was given out with another order, or as part of a special run. */
  | "wrong-order"
  /** The frame belongs to another zone than the call is about. */
  | "wrong-zone"
  /** The frame is retired: it is never used again. */
  | "retired"
  /** The frame is wired and so can be neither given back nor moved. */
  | "wired"
  /** The frame has more than one user: its count is not 1. */
  | "counted"
  /** The call needs an optional table, or a slot, that the allocator was created without. */
  | "no-table"
  /** The operation was committed or cancelled before. */
  | "finished"
  /** A sentence that holds for every sound allocator does not hold; only `check()` and drains throw it. */
  | "broken-invariant";

/** Facts that an error carries where they are known. */
export interface PmmErrorFacts {
  /** The frame that the call was about. */
  readonly pfn?: Pfn;
  /** The name of the frame's zone. */
  readonly zone?: string;
  /** The name of the client that owns the frame. */
  readonly owner?: string;
}

const MARKER = Symbol.for("@pagewright/pmm/PmmError");

/** Prints a frame number the way all messages do: `0x` and lower-case hexadecimal digits. */
export function frameText(pfn: Pfn): string {
  return Number.isInteger(pfn) && pfn >= 0 ? `0x${pfn.toString(16)}` : String(pfn);
}

/** The one error that this package throws: a caller's bug, or state that is broken. Nothing changed on a throw. */
export class PmmError extends Error {
  override readonly name = "PmmError";
  /** The cause. */
  readonly code: PmmErrorCode;
  /** The frame that the call was about, if it was about one. */
  readonly pfn: Pfn | undefined;
  /** The name of the frame's zone, if known. */
  readonly zone: string | undefined;
  /** The client that owns the frame, if the owner table is there and knows. */
  readonly owner: string | undefined;

  constructor(code: PmmErrorCode, message: string, facts: PmmErrorFacts = {}) {
    const where = facts.pfn === undefined ? "" : ` (frame ${frameText(facts.pfn)}`;
    const zone = facts.zone === undefined ? "" : `, zone ${facts.zone}`;
    const owner = facts.owner === undefined ? "" : `, owner ${facts.owner}`;
    super(where === "" ? message : `${message}${where}${zone}${owner})`);
    this.code = code;
    this.pfn = facts.pfn;
    this.zone = facts.zone;
    this.owner = facts.owner;
    Object.defineProperty(this, MARKER, { value: true });
  }

  /** True for a `PmmError` of any installed copy of this package. */
  static is(value: unknown): value is PmmError {
    return typeof value === "object" && value !== null && MARKER in value;
  }
}
