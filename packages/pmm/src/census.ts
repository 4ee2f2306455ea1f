/* Long looks: every frame by use, client and colour; why a block is not whole; a map to read. Cost: O(frames) where split. */
import {
  bitCount,
  countOf,
  GROUP_HANDED,
  GROUP_SPLIT,
  GROUP_WHOLE,
  GROUPS_USED,
  HANDED,
  modeOf,
  PINNED,
  WHOLE,
  WIRED,
} from "./arena.ts";
import type { Core } from "./core.ts";
import { GROUP_BLOCKS, groupOf, groupOfBlock } from "./layout.ts";
import { useOf } from "./misuse.ts";
import type { FrameUse } from "./misuse.ts";
import type { OrderName } from "./traffic.ts";
import { BLOCK_FRAMES, GROUP_FRAMES } from "./units.ts";
import type { Pfn } from "./units.ts";
import type { Zone } from "./zone.ts";

/** Free and used memory by order, of one zone or all. */
export interface OrderStats {
  /** Free frames outside whole blocks, those on page stacks apart. */
  readonly freeLoose: number;
  /** Whole 2M blocks outside whole groups. */
  readonly free2M: number;
  /** Whole 1G groups. */
  readonly free1G: number;
  /** 2M blocks in use. */
  readonly used2M: number;
  /** 1G groups in use. */
  readonly used1G: number;
  /** Part of the free frames that no whole block holds: 0 for none, 1 for all. */
  readonly fragmentation: number;
}

/** Frames that are not free, by state. */
export interface HeldCount {
  /** Neither free nor retired: taken, granted, isolated or reserved at boot. */
  used: number;
  /** Of the used ones, those that are wired: of a wired 2M or 1G page, all. */
  wired: number;
  retired: number;
}

/** Frames by state. */
export interface FrameCount extends HeldCount {
  /** Free frames, those on page stacks included. */
  free: number;
}

/** Every frame by use, and by state for each zone, node, order, colour and client. */
export interface Census {
  /** Frames by use; of taken blocks every frame counts. */
  readonly uses: Readonly<Record<FrameUse, number>>;
  /** Taken frames that are pinned. */
  readonly pinnedFrames: number;
  /** Taken frames that are wired. */
  readonly wiredFrames: number;
  /** By name of the zone. */
  readonly zones: Readonly<Record<string, Readonly<FrameCount>>>;
  /** By number of the node. */
  readonly nodes: Readonly<Record<number, Readonly<FrameCount>>>;
  /** By the size of the whole free or taken page around a frame, or the granted run; frames on their own, retired ones too, are `4K`. */
  readonly orders: Readonly<Record<OrderName, Readonly<FrameCount>>>;
  /** By colour; one entry where there is one colour. */
  readonly colours: readonly Readonly<FrameCount>[];
  /** By the name of the client that owns taken frames, or was the last to own retired ones; none where no owner table is kept. */
  readonly clients: Readonly<Record<string, Readonly<HeldCount>>>;
}

/** What keeps a 2M block from being whole. */
export interface Obstacle {
  readonly pfn: Pfn;
  readonly use: FrameUse;
  /** The client that owns the frame, if known. */
  readonly owner: string | undefined;
  /** True where the caller could move it. */
  readonly movable: boolean;
}

/** Counts blocks by order in the zones for which `of` holds. Cost: O(blocks). */
export function orderStats(core: Core, of: (zone: Zone) => boolean): OrderStats {
  const { arena } = core;
  const found = { freeLoose: 0, free2M: 0, free1G: 0, used2M: 0, used1G: 0 };
  for (const zone of core.zones) {
    if (!of(zone)) continue;
    for (const { first, end } of zone.segments) {
      for (let block = first; block < end; block += 1) {
        const mode = arena.groupMode(groupOfBlock(block));
        if (mode !== GROUP_SPLIT) {
          if (mode === GROUP_WHOLE) found.free1G += 1 / GROUP_BLOCKS;
          if (mode === GROUP_HANDED) found.used1G += 1 / GROUP_BLOCKS;
          continue;
        }
        const word = Atomics.load(arena.blocks, block);
        if (modeOf(word) === HANDED) found.used2M += 1;
        else if (modeOf(word) === WHOLE) found.free2M += 1;
        else found.freeLoose += countOf(word);
      }
    }
  }
  const whole = found.free2M * BLOCK_FRAMES + found.free1G * GROUP_FRAMES;
  const free = whole + found.freeLoose;
  return { ...found, fragmentation: free === 0 ? 0 : found.freeLoose / free };
}

/** Counts every frame. */
export function censusOf(core: Core): Census {
  const { arena } = core;
  const colours = Array.from({ length: arena.layout.geometry.colours }, newCount);
  const orders = { "4K": newCount(), "2M": newCount(), "1G": newCount(), run: newCount() };
  const byZone = core.zones.map(newCount);
  const owners = new Map<number, FrameCount>();
  const uses = newUses();
  let pinnedFrames = 0;
  let wiredFrames = 0;
  core.refresh();
  const end = Atomics.load(arena.control, GROUPS_USED) * GROUP_FRAMES;
  for (let frame = 0; frame < end;) {
    const span = uniformSpan(core, frame);
    const use = useOf(arena, frame);
    uses[use] += span;
    if (use !== "hole") {
      const flags = isHead(use) ? arena.state[frame]! : 0;
      const isWired = (flags & WIRED) !== 0;
      if ((flags & PINNED) !== 0) pinnedFrames += span;
      if (isWired) wiredFrames += span;
      const zone = byZone[core.zoneOf(frame).index];
      if (zone !== undefined) count(zone, use, isWired, span);
      count(orders[orderOf(use, span)], use, isWired, span);
      spread(colours, frame, span, use, isWired);
      const owner = isHead(use) || use === "retired" ? core.tables.ownerOf(frame) : 0;
      if (owner !== 0) count(ownCount(owners, owner), use, isWired, span);
    }
    frame += span;
  }
  const zones: Record<string, FrameCount> = {};
  const nodes: Record<number, FrameCount> = {};
  for (const zone of core.zones) {
    const found = byZone[zone.index] ?? newCount();
    if (zone.presentFrames > 0) zones[zone.name] = found;
    nodes[zone.node] = sumOf(nodes[zone.node] ?? newCount(), found);
  }
  const clients: Record<string, HeldCount> = {};
  for (const [owner, { used, wired, retired }] of owners)
    clients[core.clientName(owner) ?? ""] = { used, wired, retired };
  return { uses, pinnedFrames, wiredFrames, zones, nodes, orders, colours, clients };
}

