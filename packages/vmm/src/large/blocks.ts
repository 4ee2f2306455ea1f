/**
 * Blocks of frames for 2M and 1G pages. A block is asked for as one and then split: from then on its frames are frames like all others, each with a page
 * record of its own, and given back one by one. What came back whole is a block again, by the frame source's own doing.
 */
import type { Core } from "../core.ts";
import { zeroRun } from "../frames/zeroing.ts";
import type { FrameHints } from "../ports.ts";
import { mappedResident } from "../space/resident-limit.ts";
import type { AddressSpace } from "../space/space.ts";
import type { Wishes } from "../space/wishes.ts";
import { NO_FRAME, PAGE_SIZE, type Pfn } from "../units.ts";

/** Bytes of the pages that a program can ask for. */
export type PageSize = 4096 | 2097152 | 1073741824;

/** 2 MiB. */
export const PAGE_2M: PageSize = 2097152;
/** 1 GiB. */
export const PAGE_1G: PageSize = 1073741824;

const ANY: readonly FrameHints[] = [{ order: 0, node: -1, colour: -1, movable: 1 }];

/** Whether leaves of so many pages can be had at all: the tables have them, and the frame source splits blocks. */
export function hasLeaves(core: Core, pages: number): boolean {
  return core.frames.split !== undefined && core.tables.large?.sizes.includes(pages) === true;
}

/** Whether a space may have so many more translations without losing others. */
export function mayMap(space: AddressSpace, pages: number): boolean {
  const { residentPages } = space.limits;
  return residentPages === Infinity || mappedResident(space) + pages <= residentPages;
}

/** Whether so many more frames may hold pages without anybody's leaving. */
export function hasRoom(core: Core, pages: number): boolean {
  const { framePressure } = core;
  if (core.resident + pages > core.residentLimit) return false;
  return framePressure === null || (framePressure.level() === "none" && framePressure.freeFrames > 2 * pages);
}

/** Takes an aligned run of `pages` frames (512, 262144), each to be given back by itself; NO_FRAME if there is none. Nobody is made to leave for it. */
export function takeBlock(core: Core, pages: number, wishes: Wishes): Pfn {
  const { frames } = core;
  if (frames.split === undefined) return NO_FRAME;
  const order = Math.log2(pages);
  for (const wish of wishes ?? ANY) {
    const pfn = frames.take({ ...wish, order, colour: -1 });
    if (pfn === NO_FRAME) continue;
    frames.split(pfn, order);
    return pfn;
  }
  return NO_FRAME;
}

/** Gives a run of frames back that no translation ever led to. */
export function giveBlock(core: Core, pfn: Pfn, pages: number): void {
  core.frames.giveMany(
    Float64Array.from({ length: pages }, (_, at) => pfn + at),
    pages,
  );
}

/** Fills a run of frames with zeroes. */
export function zeroBlock(core: Core, pfn: Pfn, pages: number): void {
  zeroRun(core.window, pfn, pages);
  core.stats.zeroedFrames += pages;
}

/** The 4K pages of a page size. */
export function pagesOf(size: PageSize): number {
  return size / PAGE_SIZE;
}
