/**
 * The figures that people ask of a firmware map first: how much RAM, where, on which node, which gaps, where a 256 MiB
 * window of a device would fit. The fields have the names that `pagewright map --json` prints.
 */
import { E820_USABLE } from "../firmware/entry.ts";
import type { FirmwareEntry } from "../firmware/entry.ts";
import type { FirmwareMap } from "../firmware/firmware-map.ts";
import { alignDown, alignUp, FRAME_BYTES, GIB, hexOf, MIB } from "../units.ts";

/** A half-open range as two hex strings. */
export type HexRange = readonly [start: string, end: string];

/** The window that a 256 MiB BAR could have. */
export interface BarWindow {
  /** The longest gap that holds one. */
  readonly gap: HexRange;
  /** Its bytes. */
  readonly gapLength: string;
  /** Lowest base, a multiple of 256 MiB. */
  readonly lowestBase: string;
  /** Highest base. */
  readonly highestBase: string;
  /** How many bases there are. */
  readonly slots: number;
}

/** See {@link summariseMap}. Bytes unless the name says pages (4 KiB frames). */
export interface MapSummary {
  /** Entries as found. */
  readonly entries: number;
  /** Whether they were found in ascending order. */
  readonly sorted: boolean;
  /** Pairs of entries, by number, that overlap; at most 10,000. */
  readonly overlaps: readonly (readonly [number, number])[];
  /** Entries that do not start and end at a frame boundary. */
  readonly unalignedEntries: number;
  /** Bytes of type 1. */
  readonly usableBytes: number;
  /** Whole frames of type 1, after adjacent ranges are merged and shrunk inwards. */
  readonly usablePages: number;
  /** Those below 1 MiB. */
  readonly usablePagesBelow1MiB: number;
  /** Those below 16 MiB. */
  readonly usablePagesBelow16MiB: number;
  /** Those below 4 GiB. */
  readonly usablePagesBelow4GiB: number;
  /** The highest one, −1 without any. */
  readonly highestUsablePage: number;
  /** The ranges behind these figures. */
  readonly usableRanges: readonly HexRange[];
  /** Bytes by E820 number. */
  readonly bytesByType: Readonly<Record<string, number>>;
  /** Usable pages per node; only where the map has an SRAT. */
  readonly usablePagesByNode?: Readonly<Record<string, number>>;
  /** Usable pages in no SRAT range; only where the map has an SRAT. */
  readonly usablePagesWithoutNode?: number;
  /** Bytes of SRAT ranges marked hot-pluggable. */
  readonly hotplugBytes?: number;
  /** Usable pages within them. */
  readonly hotplugPagesPresent?: number;
  /** Bytes of SRAT ranges in no entry. */
  readonly sratBytesNotInMap?: number;
  /** What is in no entry below 4 GiB. */
  readonly gapsBelow4GiB: readonly HexRange[];
  /** Where a naturally aligned 256 MiB window fits below 4 GiB, or null. */
  readonly bar256MiB: BarWindow | null;
  /** The longest gap below 4 GiB, or null. */
  readonly largestGapBelow4GiB: HexRange | null;
}

interface Span {
  readonly base: number;
  readonly end: number;
}

const hexRange = (span: Span): HexRange => [hexOf(span.base), hexOf(span.end)];
const bytesOf = (spans: readonly Span[]): number => spans.reduce((sum, span) => sum + span.end - span.base, 0);

function usableSpans(entries: readonly FirmwareEntry[]): Span[] {
  return entries
    .filter((entry) => entry.type === E820_USABLE)
    .map(({ base, end }) => ({ base: alignUp(base, FRAME_BYTES), end: alignDown(end, FRAME_BYTES) }))
    .filter((span) => span.end > span.base);
}

function pagesWithin(spans: readonly Span[], base: number, end: number): number {
  return bytesOf(clip(spans, base, end)) / FRAME_BYTES;
}

function clip(spans: readonly Span[], base: number, end: number): Span[] {
  return spans
    .map((span) => ({ base: Math.max(span.base, base), end: Math.min(span.end, end) }))
    .filter((span) => span.end > span.base);
}

/** Returns the parts of `[base, end)` in none of the ascending, disjoint `spans`. */
export function gapsWithin(
  spans: readonly { readonly base: number; readonly end: number }[],
  base: number,
  end: number,
): { base: number; end: number }[] {
  const out: { base: number; end: number }[] = [];
  let at = base;
  for (const span of spans) {
    if (span.base >= end) break;
    if (span.base > at) out.push({ base: at, end: span.base });
    at = Math.max(at, span.end);
  }
  if (at < end) out.push({ base: at, end });
  return out;
}