function newCount(): FrameCount {
  return { free: 0, used: 0, wired: 0, retired: 0 };
}

function newUses(): Record<FrameUse, number> {
  return {
    hole: 0,
    free: 0,
    stacked: 0,
    taken: 0,
    "taken-low": 0,
    "taken-2M": 0,
    "inside-2M": 0,
    "taken-1G": 0,
    "inside-1G": 0,
    granted: 0,
    retired: 0,
    isolated: 0,
    boot: 0,
  };
}

function ownCount(owners: Map<number, FrameCount>, owner: number): FrameCount {
  const known = owners.get(owner) ?? newCount();
  owners.set(owner, known);
  return known;
}

function count(into: FrameCount, use: FrameUse, isWired: boolean, frames: number): void {
  if (use === "free" || use === "stacked") into.free += frames;
  else if (use === "retired") into.retired += frames;
  else into.used += frames;
  if (isWired) into.wired += frames;
}

function sumOf(a: FrameCount, b: FrameCount): FrameCount {
  return { free: a.free + b.free, used: a.used + b.used, wired: a.wired + b.wired, retired: a.retired + b.retired };
}

/** The size of what a frame is free or used in. */
function orderOf(use: FrameUse, span: number): OrderName {
  if (use === "granted") return "run";
  return span === GROUP_FRAMES ? "1G" : span === BLOCK_FRAMES ? "2M" : "4K";
}

function isHead(use: FrameUse): boolean {
  return use === "taken" || use === "taken-low" || use === "taken-2M" || use === "taken-1G";
}

/** Frames from here on that are all of one use: a group, a block, or one. */
function uniformSpan(core: Core, frame: number): number {
  if (core.arena.groupMode(groupOf(frame)) !== GROUP_SPLIT) return GROUP_FRAMES;
  const mode = modeOf(Atomics.load(core.arena.blocks, frame >>> 9));
  return (frame & 511) === 0 && (mode === WHOLE || mode === HANDED) ? BLOCK_FRAMES : 1;
}

/** Counts `span` frames from `frame` on for their colours: a whole page evenly for all. */
function spread(colours: readonly FrameCount[], frame: number, span: number, use: FrameUse, isWired: boolean): void {
  const one = colours[frame & (colours.length - 1)];
  if (span === 1 && one !== undefined) count(one, use, isWired, 1);
  else for (const colour of colours) count(colour, use, isWired, span / colours.length);
}

/** What keeps the 2M block around a frame from being whole, ascending; empty if it is whole. */
export function obstaclesOf(core: Core, pfn: Pfn): Obstacle[] {
  const frame = core.managed(pfn);
  const first = frame - (frame & 511);
  const list: Obstacle[] = [];
  for (let at = first; at < first + BLOCK_FRAMES; at += 1) {
    const use = useOf(core.arena, at);
    if (use === "free" || use === "inside-2M" || use === "inside-1G") continue;
    const movable = isHead(use) && (core.arena.state[at]! & (PINNED | WIRED)) === 0;
    list.push({ pfn: core.arena.pfnOf(at), use, owner: core.clientName(core.tables.ownerOf(at)), movable });
  }
  return list;
}

/**
 * Draws the blocks, one character each, 64 to a line, every line led by its first frame number: `.` whole, `1` … `9` tenths in
 * use, `#` full, `M` a 2M block in use, `G` part of a 1G page, blank where there is no RAM.
 */
export function drawMap(core: Core): string {
  const { arena } = core;
  const lines: string[] = [];
  const used = Atomics.load(arena.control, GROUPS_USED);
  for (let block = 0; block < used * GROUP_BLOCKS; block += 64) {
    let line = "";
    for (let at = block; at < block + 64; at += 1) line += blockMark(core, at);
    if (line.trim() === "") continue;
    lines.push(
      `0x${arena
        .pfnOf(block * BLOCK_FRAMES)
        .toString(16)
        .padStart(10, "0")} ${line.trimEnd()}`,
    );
  }
  return lines.join("\n");
}

function blockMark(core: Core, block: number): string {
  const { arena } = core;
  const mode = arena.groupMode(groupOfBlock(block));
  if (mode === GROUP_HANDED) return "G";
  if (mode === GROUP_WHOLE) return ".";
  const word = Atomics.load(arena.blocks, block);
  if (modeOf(word) === HANDED) return "M";
  if (modeOf(word) === WHOLE) return ".";
  let present = 0;
  for (let frame = block * BLOCK_FRAMES; frame < (block + 1) * BLOCK_FRAMES; frame += 1) {
    if (arena.state[frame] !== 1) present += 1;
  }
  if (present === 0) return " ";
  let free = 0;
  for (let bits = block * 16; bits < block * 16 + 16; bits += 1) free += bitCount(arena.bits[bits]!);
  if (free === 0) return "#";
  return String(Math.max(1, Math.min(9, Math.ceil(((present - free) * 10) / present))));
}
