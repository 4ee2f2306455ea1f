/* All that is known of one frame, in O(1): for auditors, and for messages about it. */
import { DOOMED, DOOMED_1G, DOOMED_2M, LEAVING, PINNED, TAKEN_DOOMED, WIRED } from "./arena.ts";
import type { Core } from "./core.ts";
import { isTakenByte } from "./marks.ts";
import { useOf } from "./misuse.ts";
import type { FrameUse } from "./misuse.ts";
import { BLOCK_FRAMES, GROUP_FRAMES, ORDER_1G, ORDER_2M, ORDER_4K } from "./units.ts";
import type { Pfn } from "./units.ts";

/** One frame as the allocator knows it. */
export interface FrameFacts {
  /** What it is used for; `hole` where no RAM is managed, and all else is then at its default. */
  readonly use: FrameUse;
  /** The name of its zone, empty for a hole. */
  readonly zone: string;
  /** Its NUMA node, −1 for a hole. */
  readonly node: number;
  /** Its power rank, −1 for a hole. */
  readonly rank: number;
  /** Order of the page that it was taken as, or as part of: 0, 9 or 18; 0 where it is not taken. */
  readonly order: number;
  /** First frame of that page, which is the one to give back; the frame itself where it is not taken. */
  readonly head: Pfn;
  /** Taken, not to be moved. */
  readonly isPinned: boolean;
  /** Taken and wired: neither to be given back nor to be moved. */
  readonly isWired: boolean;
  /** Taken, and to retire when it is given back. */
  readonly isRetiring: boolean;
  /** The client that owns the page; undefined if nobody does, or no table is kept. */
  readonly owner: string | undefined;
  /** Users of the page: 0 where nothing is taken, 1 where no table is kept. */
  readonly users: number;
}

/** The order of the page that a frame of that use belongs to. */
function orderOf(use: FrameUse): number {
  if (use === "taken-2M" || use === "inside-2M") return ORDER_2M;
  return use === "taken-1G" || use === "inside-1G" ? ORDER_1G : ORDER_4K;
}

/** Looks at the state byte of a frame, those of the page around it, and the tables. */
export function factsOf(core: Core, pfn: Pfn): FrameFacts {
  const { arena, tables } = core;
  const frame = arena.frameOf(pfn);
  const use = useOf(arena, frame);
  const order = orderOf(use);
  const nothing = { use, order, head: pfn, isPinned: false, isWired: false, isRetiring: false, owner: undefined };
  if (use === "hole") return { ...nothing, zone: "", node: -1, rank: -1, users: 0 };
  const zone = core.zoneOf(frame);
  const place = { zone: zone.name, node: zone.node, rank: arena.ranks[frame >>> 9]! };
  const inPage = order === ORDER_4K ? 0 : frame & ((order === ORDER_2M ? BLOCK_FRAMES : GROUP_FRAMES) - 1);
  const code = arena.state[frame - inPage]!;
  if (use === "free" || use === "stacked" || !isTakenByte(code)) return { ...nothing, ...place, users: 0 };
  return {
    use,
    ...place,
    order,
    head: pfn - inPage,
    isPinned: (code & PINNED) !== 0,
    isWired: (code & WIRED) !== 0,
    isRetiring: isDoomed(arena.state[frame]!),
    owner: core.clientName(tables.ownerOf(frame - inPage)),
    users: tables.countOf(frame - inPage),
  };
}

/** True for the byte of a frame that retires when it, or the page around it, is given back. */
function isDoomed(code: number): boolean {
  const kind = code & ~(PINNED | WIRED | LEAVING);
  return code === DOOMED || kind === TAKEN_DOOMED || kind === DOOMED_2M || kind === DOOMED_1G;
}
