/* From options to state: sizes, buffers, ranges, marks. */
import { Arena } from "./arena.ts";
import { Blocks } from "./blocks.ts";
import { PmmError } from "./errors.ts";
import { geometryOf, layoutOf } from "./layout.ts";
import { Plug } from "./plug.ts";
import type { FrameSpan } from "./plug.ts";
import type { Watermarks } from "./ports.ts";
import { sortedRanges } from "./range.ts";
import type { FrameRange } from "./range.ts";
import type { PmmShare } from "./share.ts";
import { tableBuffers } from "./tables.ts";
import type { TableOptions } from "./tables.ts";
import { FRAME_BYTES } from "./units.ts";
import type { Pfn } from "./units.ts";
import { defaultWatermarks, updateSegments, zonesOf } from "./zone.ts";

/** The early allocator that hands its map over; see `BootAllocator`. */
export interface BootHandover {
  /** Takes frames for the allocator's own state, so that they are accounted for. */
  takeForState(frames: number): void;
  /** The frames taken so far. */
  readonly taken: readonly FrameSpan[];
}

/** How to make an allocator. */
export interface PmmOptions {
  /** The usable RAM. */
  readonly ranges: readonly FrameRange[];
  /** Frames below this one are kept for special requests: a multiple of 512, by default 4096 (16 MiB). */
  readonly lowZoneEnd?: Pfn;
  /** Cache colours, a power of two from 1 (the default) to 64: a page stack each. */
  readonly colours?: number;
  /** True to keep the state on SharedArrayBuffers, for worker threads. */
  readonly shared?: boolean;
  /** Workers that may attach, 1 to 120; by default 8 where shared, else 1. */
  readonly workers?: number;
  /** The NUMA node that the maker (worker 0) prefers, by default the lowest. */
  readonly homeNode?: number;
  /** Room for frames that are plugged in later. */
  readonly spareFrames?: number;
  /** One past the highest frame number that may be plugged in; by default 16 TiB where there is room to spare. */
  readonly pfnLimit?: Pfn;
  /** Nodes that have no RAM yet. */
  readonly nodes?: readonly number[];
  /** Distances between nodes, `distances[from][to]` by place in ascending node order (ACPI SLIT: 10 is local). */
  readonly distances?: readonly (readonly number[])[];
  /** Marks of every normal zone; by default from its size. */
  readonly watermarks?: Watermarks;
  /** Frames per normal zone that only takers with `reserve: true` get, by default 0. */
  readonly reserveFrames?: number;
  /** Optional tables. */
  readonly tables?: TableOptions;
  /** Names of clients known from the start, so that all workers number them alike. */
  readonly clients?: readonly string[];
  /** Frames known to be bad, beside those of the ranges: the exported list of an earlier run. */
  readonly retired?: readonly Pfn[];
  /** The early allocator: its frames stay taken, and it pays for the state. */
  readonly boot?: BootHandover;
  /** Count use per power rank; by default where the ranges have several. */
  readonly ranked?: boolean;
}

/** Bytes of state as whole frames. */
export function stateFrames(bytes: number): number {
  return Math.ceil(bytes / FRAME_BYTES);
}

/** Makes the state of a new allocator. */
export function newShare(options: PmmOptions): PmmShare {
  const retired = [...new Set(options.retired ?? [])];
  const ranges = sortedRanges(options.ranges).map((range) => withRetired(range, retired));
  const shared = options.shared === true;
  const spareFrames = options.spareFrames ?? 0;
  const ranks = new Set(ranges.map((range) => range.rank));
  const geometry = geometryOf({
    ranges,
    lowEnd: options.lowZoneEnd ?? 4096,
    workers: options.workers ?? (shared ? 8 : 1),
    colours: options.colours ?? 1,
    spareFrames,
    pfnLimit: options.pfnLimit ?? (spareFrames > 0 ? 2 ** 32 : 0),
    nodes: options.nodes ?? [],
    ranked: options.ranked ?? ranks.size > 1,
  });
  const layout = layoutOf(geometry);
  const tables = tableBuffers(geometry.groups, geometry.workers, shared, options.tables ?? {});
  options.boot?.takeForState(stateFrames(layout.bytes));
  const buffer = shared ? new SharedArrayBuffer(layout.bytes) : new ArrayBuffer(layout.bytes);
  const arena = new Arena(layout, buffer);
  const zones = zonesOf(arena);
  const plug = new Plug(arena, new Blocks(arena), zones, 0);
  for (const range of ranges) plug.add(range, options.boot?.taken ?? []);
  updateSegments(arena, zones);
  return {
    layout,
    buffer,
    tables,
    distances: options.distances ?? [],
    watermarks: zones.map((zone) => checkedMarks(options.watermarks ?? defaultWatermarks(zone.presentFrames))),
    reserves: zones.map((zone) => (zone.isLow ? 0 : (options.reserveFrames ?? 0))),
    clients: options.clients ?? [],
  };
}

function withRetired(range: FrameRange, retired: readonly Pfn[]): FrameRange {
  for (const pfn of range.faulty) {
    if (pfn < range.start || pfn >= range.end) {
      throw new PmmError("bad-range", "A faulty frame lies outside its range", { pfn });
    }
  }
  const more = retired.filter((pfn) => pfn >= range.start && pfn < range.end);
  return more.length === 0 ? range : { ...range, faulty: [...new Set([...range.faulty, ...more])] };
}

function checkedMarks(marks: Watermarks): Watermarks {
  if (marks.min < 0 || marks.min > marks.low || marks.low > marks.high) {
    throw new PmmError("bad-argument", `Watermarks must rise: ${marks.min}, ${marks.low}, ${marks.high}`);
  }
  return marks;
}
