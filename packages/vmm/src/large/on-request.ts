/**
 * Regions made of 2M or 1G pages because the program asks for them: all their frames are there when `map` returns, or it refuses. Afterwards they are memory
 * like any other: they are split where a part is unmapped, protected, copied on write or evicted; a lock keeps them whole.
 */
import { VmmError } from "../errors.ts";
import { AnonymousObject } from "../objects/anonymous-object.ts";
import type { Refusal } from "../outcome.ts";
import { demandPlacement, hintsFor } from "../space/frame-placement.ts";
import { setLocks } from "../space/locking.ts";
import { mapRegion, unmapRange, type MapRequest } from "../space/mapping.ts";
import type { Region } from "../space/region.ts";
import type { AddressSpace } from "../space/space.ts";
import { NO_FRAME, PAGE_SIZE, TABLE_PAGES, type Pfn, type VirtAddr, type Vpn } from "../units.ts";
import { giveBlock, hasLeaves, mayMap, pagesOf, takeBlock, zeroBlock, type PageSize } from "./blocks.ts";
import { fillObject, fillSheet, mapFrames } from "./leaf.ts";

/**
 * Maps a region of `request.bytes`, a multiple of the page size, by leaves of that size. Refuses with `page-size` where tables or frame source have no such pages
 * (or the object is no shared anonymous one), `exists` where something is mapped at a fixed place, `no-memory` where a block of frames is missing.
 */
export function mapLargePages(space: AddressSpace, request: MapRequest, size: PageSize): VirtAddr | Refusal {
  const { core } = space.vmm;
  const pages = pagesOf(size);
  demandMultiples(request, size);
  const { object, locked = space.lockFuture } = request;
  const fits = object === undefined || (object instanceof AnonymousObject && request.shared === true);
  if (!hasLeaves(core, pages) || !fits || (request.type ?? 0) !== 0) return "page-size";
  if (object !== undefined && !isUntouched(object, request)) return "exists";
  if (request.frames !== undefined) demandPlacement(request.frames);
  const { placement } = request;
  const { limits, lockedPages } = space;
  if (locked !== "none" && lockedPages + request.bytes / PAGE_SIZE > limits.lockedPages) return "lock-limit";
  const blocks = mayMap(space, request.bytes / PAGE_SIZE)
    ? takeBlocks(space, request, request.bytes / size, pages)
    : null;
  if (blocks === null) return "no-memory";
  const at = mapRegion(space, {
    ...request,
    pageSize: PAGE_SIZE,
    alignment: Math.max(size, request.alignment ?? 0),
    locked: "none",
    populate: false,
    ...(placement === "fixed" ? { placement: "fixed-new" } : {}),
  });
  if (typeof at === "string") {
    for (const block of blocks) giveBlock(core, block, pages);
    return at;
  }
  const start = at / PAGE_SIZE;
  const end = start + request.bytes / PAGE_SIZE;
  if (!install(space, start, blocks, pages)) {
    unmapRange(space, start, end, true);
    return "no-memory";
  }
  if (locked !== "none") setLocks(space, start, end, locked);
  return at;
}

function demandMultiples({ bytes, address = 0, offset = 0 }: MapRequest, size: PageSize): void {
  for (const value of [bytes, address, offset])
    if (Math.floor(value / size) * size !== value)
      throw new VmmError("unaligned", "Length, address and offset are multiples of the page size.", { value, size });
}

/** Whether the part of an object that is to be mapped lies within it and has no pages yet. */
function isUntouched(object: AnonymousObject, { bytes, offset = 0 }: MapRequest): boolean {
  if (offset + bytes > object.size) return false;
  const first = offset / PAGE_SIZE;
  for (let at = 0; at < bytes / PAGE_SIZE; at += TABLE_PAGES)
    if (object.pages.hasAny(first + at, first + at + TABLE_PAGES)) return false;
  return true;
}

/** All blocks, or null and none. Interleaved nodes take turns by block. */
function takeBlocks(space: AddressSpace, request: MapRequest, count: number, pages: number): Pfn[] | null {
  const { core, faults } = space.vmm;
  const placement = request.frames ?? space.placement;
  const blocks: Pfn[] = [];
  while (core.resident + count * pages <= core.residentLimit) {
    const wishes = placement === null ? null : hintsFor(placement, blocks.length, faults.currentNode());
    const block = takeBlock(core, pages, wishes);
    if (block === NO_FRAME) break;
    blocks.push(block);
    if (blocks.length === count) return blocks;
  }
  for (const block of blocks) giveBlock(core, block, pages);
  return null;
}

/** Fills the pages of a new region block by block. False: no frame for a table; blocks that were not used are given back. */
function install(space: AddressSpace, start: Vpn, blocks: readonly Pfn[], pages: number): boolean {
  const { core } = space.vmm;
  let done = 0;
  for (const block of blocks) {
    const vpn = start + done * pages;
    const region = space.regions.find(vpn);
    if (region === null) break;
    zeroBlock(core, block, pages);
    const change = core.begin(space);
    const mapped = mapFrames(space, region, vpn, pages, block, region.rights, change.plan);
    if (mapped) for (let at = 0; at < pages; at += TABLE_PAGES) fill(space, region, vpn + at, block + at);
    core.end(change);
    if (!mapped) break;
    done++;
  }
  for (const block of blocks.slice(done)) giveBlock(core, block, pages);
  return done === blocks.length;
}

function fill(space: AddressSpace, region: Region, vpn: Vpn, pfn: Pfn): void {
  const { core } = space.vmm;
  const sheet = space.sheetFor(vpn);
  if (region.object === null) fillSheet(core, region, sheet, pfn);
  else fillObject(core, region, sheet, region.object, region.indexOf(vpn), pfn);
}
