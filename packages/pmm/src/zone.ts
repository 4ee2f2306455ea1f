/*
 * A zone: the frames of one node with one set of counts and watermarks. Its blocks are *segments* of the dense block
 * numbers, cut where the power rank changes. The low zone of a node keeps its frames for special requests.
 */
import { GROUPS_USED, RANK_USED, ZONE_FREE, ZONE_PRESENT, ZONE_RETIRED } from "./arena.ts";
import type { Arena } from "./arena.ts";
import { GROUP_BLOCKS, GROUP_GIB, GROUP_NODE, GROUP_WORDS } from "./layout.ts";
import type { PressureLevel, Watermarks } from "./ports.ts";
import { BLOCK_FRAMES, GROUP_FRAMES } from "./units.ts";
import type { Pfn } from "./units.ts";

/** Blocks `[first, end)` of one rank. */
export interface Segment {
  readonly first: number;
  readonly end: number;
  readonly rank: number;
}

/** Segments that are to be exhausted before others: all of a zone, or those of one rank. */
export interface Place {
  readonly rank: number;
  readonly segments: readonly Segment[];
  /** Frames of the rank in use when it was looked at last. */
  used: number;
}

/** One zone as one worker sees it. */
export class Zone {
  /** Place in the list of zones: node index, or for low zones node count + node index. */
  readonly index: number;
  /** `normal` or `low`, with the node where there are several. */
  readonly name: string;
  /** NUMA node number. */
  readonly node: number;
  /** True for a zone that only special requests use. */
  readonly isLow: boolean;
  #segments: readonly Segment[] = [];
  #places: Place[] = [];
  /** Marks for `level`. */
  watermarks: Watermarks = { min: 0, low: 0, high: 0 };
  /** Free frames that only takers of the reserve get. */
  reserve = 0;
  readonly #control: Int32Array;
  readonly #isRanked: boolean;
  #short = false;

  constructor(arena: Arena, index: number, node: number, isLow: boolean) {
    this.index = index;
    this.node = node;
    this.isLow = isLow;
    const kind = isLow ? "low" : "normal";
    this.name = arena.layout.geometry.nodes.length === 1 ? kind : `${kind}/${node}`;
    this.#control = arena.control;
    this.#isRanked = arena.layout.geometry.ranked;
  }

  /** Free frames in the zone's blocks, without those on page stacks. */
  get depotFrames(): number {
    return Atomics.load(this.#control, ZONE_FREE + this.index);
  }

  /** Counts frames that came to the blocks (or, negative, left them). */
  addFree(frames: number): void {
    Atomics.add(this.#control, ZONE_FREE + this.index, frames);
  }

  /** Frames of the zone, retired ones included. */
  get presentFrames(): number {
    return Atomics.load(this.#control, ZONE_PRESENT + this.index);
  }

  /** Retired frames of the zone. */
  get retiredFrames(): number {
    return Atomics.load(this.#control, ZONE_RETIRED + this.index);
  }

  /** Counts frames that are plugged in (or, negative, out). */
  addPresent(frames: number): void {
    Atomics.add(this.#control, ZONE_PRESENT + this.index, frames);
  }

  /** Counts frames that are retired from now on (or, negative, no longer there). */
  addRetired(frames: number): void {
    Atomics.add(this.#control, ZONE_RETIRED + this.index, frames);
  }

  /** The pressure at `free` frames, with hysteresis: short from `low` down until above `high`. */
  levelAt(free: number): PressureLevel {
    const { min, low, high } = this.watermarks;
    if (free <= low) this.#short = true;
    else if (free > high) this.#short = false;
    if (free <= min) return "min";
    return this.#short ? "low" : "none";
  }

  /** Ascending, disjoint. */
  get segments(): readonly Segment[] {
    return this.#segments;
  }

  /** Set when ranges were plugged in. */
  set segments(segments: readonly Segment[]) {
    this.#segments = segments;
    const ranks = new Map<number, Segment[]>();
    for (const segment of segments) {
      const key = this.#isRanked ? segment.rank : 0;
      const list = ranks.get(key);
      if (list === undefined) ranks.set(key, [segment]);
      else list.push(segment);
    }
    this.#places = [...ranks.entries()]
      .sort(([a], [b]) => a - b)
      .map(([rank, list]) => ({ rank, used: 0, segments: list }));
  }

  /**
   * Where to take frames: one place after the other is to be exhausted. Where use is counted per rank, a place is a rank, those with the most in use
   * first: what is taken keeps ranks busy that are busy anyway. Cost: O(ranks), as the order rarely changes.
   */
  places(): readonly Place[] {
    const places = this.#places;
    if (!this.#isRanked) return places;
    for (let i = 0; i < places.length; i += 1) {
      const place = places[i];
      if (place === undefined) break;
      place.used = this.#control[RANK_USED + place.rank]!;
      let at = i;
      for (let busier = places[at - 1]; busier !== undefined && busier.used < place.used; busier = places[at - 1]) {
        places[at] = busier;
        at -= 1;
      }
      places[at] = place;
    }
    return places;
  }
}

/** Default marks of a zone with `frames` frames: the geometric rule `min = 4·√frames`, low = 5/4 min, high = 6/4 min. */
export function defaultWatermarks(frames: number): Watermarks {
  const min = Math.min(Math.floor(frames / 16), Math.floor(4 * Math.sqrt(frames)));
  return { min, low: Math.floor((min * 5) / 4), high: Math.floor((min * 3) / 2) };
}

/** Builds the zones of an arena, normal ones first, in node order; a zone may be empty. */
export function zonesOf(arena: Arena): Zone[] {
  const { nodes } = arena.layout.geometry;
  const zones = nodes.map((node, index) => new Zone(arena, index, node, false));
  nodes.forEach((node, index) => zones.push(new Zone(arena, nodes.length + index, node, true)));
  updateSegments(arena, zones);
  return zones;
}

/** Reads the segments again; needed after the epoch changed. */
export function updateSegments(arena: Arena, zones: readonly Zone[]): void {
  const { nodes, lowEnd } = arena.layout.geometry;
  const lists: Segment[][] = zones.map(() => []);
  const used = Atomics.load(arena.control, GROUPS_USED);
  for (let group = 0; group < used; group += 1) {
    const node = arena.groups[group * GROUP_WORDS + GROUP_NODE]!;
    const base = arena.groups[group * GROUP_WORDS + GROUP_GIB]! * GROUP_FRAMES;
    const first = group * GROUP_BLOCKS;
    const end = first + GROUP_BLOCKS;
    const cut = Math.max(first, Math.min(end, first + (lowEnd - base) / BLOCK_FRAMES));
    cutByRank(arena, first, cut, lists[nodes.length + node] ?? []);
    cutByRank(arena, cut, end, lists[node] ?? []);
  }
  zones.forEach((zone, index) => {
    zone.segments = lists[index] ?? [];
  });
}

/** Appends the segments of `[first, end)` to a list, joining what continues its last one. */
function cutByRank(arena: Arena, first: number, end: number, list: Segment[]): void {
  for (let from = first; from < end;) {
    const rank = arena.ranks[from]!;
    let to = from + 1;
    while (to < end && arena.ranks[to] === rank) to += 1;
    const last = list[list.length - 1];
    if (last?.end === from && last.rank === rank) list[list.length - 1] = { first: last.first, end: to, rank };
    else list.push({ first: from, end: to, rank });
    from = to;
  }
}

/** True when the frame number belongs to a low zone. */
export function isLowPfn(arena: Arena, pfn: Pfn): boolean {
  return pfn < arena.layout.geometry.lowEnd;
}
