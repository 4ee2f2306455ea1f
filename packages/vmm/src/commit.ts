/**
 * Commit accounting: how much private memory has been promised, and how much may be.
 *
 * | policy | refuses |
 * |---|---|
 * | `unlimited` | nothing |
 * | `heuristic` | a single request beyond frames + swap |
 * | `strict` | anything that would take the sum of promises beyond the limit |
 */

import { VmmError } from "./errors.ts";

/** How promises are limited. */
export type CommitPolicy = "unlimited" | "heuristic" | "strict";

/** The account of promised pages. */
export class CommitAccount {
  /** How promises are limited. */
  readonly policy: CommitPolicy;
  /** Pages that can be kept at once: frames plus swap. */
  readonly limit: number;
  #charged = 0;

  /** An account with a limit in pages. */
  constructor(policy: CommitPolicy, limit: number) {
    this.policy = policy;
    this.limit = limit;
  }

  /** Pages promised now. */
  get charged(): number {
    return this.#charged;
  }

  /** Promises pages; false if policy forbids, and nothing changed. `ending`: pages whose promises are about to be taken back for it. */
  charge(pages: number, ending: number = 0): boolean {
    if (this.policy === "heuristic" && pages > this.limit) return false;
    if (this.policy === "strict" && this.#charged + pages - ending > this.limit) return false;
    this.#charged += pages;
    return true;
  }

  /** Throws with the sentence of the broken invariant. `promised`: pages of all regions that count. */
  check(promised: number): void {
    if (this.#charged !== promised)
      throw new VmmError("invariant", "What was promised is not what regions hold.", {
        charged: this.#charged,
        promised,
      });
  }

  /** Takes promises back. */
  uncharge(pages: number): void {
    this.#charged -= pages;
  }
}
