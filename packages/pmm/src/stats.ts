/* Snapshots: frames by zone and state. Units are in the names; all counts are frames. */
import type { Core } from "./core.ts";

/** Frames of one zone, by state. */
export interface ZoneStats {
  readonly name: string;
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
}

/** A snapshot of the whole allocator. */
export interface PmmStats {
  readonly totalFrames: number;
  readonly freeFrames: number;
  readonly usedFrames: number;
  readonly retiredFrames: number;
  /** Bytes of the state, the optional tables apart. */
  readonly stateBytes: number;
  /** Bytes of the optional tables. */
  readonly tableBytes: number;
  /** The zones that have frames. */
  readonly zones: readonly ZoneStats[];
}

/** Frames on the page stacks of a node, of all workers. */
export function stackedFrames(core: Core, node: number): number {
  const { geometry } = core.arena.layout;
  if (node >= geometry.nodes.length) return 0;
  const perNode = 2 * geometry.colours;
  let held = 0;
  for (let worker = 0; worker < geometry.workers; worker += 1) {
    for (let stack = node * perNode; stack < (node + 1) * perNode; stack += 1) {
      held += core.arena.workers[core.arena.stackOf(worker, stack)]!;
    }
  }
  return held;
}

/** Free frames of the normal zones, those on page stacks included. */
export function freeFrames(core: Core): number {
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
  const zones: ZoneStats[] = [];
  for (const zone of core.zones) {
    const frames = zone.presentFrames;
    if (frames === 0) continue;
    const stacked = zone.isLow ? 0 : stackedFrames(core, zone.index);
    const free = zone.depotFrames + stacked;
    zones.push({
      name: zone.name,
      node: zone.node,
      frames,
      freeFrames: free,
      stackedFrames: stacked,
      usedFrames: frames - free - zone.retiredFrames,
      retiredFrames: zone.retiredFrames,
    });
  }
  const sum = (of: (zone: ZoneStats) => number): number => zones.reduce((total, zone) => total + of(zone), 0);
  return {
    totalFrames: sum((zone) => zone.frames),
    freeFrames: sum((zone) => zone.freeFrames),
    usedFrames: sum((zone) => zone.usedFrames),
    retiredFrames: sum((zone) => zone.retiredFrames),
    stateBytes: core.arena.layout.bytes,
    tableBytes: core.tables.bytes,
    zones,
  };
}
