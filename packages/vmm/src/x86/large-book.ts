/** Which 2M and 1G leaves the tables of a space have, so that nobody walks tables to learn it, and how many table frames are kept back for them. */
import { VmmError } from "../errors.ts";
import { TABLE_PAGES, type Vpn } from "../units.ts";

/** 4K pages of a 2M leaf. */
export const PAGES_2M: number = TABLE_PAGES;
/** 4K pages of a 1G leaf. */
export const PAGES_1G: number = TABLE_PAGES * TABLE_PAGES;

/** Tables that a leaf needs to become 4K leaves: one for 2M, one and 512 for 1G. */
export function tablesWithin(pages: number): number {
  return pages === PAGES_2M ? 1 : 1 + PAGES_1G / PAGES_2M;
}

/** The leaves above 4K of one space, by first page. */
export class LargeBook {
  readonly #leaves: Map<Vpn, number> = new Map();

  /** Leaves there are. */
  get size(): number {
    return this.#leaves.size;
  }

  /** Notes a new leaf. */
  add(vpn: Vpn, pages: number): void {
    this.#leaves.set(vpn, pages);
  }

  /** Pages of the leaf that a page lies under, 1 if there is none. Two look-ups. */
  pagesAt(vpn: Vpn): number {
    if (this.#leaves.size === 0) return 1;
    const pages = this.#leaves.get(firstOf(vpn, PAGES_2M));
    if (pages !== undefined) return pages;
    return this.#leaves.get(firstOf(vpn, PAGES_1G)) === PAGES_1G ? PAGES_1G : 1;
  }

  /** Whether a leaf reaches from below `vpn` across it. */
  crosses(vpn: Vpn): boolean {
    const pages = this.pagesAt(vpn);
    return pages > 1 && firstOf(vpn, pages) !== vpn;
  }

  /** The leaf over a page became leaves of the next smaller size. */
  split(vpn: Vpn): void {
    const pages = this.pagesAt(vpn);
    const first = firstOf(vpn, pages);
    if (!this.#leaves.delete(first)) throw new VmmError("invariant", "No leaf above 4K is there to split.", { vpn });
    if (pages === PAGES_1G) for (let at = 0; at < PAGES_1G; at += PAGES_2M) this.#leaves.set(first + at, PAGES_2M);
  }

  /** Forgets the leaves within `[start, end)`, none of which leaves it; returns how many tables were kept back for them. */
  remove(start: Vpn, end: Vpn): number {
    let tables = 0;
    this.#within(start, end, (vpn, pages) => {
      this.#leaves.delete(vpn);
      tables += tablesWithin(pages);
    });
    return tables;
  }

  /** The leaves of `[start, start + pages)` lie in another space from now on, at `to`. */
  moveTo(into: LargeBook, start: Vpn, pages: number, to: Vpn): void {
    this.#within(start, start + pages, (vpn, leaf) => {
      this.#leaves.delete(vpn);
      into.#leaves.set(vpn + (to - start), leaf);
    });
  }

  /** The leaves of `[start, start + pages)` that would not be aligned in a range from `to` on, by first page. */
  unaligned(start: Vpn, pages: number, to: Vpn): Vpn[] {
    const found: Vpn[] = [];
    this.#within(start, start + pages, (vpn, leaf) => {
      const there = vpn + (to - start);
      if (firstOf(there, leaf) !== there) found.push(vpn);
    });
    return found;
  }

  #within(start: Vpn, end: Vpn, visit: (vpn: Vpn, pages: number) => void): void {
    if (this.#leaves.size === 0) return;
    if ((end - start) / PAGES_2M > this.#leaves.size) {
      for (const [vpn, pages] of [...this.#leaves]) if (vpn >= start && vpn < end) visit(vpn, pages);
      return;
    }
    for (let vpn = Math.ceil(start / PAGES_2M) * PAGES_2M; vpn < end; vpn += PAGES_2M) {
      const pages = this.#leaves.get(vpn);
      if (pages !== undefined) visit(vpn, pages);
    }
  }
}

/** The first page of the aligned run that a page lies in. */
function firstOf(vpn: Vpn, pages: number): Vpn {
  return Math.floor(vpn / pages) * pages;
}
