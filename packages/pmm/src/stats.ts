/* Snapshots: frames by zone and state. Units are in the names; all counts are frames. */
import { countOf, GROUP_SPLIT, GROUP_WHOLE } from "./arena.ts";
import { groupOfBlock } from "./layout.ts";
import type { Core } from "./core.ts";
import { settleCounts, usedIn } from "./counts.ts";
import { zoneTraffic } from "./traffic.ts";
import { BLOCK_FRAMES } from "./units.ts";

/** Frames of a zone or node, by state; `census` says how many are wired. */
export interface FrameSums {
  readonly node: number;
  /** Frames that are there, retired ones included. */
  readonly frames: number;
  /** Free frames, those on page stacks included. */
  readonly freeFrames: number;
  /** Of the free ones, those on page stacks. */
  readonly stackedFrames: number;
  /** Neither free nor retired: taken, granted, isolated or reserved at boot. */
  readonly usedFrames: number;
  readonly retiredFrames: number;
  /** Frames taken since the start, by all workers. */
  readonly takenFrames: number;
  /** Frames given back since the start, by all workers. */
  readonly givenFrames: number;
}

/** Frames of one zone. */
export interface ZoneStats extends FrameSums {
  readonly name: string;
}

/** One power rank. */
export interface RankStats {
  readonly rank: number;
  /** Frames of the rank that are in use, on page stacks or isolated. */
  readonly usedFrames: number;
  /** Free frames of the rank. */
  readonly freeFrames: number;
  /** True where nothing of it is in use: it may go to self-refresh. */
  readonly isIdle: boolean;
}

/** A snapshot of the whole allocator, the low zone included. */
export interface PmmStats {
  /** Frames of all zones, retired ones included; `Pmm.totalFrames` counts those that `take` serves: neither retired nor of the low zone. */
  readonly totalFrames: number;
  /** Free frames of all zones; `Pmm.freeFrames` leaves the low zone out. */
  readonly freeFrames: number;
  /** Neither free nor retired: taken, granted, isolated or reserved at boot. */
  readonly usedFrames: number;
  /** Taken out of use for good: faulty, or given to `retire`. */
  readonly retiredFrames: number;
  /** Bytes of the state, the optional tables apart. */
  readonly stateBytes: number;
  /** Bytes of the optional tables. */
  readonly tableBytes: number;
  /** The zones that have frames. */
  readonly zones: readonly ZoneStats[];
  /** The nodes that have frames, each the sum of its zones, ascending. */
  readonly nodes: readonly FrameSums[];
}

/** Frames on the page stacks of a node, of all workers. */
export function stackedFrames(core: Core, node: number): number {
  const { geometry } = core.arena.layout;
  if (node >= geometry.nodes.length) return 0;
  const perNode = 2 * geometry.colours;
  let held = 0;
  for (let worker = 0; worker < geometry.workers; worker += 1) {
    for (let stack = node * perNode; stack < (node + 1) * perNode; stack += 1) {
      held += core.arena.topOf(core.arena.stackOf(worker, stack));
    }
  }
  return held;
}

/** Use per power rank. */
export function rankStats(core: Core): RankStats[] {
  core.refresh();
  const ranks = new Map<number, { used: number; free: number }>();
  for (const zone of core.zones) {
    for (const { first, end, rank } of zone.segments) {
      const sum = ranks.get(rank) ?? { used: 0, free: 0 };
      for (let block = first; block < end; block += 1) {
        const used = usedIn(core, block);
        sum.used += used;
        sum.free += freeIn(core, block, used);
      }
      ranks.set(rank, sum);
    }
  }
  return [...ranks.entries()]
    .filter(([, { used, free }]) => used + free > 0)
    .sort(([a], [b]) => a - b)
    .map(([rank, { used, free }]) => ({ rank, usedFrames: used, freeFrames: free, isIdle: used === 0 }));
}

function freeIn(core: Core, block: number, used: number): number {
  const mode = core.arena.groupMode(groupOfBlock(block));
  if (mode === GROUP_WHOLE) return BLOCK_FRAMES;
  if (mode !== GROUP_SPLIT || used === BLOCK_FRAMES) return 0;
  return countOf(Atomics.load(core.arena.blocks, block));
}

/** Free frames of the normal zones, those on page stacks included. */
export function freeFrames(core: Core): number {
  settleCounts(core);
  let free = 0;
  for (const zone of core.zones) if (!zone.isLow) free += zone.depotFrames + stackedFrames(core, zone.index);
  return free;
}

/** Frames that `take` serves: those of the normal zones that are not retired. */
export function totalFrames(core: Core): number {
  let total = 0;
  for (const zone of core.zones) if (!zone.isLow) total += zone.presentFrames - zone.retiredFrames;
  return total;
}

/** A snapshot of the zones that have frames. */
export function statsOf(core: Core): PmmStats {
  core.refresh();
  settleCounts(core);
  const zones: ZoneStats[] = [];
  for (const zone of core.zones) {
    const frames = zone.presentFrames;
    if (frames === 0) continue;
    const stacked = zone.isLow ? 0 : stackedFrames(core, zone.index);
    const free = zone.depotFrames + stacked;
    const retired = zone.retiredFrames;
    const [takenFrames, givenFrames] = zoneTraffic(core, zone);
    zones.push({
      name: zone.name,
      node: zone.node,
      frames,
      freeFrames: free,
      stackedFrames: stacked,
      usedFrames: frames - free - retired,
      retiredFrames: retired,
      takenFrames,
      givenFrames,
    });
  }
  const nodes = core.arena.layout.geometry.nodes
    .map((node) =>
      sumOf(
        node,
        zones.filter((zone) => zone.node === node),
      ),
    )
    .filter(({ frames }) => frames > 0);
  const { frames, freeFrames, usedFrames, retiredFrames } = sumOf(-1, zones);
  return {
    totalFrames: frames,
    freeFrames,
    usedFrames,
    retiredFrames,
    stateBytes: core.arena.layout.bytes,
    tableBytes: core.tables.bytes,
    zones,
    nodes,
  };
}

/** Zones added up. */
function sumOf(node: number, zones: readonly ZoneStats[]): FrameSums {
  const sum = (of: (zone: ZoneStats) => number): number => zones.reduce((total, zone) => total + of(zone), 0);
  return {
    node,
    frames: sum((zone) => zone.frames),
    freeFrames: sum((zone) => zone.freeFrames),
    stackedFrames: sum((zone) => zone.stackedFrames),
    usedFrames: sum((zone) => zone.usedFrames),
    retiredFrames: sum((zone) => zone.retiredFrames),
    takenFrames: sum((zone) => zone.takenFrames),
    givenFrames: sum((zone) => zone.givenFrames),
  };
}
