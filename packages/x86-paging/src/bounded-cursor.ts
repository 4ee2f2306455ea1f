/** Leaves up to a limit, so that listings of hostile tables, which may map 2^36 of them, come to an end and say where. */

import { LeafCursor } from "./cursor.ts";
import type { TableMemory } from "./ports.ts";
import type { PagingState } from "./state.ts";
import type { Vpn } from "./units.ts";

/** Leaves that a search of a whole address space looks at where nobody says otherwise: a few seconds. */
export const LEAF_LIMIT = 0x1000000;
/** Runs that it keeps: 4 GiB of 4K pages of which no two are neighbours. */
export const RUN_LIMIT = 0x100000;

/** How far a listing goes. */
export interface LeafBound {
  /** Stop after this many leaves (default: none; a table may map 2^36 of them). */
  readonly leafLimit?: number;
  /** Told of the first page left out where the limit ended the listing: nothing is said of it and what follows. Called once, before the last line. */
  readonly onCut?: (vpn: Vpn) => void;
}

/** A {@link LeafCursor} with a limit. */
export class BoundedCursor extends LeafCursor {
  readonly #onCut: LeafBound["onCut"];
  #left: number;

  /** A cursor over `pages` pages from `vpn`; over everything where they are left out. Throws `out-of-range`. */
  constructor(state: PagingState, memory: TableMemory, bound: LeafBound, vpn?: Vpn, pages?: number) {
    super(state, memory, vpn, pages);
    this.#left = bound.leafLimit ?? Infinity;
    this.#onCut = bound.onCut;
  }

  /** Moves to the next leaf; false at the end of the range, and at the limit. */
  override next(): boolean {
    if (this.#left > 0) {
      this.#left--;
      return super.next();
    }
    if (this.#left === 0 && super.next()) this.#onCut?.(this.vpn);
    this.#left = -1;
    return false;
  }
}
