/** Two sets of tables side by side: what was mapped, unmapped and changed between them, as ranges. */

import { ATTR_ACCESSED, ATTR_DIRTY, attributesOf } from "./attributes.ts";
import { BoundedCursor } from "./bounded-cursor.ts";
import type { LeafBound } from "./bounded-cursor.ts";
import { rawOfVpn, vpnOfRaw } from "./cursor.ts";
import { PagingError } from "./errors.ts";
import { levelOf } from "./mode.ts";
import type { TableMemory } from "./ports.ts";
import type { PagingState } from "./state.ts";
import type { Pfn, Vpn } from "./units.ts";

/** How a range is mapped on one side. */
export interface Side {
  /** First frame. */
  readonly pfn: Pfn;
  readonly rights: number;
  readonly attributes: number;
  readonly level: number;
}

/** A range in which the two differ in one way. */
export interface Difference {
  readonly kind: "mapped" | "unmapped" | "changed";
  readonly vpn: Vpn;
  readonly pages: number;
  /** Absent where `kind` is "mapped". */
  readonly before?: Side;
  /** Absent where `kind` is "unmapped". */
  readonly after?: Side;
}

/** What counts as a difference. The limit of leaves is one for either side: where one of them is cut off, the comparison ends. */
export interface CompareOptions extends LeafBound {
  readonly vpn?: Vpn;
  readonly pages?: number;
  /** Look at accessed and dirty bits too (default false: hardware sets them). */
  readonly accessedDirty?: boolean;
}

/** One side's leaves as segments that can be cut. */
class SideReader {
  start = Infinity;
  end = Infinity;
  rights = 0;
  attributes = 0;
  level = 0;
  /** Where the limit of leaves cut it off. */
  cutAt = Infinity;
  readonly #cursor: BoundedCursor;
  readonly #state: PagingState;
  readonly #mask: number;
  #pfn = 0;
  #leafStart = 0;

  constructor(state: PagingState, memory: TableMemory, options: CompareOptions) {
    const { leafLimit = Infinity } = options;
    const onCut = (vpn: Vpn): void => void (this.cutAt = rawOfVpn(state.mode, vpn));
    this.#cursor = new BoundedCursor(state, memory, { leafLimit, onCut }, options.vpn, options.pages);
    this.#state = state;
    this.#mask = options.accessedDirty === true ? -1 : ~(ATTR_ACCESSED | ATTR_DIRTY);
    this.advance();
  }

  /** Moves to the next leaf; `start` is Infinity at the end. */
  advance(): void {
    const cursor = this.#cursor;
    if (!cursor.next()) {
      this.start = this.end = Infinity;
      return;
    }
    const level = levelOf(this.#state.mode, cursor.level);
    this.start = this.#leafStart = cursor.raw;
    this.end = cursor.raw + cursor.pages;
    this.rights = cursor.rights;
    this.attributes = attributesOf(this.#state.mode, level, cursor.low, cursor.high) & this.#mask;
    this.level = cursor.level;
    this.#pfn = cursor.pfn;
  }

  /** Gives up the part below `raw`. */
  cut(raw: number): void {
    if (raw >= this.end) this.advance();
    else this.start = raw;
  }

  /** The frame at `start`. */
  get pfn(): Pfn {
    return this.#pfn + (this.start - this.#leafStart);
  }

  side(): Side {
    return { pfn: this.pfn, rights: this.rights, attributes: this.attributes, level: this.level };
  }

  same(other: SideReader): boolean {
    return this.pfn === other.pfn && this.rights === other.rights && this.attributes === other.attributes;
  }
}

/**
 * The differences, in index order, neighbours merged. A page counts by frame, effective rights and attributes; that a large page was split into equal
 * small ones is no difference. Both states must be of one mode (throws `mode-mismatch`). O(leaves of both).
 */
export function* compareTables(
  before: PagingState,
  beforeMemory: TableMemory,
  after: PagingState,
  afterMemory: TableMemory,
  options: CompareOptions = {},
): Generator<Difference, void> {
  const mode = before.mode;
  if (mode !== after.mode)
    throw new PagingError("mode-mismatch", `${mode.name} and ${after.mode.name} tables cannot be compared`, {});
  const a = new SideReader(before, beforeMemory, options);
  const b = new SideReader(after, afterMemory, options);
  let open: Difference | null = null as Difference | null;
  while (a.start !== Infinity || b.start !== Infinity) {
    const start = Math.min(a.start, b.start);
    const cutAt = Math.min(a.cutAt, b.cutAt);
    if (start >= cutAt) break;
    const end = Math.min(cutAt, a.start === start ? a.end : a.start, b.start === start ? b.end : b.start);
    const both = a.start === b.start;
    if (!both || !a.same(b)) {
      const sides = both
        ? { before: a.side(), after: b.side() }
        : a.start === start
          ? { before: a.side() }
          : { after: b.side() };
      const kind = both ? "changed" : a.start === start ? "unmapped" : "mapped";
      const next: Difference = { kind, vpn: vpnOfRaw(mode, start), pages: end - start, ...sides };
      if (open !== null && continues(open, next)) open = { ...open, pages: open.pages + next.pages };
      else {
        if (open !== null) yield open;
        open = next;
      }
    }
    if (a.start === start) a.cut(end);
    if (b.start === start) b.cut(end);
  }
  const cutAt = Math.min(a.cutAt, b.cutAt);
  if (cutAt !== Infinity) options.onCut?.(vpnOfRaw(mode, cutAt));
  if (open !== null) yield open;
}

function continues(open: Difference, next: Difference): boolean {
  if (open.kind !== next.kind || open.vpn + open.pages !== next.vpn) return false;
  return follows(open.before, next.before, open.pages) && follows(open.after, next.after, open.pages);
}

function follows(first: Side | undefined, second: Side | undefined, pages: number): boolean {
  if (first === undefined || second === undefined) return first === second;
  return first.pfn + pages === second.pfn && first.rights === second.rights && first.attributes === second.attributes;
}
