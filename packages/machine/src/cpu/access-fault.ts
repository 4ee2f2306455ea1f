import { formatAddress } from "../units.ts";
import type { VirtAddr } from "../units.ts";

/**
 * How an access ended that did not take place.
 *
 * - `none`: no fault since it was last cleared
 * - `page`: page fault (#PF) that nobody resolved
 * - `protection`: the address is not canonical (#GP)
 * - `double`: a fault while a fault was being delivered (#DF)
 * - `triple`: a fault while #DF was being delivered: the CPU shuts down
 */
export type FaultKind = "none" | "page" | "protection" | "double" | "triple";

/** The last fault of a CPU. One object per CPU, overwritten. */
export class AccessFault {
  /** What kind. */
  kind: FaultKind = "none";
  /** The address accessed. */
  va: VirtAddr = 0;
  /** The error code pushed: for page faults P, W/R, U/S, RSVD, I/D, PK bits. */
  error = 0;

  /** Records a fault. */
  set(kind: FaultKind, va: VirtAddr, error: number): void {
    this.kind = kind;
    this.va = va;
    this.error = error;
  }

  /** Forgets it. */
  clear(): void {
    this.kind = "none";
  }

  /** Returns one line for people. */
  toString(): string {
    return this.kind === "none" ? "no fault" : `${this.kind} fault at ${formatAddress(this.va)}, error ${this.error}`;
  }
}
