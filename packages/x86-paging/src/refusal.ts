/** Why a mapper did not do what it was asked, as a value. The tables are exactly as they were before. */

import { formatBigint, bigintOfVpn, bigintOfWords } from "./address.ts";
import type { PagingMode } from "./mode.ts";
import type { Vpn } from "./units.ts";

/**
 * - `no-table-frame`: `TableFrames.take` had fewer frames than the new tables need;
 * - `mapped`: a page of the range is mapped already, and replacing was not asked for;
 * - `not-mapped`: the page is not mapped by a leaf of the level asked for;
 * - `not-uniform`: the table to merge does not map one aligned run of frames with one set of attributes;
 * - `no-smaller-page`: a 4K page cannot be split.
 */
export type RefusalReason = "no-table-frame" | "mapped" | "not-mapped" | "not-uniform" | "no-smaller-page";

/** A refusal: the reason, and the entry that caused it. */
export interface Refusal {
  readonly ok: false;
  readonly reason: RefusalReason;
  /** Level of the entry found, 0 where no entry is to blame. */
  readonly level: number;
  /** The first page that the entry covers (or the first page asked for). */
  readonly vpn: Vpn;
  /** The entry found. */
  readonly low: number;
  readonly high: number;
  /** Level, address and entry in one sentence. */
  readonly sentence: string;
}

const phrases: Record<RefusalReason, string> = {
  "no-table-frame": "no frame for a new table",
  mapped: "already mapped",
  "not-mapped": "not mapped at this level",
  "not-uniform": "the table does not map one aligned run of frames with one set of attributes",
  "no-smaller-page": "there is no smaller page to split into",
};

/** Makes a refusal out of the entry that was read last. */
export function describeRefusal(
  reason: RefusalReason,
  found: { mode: PagingMode; low: number; high: number },
  level: number,
  vpn: Vpn,
): Refusal {
  const where = formatBigint(bigintOfVpn(vpn));
  const name = found.mode.levels[level]?.name;
  const entry =
    name === undefined
      ? ""
      : `: ${name} entry (level ${level}) holds ${formatBigint(bigintOfWords(found.low, found.high))}`;
  return {
    ok: false,
    reason,
    level,
    vpn,
    low: found.low,
    high: found.high,
    sentence: `${where}: ${phrases[reason]}${entry}`,
  };
}
