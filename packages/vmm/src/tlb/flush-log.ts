/**
 * What was invalidated in one space, lately: a processor that was not interrupted reads here what it missed.
 *
 * ```
 *  generation   … 5        6        7        8 = now            a processor that stopped at 6 missed 7 and 8:
 *  ring         {a, b}    {c}     {all}    {d}                  everything; one that stopped at 7 missed {d} alone
 * ```
 * One generation per invalidation. What is older than the ring, or too much for single pages, is "everything".
 *
 * Source: Linux, arch/x86/mm/tlb.c (tlb_gen of a space against that of a processor's context); the ring is LATR's (ASPLOS 2018, section 4).
 */
import type { Vpn } from "../units.ts";

/** Invalidations that are remembered. A power of two. */
export const LOG_DEPTH = 16;
/** Pages of one invalidation that are remembered one by one. */
export const LOG_PAGES = 32;

/** Everything of the space. */
const ALL = -1;

/** The latest invalidations of one space. */
export class FlushLog {
  readonly #counts: Int16Array = new Int16Array(LOG_DEPTH);
  readonly #tables: Uint8Array = new Uint8Array(LOG_DEPTH);
  readonly #pages: Float64Array = new Float64Array(LOG_DEPTH * LOG_PAGES);
  #generation = 0;

  /** Invalidations so far. */
  get generation(): number {
    return this.#generation;
  }

  /** Enters one invalidation of `pages[0 … count)`, of everything where `count` is −1. `freesTables`: entries that led to tables were among the changes. */
  record(pages: Float64Array, count: number, freesTables: boolean): void {
    const slot = ++this.#generation & (LOG_DEPTH - 1);
    const whole = count < 0 || count > LOG_PAGES;
    this.#counts[slot] = whole ? ALL : count;
    this.#tables[slot] = freesTables ? 1 : 0;
    if (!whole) for (let at = 0; at < count; at++) this.#pages[slot * LOG_PAGES + at] = pages[at]!;
  }

  /** Writes the pages that were invalidated after generation `since` into `into`; how many, −1 if it takes everything. */
  missed(since: number, into: Float64Array): number {
    if (this.#generation - since > LOG_DEPTH) return ALL;
    let total = 0;
    for (let generation = since + 1; generation <= this.#generation; generation++) {
      const slot = generation & (LOG_DEPTH - 1);
      const count = this.#counts[slot]!;
      if (count === ALL || total + count > into.length) return ALL;
      for (let at = 0; at < count; at++) into[total++] = this.#pages[slot * LOG_PAGES + at]!;
    }
    return total;
  }

  /** Whether tables were set free after generation `since`: then a processor must not walk before it has dropped everything. */
  freedTables(since: number): boolean {
    if (this.#generation - since > LOG_DEPTH) return true;
    for (let generation = since + 1; generation <= this.#generation; generation++)
      if (this.#tables[generation & (LOG_DEPTH - 1)] === 1) return true;
    return false;
  }

  /** Whether a page is among what was invalidated after generation `since`. */
  covers(since: number, vpn: Vpn): boolean {
    const count = this.missed(since, FOUND);
    if (count === ALL) return true;
    for (let at = 0; at < count; at++) if (FOUND[at] === vpn) return true;
    return false;
  }
}

const FOUND = new Float64Array(LOG_DEPTH * LOG_PAGES);
