/**
 * Memory types: which one a leaf selects, and what it becomes together with the MTRRs or with EPT.
 * Source: SDM 3A, Effective Page-Level Memory Types; SDM 3C, Memory Type Used for Translated Guest-Physical Addresses.
 */

import { PAT_AT_RESET } from "./registers.ts";

/** Memory types as the manual numbers them. UC− exists in the PAT only. */
export const MEMORY_UC = 0;
/** Write combining. */
export const MEMORY_WC = 1;
/** Write through. */
export const MEMORY_WT = 4;
/** Write protected. */
export const MEMORY_WP = 5;
/** Write back. */
export const MEMORY_WB = 6;
/** Uncached, but an MTRR of WC wins. */
export const MEMORY_UC_MINUS = 7;

/** A memory type and why it is that. */
export interface EffectiveType {
  /** `MEMORY_…`, or −1 where the manual leaves the combination undefined. */
  readonly type: number;
  readonly reason: string;
}

/** The memory type that PAT entry `index` (PAT PCD PWT) selects. Reserved encodings come back as they are (2, 3). */
export function patType(index: number, pat: bigint = PAT_AT_RESET): number {
  return Number((pat >> BigInt(8 * index)) & 7n);
}

/** One cell of the manual's table: MTRR type × PAT type. */
export interface MemoryTypeRule extends EffectiveType {
  readonly mtrr: number;
  readonly pat: number;
}

const rule = (mtrr: number, pat: number, type: number, reason: string): MemoryTypeRule => ({ mtrr, pat, type, reason });
const forced = "the PAT says UC, which no MTRR weakens";
const mtrrUncached = "the MTRR says UC, and the PAT does not say WC";
const combining = "the PAT says WC, which overrides every MTRR";
const through = "WT by the page, and the MTRR allows caching";

/** The SDM's table of effective memory types, as data: every MTRR type with every PAT type. */
export const MEMORY_TYPE_TABLE: readonly MemoryTypeRule[] = [
  rule(MEMORY_UC, MEMORY_UC, MEMORY_UC, forced),
  rule(MEMORY_UC, MEMORY_UC_MINUS, MEMORY_UC, mtrrUncached),
  rule(MEMORY_UC, MEMORY_WC, MEMORY_WC, combining),
  rule(MEMORY_UC, MEMORY_WT, MEMORY_UC, mtrrUncached),
  rule(MEMORY_UC, MEMORY_WB, MEMORY_UC, mtrrUncached),
  rule(MEMORY_UC, MEMORY_WP, MEMORY_UC, mtrrUncached),
  rule(MEMORY_WC, MEMORY_UC, MEMORY_UC, forced),
  rule(MEMORY_WC, MEMORY_UC_MINUS, MEMORY_WC, "UC− gives way to an MTRR of WC"),
  rule(MEMORY_WC, MEMORY_WC, MEMORY_WC, combining),
  rule(MEMORY_WC, MEMORY_WT, MEMORY_UC, "WT by the page cannot be honoured in a WC range"),
  rule(MEMORY_WC, MEMORY_WB, MEMORY_WC, "WB by the page leaves the decision to the MTRR"),
  rule(MEMORY_WC, MEMORY_WP, MEMORY_UC, "WP by the page cannot be honoured in a WC range"),
  rule(MEMORY_WT, MEMORY_UC, MEMORY_UC, forced),
  rule(MEMORY_WT, MEMORY_UC_MINUS, MEMORY_UC, "UC− is UC but where the MTRR says WC"),
  rule(MEMORY_WT, MEMORY_WC, MEMORY_WC, combining),
  rule(MEMORY_WT, MEMORY_WT, MEMORY_WT, through),
  rule(MEMORY_WT, MEMORY_WB, MEMORY_WT, "WB by the page leaves the decision to the MTRR"),
  rule(MEMORY_WT, MEMORY_WP, MEMORY_WP, "WP by the page, and the MTRR allows caching"),
  rule(MEMORY_WB, MEMORY_UC, MEMORY_UC, forced),
  rule(MEMORY_WB, MEMORY_UC_MINUS, MEMORY_UC, "UC− is UC but where the MTRR says WC"),
  rule(MEMORY_WB, MEMORY_WC, MEMORY_WC, combining),
  rule(MEMORY_WB, MEMORY_WT, MEMORY_WT, through),
  rule(MEMORY_WB, MEMORY_WB, MEMORY_WB, "both say WB"),
  rule(MEMORY_WB, MEMORY_WP, MEMORY_WP, "WP by the page, and the MTRR allows caching"),
  rule(MEMORY_WP, MEMORY_UC, MEMORY_UC, forced),
  rule(MEMORY_WP, MEMORY_UC_MINUS, MEMORY_WC, "the manual's table gives WC for UC− over WP"),
  rule(MEMORY_WP, MEMORY_WC, MEMORY_WC, combining),
  rule(MEMORY_WP, MEMORY_WT, MEMORY_WT, through),
  rule(MEMORY_WP, MEMORY_WB, MEMORY_WP, "WB by the page leaves the decision to the MTRR"),
  rule(MEMORY_WP, MEMORY_WP, MEMORY_WP, "both say WP"),
];

/** The effective type of a page whose PAT entry says `pat` in a range whose MTRRs say `mtrr`. A reserved type gives −1. */
export function effectiveType(mtrr: number, pat: number): EffectiveType {
  const found = MEMORY_TYPE_TABLE.find((cell) => cell.mtrr === mtrr && cell.pat === pat);
  return (
    found ?? {
      type: -1,
      reason: `type ${MEMORY_TYPE_TABLE.some((cell) => cell.mtrr === mtrr) ? `${pat} in the PAT` : `${mtrr} in an MTRR`} is reserved`,
    }
  );
}

/**
 * What several variable MTRRs that overlap say: UC wins; WT with WB is WT; types that are equal stay; anything else is undefined (−1).
 * Source: SDM 3A, MTRR Precedences.
 */
export function overlappingType(types: readonly number[]): EffectiveType {
  const set = new Set(types);
  const [first] = set;
  if (first === undefined) return { type: -1, reason: "no MTRR" };
  if (set.size === 1) return { type: first, reason: "all that overlap agree" };
  if (set.has(MEMORY_UC)) return { type: MEMORY_UC, reason: "UC wins where MTRRs overlap" };
  if (set.size === 2 && set.has(MEMORY_WT) && set.has(MEMORY_WB))
    return { type: MEMORY_WT, reason: "WT wins over WB where MTRRs overlap" };
  return { type: -1, reason: "the manual leaves this overlap of MTRRs undefined" };
}

/**
 * The type of a guest access under EPT: the EPT entry's type takes the MTRRs' place; with "ignore PAT" it alone decides. The host's MTRRs have
 * no say. `guestPat` is the type that the guest's PAT selects, or −1 where guest paging is off (then WB unless `cacheDisabled`).
 */
export function nestedType(
  eptType: number,
  ignorePat: boolean,
  guestPat: number,
  cacheDisabled = false,
): EffectiveType {
  if (cacheDisabled) return { type: MEMORY_UC, reason: "the guest's CR0.CD is 1" };
  if (ignorePat) return { type: eptType, reason: "the EPT entry ignores the guest's PAT" };
  const combined = effectiveType(eptType, guestPat < 0 ? MEMORY_WB : guestPat);
  return { type: combined.type, reason: `EPT type in place of the MTRR: ${combined.reason}` };
}
