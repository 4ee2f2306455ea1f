/*
 * Frames taken and given since the start, by zone, node, order, colour and client. Nothing is counted per frame on the fast path:
 * what goes through a page stack is told by the stack's own word and its two tallies, a stack having one node and one colour.
 * Slow paths count the rest in rows of the worker's own, without atomics:
 *
 *   worker's tallies   | 2 per page stack | per zone: one by one, 2M, 1G, runs | per colour |        every row: taken, given
 *
 * Clients are counted beside the owner table (tables.ts). All figures are frames and exact to the frame while workers rest.
 */
import type { Core } from "./core.ts";
import { TOP_BITS, TOP_MASK } from "./layout.ts";
import type { FrameHints } from "./ports.ts";
import { BLOCK_FRAMES, GROUP_FRAMES, ORDER_1G, ORDER_2M } from "./units.ts";
import type { Zone } from "./zone.ts";

/** The sizes in which frames are taken: one by one, as 2M and 1G pages, as granted runs. */
export type OrderName = "4K" | "2M" | "1G" | "run";

/** The order names by row. */
export const ORDER_NAMES: readonly OrderName[] = ["4K", "2M", "1G", "run"];
const LOOSE_ROW = 0;
const RUN_ROW = 3;

/** What went out and came back. */
export interface TrafficRow {
  /** Name of the zone, order or client; number of the node or colour. */
  readonly name: string;
  /** Frames taken since the start, by all workers. */
  readonly takenFrames: number;
  /** Frames given back since the start, by all workers, those that retired or were isolated then included. */
  readonly givenFrames: number;
}

/** Traffic since the start; the rows of zones, of nodes, of orders and of colours each add up to all of it. */
export interface Traffic {
  /** Zones that have frames, or had. */
  readonly zones: readonly TrafficRow[];
  /** A node is the sum of its zones. */
  readonly nodes: readonly TrafficRow[];
  /** By the size that was asked for: a page that is split goes out as one page and comes back as frames. */
  readonly orders: readonly TrafficRow[];
  /** By colour, ascending; a 2M or 1G page counts evenly for all. One row where there is one colour. */
  readonly colours: readonly TrafficRow[];
  /**
   * By client, where the owner table is kept: frames taken in its name, and frames given back that it owned. Runs have no owner. A frame that was
   * handed over was taken by one client and is given back by another.
   */
  readonly clients: readonly TrafficRow[];
}

/** Counts what `take` gave off its fast path; frames off a page stack are counted there. */
export function noteTaken(core: Core, frame: number, wishes: FrameHints): void {
  if (core.tables.hasOwners) core.tables.countTaken(core.tables.ownerOf(frame), framesOf(wishes.order));
  if (wishes.order > 0) notePage(core, frame, wishes.order, 0);
  else if (core.isLow(frame)) noteLoose(core, frame, 0);
}

/** Counts a frame that was given back, but to no page stack. */
export function noteFrameGiven(core: Core, frame: number): void {
  noteLoose(core, frame, 1);
}

/** Counts a 2M or 1G page that was given back. */
export function notePageGiven(core: Core, frame: number, order: number): void {
  notePage(core, frame, order, 1);
}

/** Counts a run that was granted. Cost: O(colours). */
export function noteGranted(core: Core, from: number, frames: number): void {
  noteRun(core, from, frames, 0);
}

/** Counts a run that was released. Cost: O(colours). */
export function noteReleased(core: Core, from: number, frames: number): void {
  noteRun(core, from, frames, 1);
}

function rowOf(order: number): number {
  return order === ORDER_2M ? 1 : 2;
}

/** Frames of an order: 2 ** order without the power, which costs 30 ns. */
function framesOf(order: number): number {
  return order === ORDER_2M ? BLOCK_FRAMES : order === ORDER_1G ? GROUP_FRAMES : 1;
}

/** Pages are of normal zones, whose index is that of their node. */
function notePage(core: Core, frame: number, order: number, column: number): void {
  const { arena } = core;
  arena.tallies[arena.zoneTallyOf(core.worker, arena.nodeIndexOf(frame), rowOf(order)) + column]! += framesOf(order);
}

function noteLoose(core: Core, frame: number, column: number): void {
  addTo(core, frame, LOOSE_ROW, column, 1);
  const { arena } = core;
  arena.tallies[arena.colourTallyOf(core.worker, frame & (arena.layout.geometry.colours - 1)) + column]! += 1;
}