function longest(spans: readonly Span[]): Span | null {
  return spans.reduce<Span | null>(
    (best, span) => (best === null || span.end - span.base > best.end - best.base ? span : best),
    null,
  );
}

const WINDOW = 256 * MIB;

function windowIn(gap: Span): { lowest: number; highest: number } {
  return {
    lowest: alignUp(Math.max(gap.base, MIB), WINDOW),
    highest: alignDown(gap.end - WINDOW, WINDOW),
  };
}

function barWindow(gaps: readonly Span[]): BarWindow | null {
  const gap = longest(
    gaps.filter((one) => {
      const { lowest, highest } = windowIn(one);
      return highest >= lowest && highest > 0;
    }),
  );
  if (gap === null) return null;
  const { lowest, highest } = windowIn(gap);
  return {
    gap: hexRange(gap),
    gapLength: hexOf(gap.end - gap.base),
    lowestBase: hexOf(lowest),
    highestBase: hexOf(highest),
    slots: (highest - lowest) / WINDOW + 1,
  };
}

function affinityFigures(map: FirmwareMap, usable: readonly Span[]): Partial<MapSummary> {
  if (map.affinity.length === 0) return {};
  const byNode: Record<string, number> = {};
  let inNodes = 0;
  for (const range of map.affinity) {
    const pages = pagesWithin(usable, range.base, range.end);
    inNodes += pages;
    if (pages > 0) byNode[range.node] = (byNode[range.node] ?? 0) + pages;
  }
  const hot = map.affinity.filter((range) => range.hotPluggable);
  return {
    usablePagesByNode: byNode,
    usablePagesWithoutNode: bytesOf(usable) / FRAME_BYTES - inNodes,
    hotplugBytes: bytesOf(hot),
    hotplugPagesPresent: hot.reduce((sum, one) => sum + pagesWithin(usable, one.base, one.end), 0),
    sratBytesNotInMap: map.affinity.reduce((sum, one) => sum + bytesOf(gapsWithin(map.entries, one.base, one.end)), 0),
  };
}

/** As many pairs of overlapping entries are listed: beyond, the map is made up. */
const MOST_OVERLAPS = 10_000;

/** Pairs of entries as found that overlap, ascending; of more than {@link MOST_OVERLAPS} those at the lowest addresses. */
function rawOverlaps(map: FirmwareMap): (readonly [number, number])[] {
  const byBase = map.raw
    .map(({ base, length }, at) => ({ base, end: base + length, at }))
    .sort((a, b) => (a.base < b.base ? -1 : a.base > b.base ? 1 : a.at - b.at));
  const out: (readonly [number, number])[] = [];
  byBase.forEach((a, place) => {
    for (let next = place + 1; out.length < MOST_OVERLAPS; next++) {
      const b = byBase[next];
      if (b === undefined || b.base >= a.end) break;
      if (a.base < b.end) out.push([Math.min(a.at, b.at), Math.max(a.at, b.at)]);
    }
  });
  return out.sort((a, b) => a[0] - b[0] || a[1] - b[1]);
}

/** Returns the figures of a firmware map. Cost: O(n log n + overlaps) in the entries as found. */
export function summariseMap(map: FirmwareMap): MapSummary {
  const { entries, raw } = map;
  const usable = usableSpans(entries);
  const gaps = gapsWithin(entries, 0, 4 * GIB);
  const largest = longest(gaps);
  const bytesByType: Record<string, number> = {};
  for (const { base, end, type } of entries) bytesByType[type] = (bytesByType[type] ?? 0) + end - base;
  const frame = BigInt(FRAME_BYTES);
  return {
    entries: raw.length,
    sorted: raw.every((entry, at) => at === 0 || (raw[at - 1]?.base ?? 0n) <= entry.base),
    overlaps: rawOverlaps(map),
    unalignedEntries: raw.filter(({ base, length }) => base % frame !== 0n || (base + length) % frame !== 0n).length,
    usableBytes: bytesByType[E820_USABLE] ?? 0,
    usablePages: bytesOf(usable) / FRAME_BYTES,
    usablePagesBelow1MiB: pagesWithin(usable, 0, MIB),
    usablePagesBelow16MiB: pagesWithin(usable, 0, 16 * MIB),
    usablePagesBelow4GiB: pagesWithin(usable, 0, 4 * GIB),
    highestUsablePage: (usable[usable.length - 1]?.end ?? 0) / FRAME_BYTES - 1,
    usableRanges: usable.map(hexRange),
    bytesByType,
    ...affinityFigures(map, usable),
    gapsBelow4GiB: gaps.map(hexRange),
    bar256MiB: barWindow(gaps),
    largestGapBelow4GiB: largest === null ? null : hexRange(largest),
  };
}
