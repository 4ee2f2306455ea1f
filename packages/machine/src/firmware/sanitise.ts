/**
 * Sanitising a firmware map: from ranges as found to ranges that are sorted, disjoint, non-empty and inside the
 * physical address space. Where ranges overlap, the higher type number wins, because it is the more restrictive one:
 * this is what Linux does (arch/x86/kernel/e820.c, `e820__update_table`). Unlike Linux, which refuses a map with a
 * wrapping entry as a whole, a wrapping entry is cut at the end of the physical address space, or dropped when it
 * claims to be usable.
 */
import { E820_RESERVED, E820_USABLE, typeName } from "./entry.ts";
import type { FirmwareEntry, RawEntry } from "./entry.ts";
import { alignDown, alignUp, FRAME_BYTES, hexOf, PHYSICAL_LIMIT } from "../units.ts";

/** One thing that sanitising changed, with the entry it is about. */
export interface MapChange {
  /** What was wrong. */
  readonly kind: "unsorted" | "overlap" | "empty" | "wraps" | "beyond-limit" | "type-zero" | "unaligned";
  /** The entry's place in the input, from 0. */
  readonly entry: number;
  /** One sentence for people. */
  readonly message: string;
}

/** The result of {@link sanitiseEntries}. */
export interface SanitisedEntries {
  /** Sorted, disjoint ranges; adjacent ones have different types. */
  readonly entries: readonly FirmwareEntry[];
  /** What was changed; empty for a clean map. */
  readonly changes: readonly MapChange[];
}

interface Span {
  readonly base: number;
  readonly end: number;
  readonly type: number;
  readonly entry: number;
}

const LIMIT = BigInt(PHYSICAL_LIMIT);
const WRAP = 1n << 64n;

function spanOf(raw: RawEntry, entry: number, changes: MapChange[]): Span | null {
  const note = (kind: MapChange["kind"], message: string): void => {
    changes.push({ kind, entry, message: `entry ${entry} ${message}` });
  };
  if (raw.length === 0n) {
    note("empty", "has no bytes and was dropped");
    return null;
  }
  let type = raw.type;
  if (type === 0) {
    note("type-zero", "has type 0, which is no type, and is taken as reserved");
    type = E820_RESERVED;
  }
  let end = raw.base + raw.length;
  if (end > WRAP) {
    if (type === E820_USABLE) {
      note("wraps", "wraps beyond 64 bits though it claims to be usable, and was dropped");
      return null;
    }
    note("wraps", "wraps beyond 64 bits and was cut at the end of the physical address space");
    end = LIMIT;
  }
  if (raw.base >= LIMIT) {
    note("beyond-limit", "lies beyond 52 bits and was dropped");
    return null;
  }
  if (end > LIMIT) {
    if (raw.base + raw.length <= WRAP) note("beyond-limit", "was cut at 52 bits");
    end = LIMIT;
  }
  return { base: Number(raw.base), end: Number(end), type, entry };
}

/**
 * Returns the sanitised form of `raw` with a report of every change; `raw` is left as it is.
 *
 * Cost: O(n log n + n · overlaps).
 */
export function sanitiseEntries(raw: readonly RawEntry[]): SanitisedEntries {
  const changes: MapChange[] = [];
  const spans: Span[] = [];
  raw.forEach((one, entry) => {
    const span = spanOf(one, entry, changes);
    if (span === null) return;
    const before = spans[spans.length - 1];
    if (before !== undefined && before.base > span.base)
      changes.push({
        kind: "unsorted",
        entry,
        message: `entry ${entry} starts below entry ${before.entry} and was sorted`,
      });
    spans.push(span);
  });
  const sorted = spans.toSorted((a, b) => a.base - b.base || a.end - b.end);
  reportOverlaps(sorted, changes);
  const entries = sweep(sorted);
  reportFragments(sorted, entries, changes);
  return { entries, changes };
}

/**
 * Notes where usable memory starts or ends inside a frame. The entry stays as it is; whoever counts whole frames leaves the
 * bytes out, as Linux does when it hands memory to its frame allocator.
 */
function reportFragments(sorted: readonly Span[], entries: readonly FirmwareEntry[], changes: MapChange[]): void {
  const note = (entry: number, what: string, at: number, bytes: number): void => {
    const message = `entry ${entry} (usable) ${what} inside a frame, at ${hexOf(at)}: ${bytes} bytes are in no whole frame`;
    changes.push({ kind: "unaligned", entry, message });
  };
  for (const { base, end, type } of entries) {
    if (type !== E820_USABLE) continue;
    const first = alignUp(base, FRAME_BYTES);
    const last = alignDown(end, FRAME_BYTES);
    const starts = sorted.find((span) => span.type === type && span.base <= base && span.end > base);
    const ends = sorted.find((span) => span.type === type && span.base < end && span.end >= end);
    if (first > base && starts !== undefined) note(starts.entry, "starts", base, Math.min(first, end) - base);
    if (last < end && last > base && ends !== undefined) note(ends.entry, "ends", end, end - last);
  }
}

function reportOverlaps(sorted: readonly Span[], changes: MapChange[]): void {
  let reach: Span | undefined;
  for (const span of sorted) {
    if (reach !== undefined && span.base < reach.end) {
      const winner = span.type >= reach.type ? span : reach;
      changes.push({
        kind: "overlap",
        entry: span.entry,
        message: `entry ${span.entry} (${typeName(span.type)}) overlaps entry ${reach.entry} (${typeName(reach.type)}): ${typeName(winner.type)} wins`,
      });
    }
    if (reach === undefined || span.end > reach.end) reach = span;
  }
}

/** Sweeps the sorted spans from below: at each boundary the highest type that covers it holds. */
function sweep(sorted: readonly Span[]): readonly FirmwareEntry[] {
  const cuts = [...new Set(sorted.flatMap((span) => [span.base, span.end]))].sort((a, b) => a - b);
  const out: { base: number; end: number; type: number }[] = [];
  let active: Span[] = [];
  let next = 0;
  for (let at = 0; at + 1 < cuts.length; at++) {
    const base = cuts[at] ?? 0;
    const end = cuts[at + 1] ?? 0;
    active = active.filter((span) => span.end > base);
    for (let span = sorted[next]; span !== undefined && span.base <= base; span = sorted[next]) {
      active.push(span);
      next++;
    }
    if (active.length === 0) continue;
    const type = active.reduce((most, span) => Math.max(most, span.type), 0);
    const last = out[out.length - 1];
    if (last !== undefined && last.end === base && last.type === type) last.end = end;
    else out.push({ base, end, type });
  }
  return out;
}