function noteRun(core: Core, from: number, frames: number, column: number): void {
  addTo(core, from, RUN_ROW, column, frames);
  const { arena } = core;
  const { colours } = arena.layout.geometry;
  for (let i = 0; i < Math.min(colours, frames); i += 1) {
    const ofColour = Math.ceil((frames - i) / colours);
    arena.tallies[arena.colourTallyOf(core.worker, (from + i) & (colours - 1)) + column]! += ofColour;
  }
}

/** Adds to a row of the zone of a dense frame; column 0 is taken, 1 given. */
function addTo(core: Core, frame: number, row: number, column: number, frames: number): void {
  core.arena.tallies[core.arena.zoneTallyOf(core.worker, core.zoneOf(frame).index, row) + column]! += frames;
}

/** Everything that was taken and given so far. Cost: O(workers × (page stacks + zones + clients)). */
export function trafficOf(core: Core): Traffic {
  core.refresh();
  const { nodes, colours } = core.arena.layout.geometry;
  const zones = core.zones.map((zone) => ({ zone, sum: zoneTraffic(core, zone) }));
  const orders = ORDER_NAMES.map((_, order) => orderTraffic(core, order));
  const pages = total(orders.filter((_, order) => order === rowOf(ORDER_2M) || order === rowOf(ORDER_1G)));
  return {
    zones: zones
      .filter(({ zone, sum: [taken] }) => zone.presentFrames > 0 || taken > 0)
      .map(({ zone, sum }) => row(zone.name, sum)),
    nodes: nodes.map((node) =>
      row(String(node), total(zones.filter(({ zone }) => zone.node === node).map(({ sum }) => sum))),
    ),
    orders: orders.map((sum, order) => row(ORDER_NAMES[order] ?? "", sum)),
    colours: Array.from({ length: colours }, (_, colour) => row(String(colour), colourTraffic(core, colour, pages))),
    clients: core.clientNumbers().map(([name, client]) => row(name, core.tables.trafficOf(client))),
  };
}

/** Frames taken and given of one zone. */
export function zoneTraffic(core: Core, zone: Zone): Sum {
  const rows = ORDER_NAMES.map((_, order) => rareTraffic(core, zone, order));
  return total(zone.isLow ? rows : [...rows, stackTraffic(core, (node) => node === zone.index)]);
}

/** Frames taken, frames given. */
export type Sum = readonly [taken: number, given: number];

function row(name: string, [takenFrames, givenFrames]: Sum): TrafficRow {
  return { name, takenFrames, givenFrames };
}

function total(sums: readonly Sum[]): Sum {
  return sums.reduce<Sum>(([taken, given], sum) => [taken + sum[0], given + sum[1]], [0, 0]);
}

function orderTraffic(core: Core, order: number): Sum {
  const rows = core.zones.map((zone) => rareTraffic(core, zone, order));
  return total(order === LOOSE_ROW ? [...rows, stackTraffic(core, () => true)] : rows);
}

/** Frames off the stacks of the colour, loose ones and those of runs, and its share of the pages. */
function colourTraffic(core: Core, colour: number, [taken, given]: Sum): Sum {
  const { arena } = core;
  const { colours } = arena.layout.geometry;
  const loose = overWorkers(core, (worker) => arena.colourTallyOf(worker, colour));
  const stacked = stackTraffic(core, (_, of) => of === colour);
  return total([stacked, loose, [taken / colours, given / colours]]);
}

/** What went through no page stack, of one zone and order. */
function rareTraffic(core: Core, zone: Zone, order: number): Sum {
  return overWorkers(core, (worker) => core.arena.zoneTallyOf(worker, zone.index, order));
}

function overWorkers(core: Core, at: (worker: number) => number): Sum {
  const { tallies, layout } = core.arena;
  return total(
    Array.from({ length: layout.geometry.workers }, (_, worker): Sum => [
      tallies[at(worker)]!,
      tallies[at(worker) + 1]!,
    ]),
  );
}

/** What went through the page stacks of which `of` holds, by all workers: see `Arena.tallies`. */
function stackTraffic(core: Core, of: (node: number, colour: number) => boolean): Sum {
  const { arena } = core;
  const { workers, stacks, colours } = arena.layout.geometry;
  let taken = 0;
  let given = 0;
  for (let stack = 0; stack < stacks; stack += 1) {
    if (!of(Math.floor(stack / (2 * colours)), stack & (colours - 1))) continue;
    for (let worker = 0; worker < workers; worker += 1) {
      const word = arena.workers[arena.stackOf(worker, stack)]!;
      const at = arena.tallyOf(worker, stack);
      const takes = arena.tallies[at]! + (word >>> TOP_BITS);
      taken += takes;
      given += takes + arena.tallies[at + 1]! + (word & TOP_MASK);
    }
  }
  return [taken, given];
}
