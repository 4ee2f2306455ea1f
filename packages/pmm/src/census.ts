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

/** Frames of split groups by use, client and colour; frames of whole and handed groups are free and used as they are. */
export interface Census {
  /** Frames by use; of taken blocks every frame counts. */
  readonly uses: Readonly<Record<FrameUse, number>>;
  /** Taken frames that are pinned. */
  readonly pinnedFrames: number;
  /** Taken frames that are wired. */
  readonly wiredFrames: number;
  /** Taken frames by the name of their client, where an owner table is kept. */
  readonly clients: Readonly<Record<string, number>>;
  /** Free frames by colour, those on page stacks included; one entry where there is one colour. */
  readonly freeByColour: readonly number[];
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
  const { colours } = arena.layout.geometry;
  const uses: Record<FrameUse, number> = {
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
  const clients: Record<string, number> = {};
  const freeByColour = Array.from({ length: colours }, () => 0);
  let pinnedFrames = 0;
  let wiredFrames = 0;
  const end = Atomics.load(arena.control, GROUPS_USED) * GROUP_FRAMES;
  for (let frame = 0; frame < end;) {
    const span = uniformSpan(core, frame);
    const use = useOf(core.arena, frame);
    uses[use] += span;
    if (use === "free" || use === "stacked") spread(freeByColour, frame, span);
    if (isHead(use)) {
      const code = arena.state[frame]!;
      if ((code & PINNED) !== 0) pinnedFrames += span;
      if ((code & WIRED) !== 0) wiredFrames += span;
      const owner = core.clientName(core.tables.ownerOf(frame));
      if (owner !== undefined) clients[owner] = (clients[owner] ?? 0) + span;
    }
    frame += span;
  }
  return { uses, pinnedFrames, wiredFrames, clients, freeByColour };
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

/** Adds `span` frames from `frame` on to their colours. */
function spread(byColour: number[], frame: number, span: number): void {
  const colours = byColour.length;
  if (span === 1) byColour[frame & (colours - 1)] = (byColour[frame & (colours - 1)] ?? 0) + 1;
  else for (let colour = 0; colour < colours; colour += 1) byColour[colour] = (byColour[colour] ?? 0) + span / colours;
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
