/** Moving, growing and shrinking ranges. Pages and translations move, by whole tables where that is possible; no byte is copied. */
import { VmmError } from "../errors.ts";
import type { Refusal } from "../outcome.ts";
import { NO_PAGE } from "../pages/pages.ts";
import { EXECUTE, READ, WRITE } from "../rights.ts";
import { PAGE_SIZE, TABLE_PAGES, pagesFor, type VirtAddr, type Vpn } from "../units.ts";
import {
  addRegion,
  findGap,
  isAccounted,
  keptBy,
  mapRegion,
  mergeAround,
  mergeRange,
  replacedPages,
  settleAddresses,
  splitAt,
  unmapRange,
} from "./mapping.ts";
import { dropAnons } from "./private-pages.ts";
import { coverOf, cutsFor } from "./protecting.ts";
import { Region } from "./region.ts";
import { populateRegions } from "./residency.ts";
import { unshareRange } from "./sharing.ts";
import type { AddressSpace } from "./space.ts";
import { moveTables } from "./transfer.ts";

/** What to move where. */
export interface RemapRequest {
  /** First address of the range. */
  readonly address: VirtAddr;
  /** Its bytes, rounded up to whole pages. 0 with `mayMove`: a second mapping of a shared object, beginning at `address`. */
  readonly bytes: number;
  /** Its bytes afterwards, at least 1. */
  readonly newBytes: number;
  /** Whether it may go elsewhere when it cannot grow in place. */
  readonly mayMove?: boolean;
  /** Where it has to go, replacing what is there. */
  readonly target?: VirtAddr;
  /** The old range stays mapped, without its private pages and unlocked. Needs `mayMove` and equal sizes. */
  readonly keepSource?: boolean;
}

/** Carries out a request; the new address, or why not. */
export function remapRange(space: AddressSpace, request: RemapRequest): VirtAddr | Refusal {
  const { address, target } = request;
  for (const at of [address, target ?? 0])
    if (!Number.isSafeInteger(at) || (at & (PAGE_SIZE - 1)) !== 0)
      throw new VmmError("unaligned", "An address is a multiple of 4096.", { address: at });
  const start = address / PAGE_SIZE;
  const oldPages = pagesFor(request.bytes);
  const newPages = pagesFor(request.newBytes);
  demandSense(request, oldPages, newPages);
  if (oldPages === 0) return alias(space, start, newPages, request);
  const end = start + oldPages;
  const regions = coverOf(space, start, end);
  if (regions === null) return "unmapped";
  if (regions.some((region) => region.sealed)) return "sealed";
  if (newPages > oldPages && regions.length > 1) return "mixed";
  if (target !== undefined) {
    return moveTo(space, start, oldPages, newPages, target / PAGE_SIZE, request.keepSource === true);
  }
  if (request.keepSource !== true) {
    if (newPages <= oldPages) return shrink(space, start, oldPages, newPages);
    const grown = growInPlace(space, start, end, newPages);
    if (grown === "ok") return address;
    if (grown !== "no-space" || request.mayMove !== true) return grown;
  }
  const gap = gapLike(space, regions, start, newPages);
  if (typeof gap === "string") return gap;
  return moveTo(space, start, oldPages, newPages, gap, request.keepSource === true);
}

/** Throws for sizes that are none and for combinations that mean nothing. */
function demandSense(request: RemapRequest, oldPages: number, newPages: number): void {
  const { bytes, newBytes } = request;
  if (!Number.isSafeInteger(bytes) || bytes < 0 || !Number.isSafeInteger(newBytes) || newBytes < 1)
    throw new VmmError("out-of-range", "A range has at least one byte afterwards.", { bytes, newBytes });
  if (request.mayMove === true && (request.keepSource !== true || oldPages === newPages)) return;
  if (request.target !== undefined || request.keepSource === true || oldPages === 0)
    throw new VmmError(
      "bad-argument",
      "A target, an alias or a kept source needs mayMove, and the latter equal sizes.",
      {
        bytes,
        newBytes,
      },
    );
}

/** A gap in which a range is cut by tables as it is now, so that they can move whole, where one is to be had; else any. */
function gapLike(space: AddressSpace, regions: readonly Region[], start: Vpn, pages: number): Vpn | Refusal {
  const roomy = pages + TABLE_PAGES - 1;
  const wish = { bytes: roomy * PAGE_SIZE, ...keptBy(regions) };
  const gap = pages < TABLE_PAGES ? "no-space" : findGap(space, wish, roomy);
  if (typeof gap !== "string") return gap + ((start - gap) & (TABLE_PAGES - 1));
  return findGap(space, wish, pages);
}

function shrink(space: AddressSpace, start: Vpn, oldPages: number, newPages: number): VirtAddr | Refusal {
  if (newPages < oldPages) {
    const outcome = unmapRange(space, start + newPages, start + oldPages);
    if (outcome !== "ok") return outcome;
  }
  return start * PAGE_SIZE;
}

/** What a move or growth adds to a space, or what it replaces takes from it, in pages. */
interface Growth {
  readonly mapped: number;
  readonly locked: number;
  readonly accounted: number;
}

/** What so many pages more of a region add. */
function growthOf(region: Region, pages: number): Growth {
  return { mapped: pages, locked: region.locked === "none" ? 0 : pages, accounted: region.accounted ? pages : 0 };
}

const NOTHING: Growth = { mapped: 0, locked: 0, accounted: 0 };

/** What regions of `[start, end)` are to a space. */
function shareOf(space: AddressSpace, start: Vpn, end: Vpn): Growth {
  return {
    mapped: replacedPages(space, start, end, () => true),
    locked: replacedPages(space, start, end, (region) => region.locked !== "none"),
    accounted: replacedPages(space, start, end, isAccounted),
  };
}

/** Why a space cannot have more pages, `less` of which are about to go, or `ok` with those charged that count. Limits refuse what grows, not what has passed them. */
function admit(space: AddressSpace, more: Growth, less: Growth = NOTHING): "ok" | Refusal {
  const { limits } = space;
  const mapped = more.mapped - less.mapped;
  const locked = more.locked - less.locked;
  if (mapped > 0 && space.mappedPages + mapped > limits.pages) return "size-limit";
  if (locked > 0 && space.lockedPages + locked > limits.lockedPages) return "lock-limit";
  return space.vmm.commit.charge(more.accounted, less.accounted) ? "ok" : "commit-limit";
}

/** Whether the pages that a region gets beyond `end` have no other memory type in other regions. */
function mayGrow({ vmm }: AddressSpace, { object, type, offset, start }: Region, end: Vpn, pages: number): boolean {
  return object === null || vmm.types.allowsObject(object, type, offset + (end - start), pages);
}

function growInPlace(space: AddressSpace, start: Vpn, end: Vpn, newPages: number): "ok" | Refusal {
  const region = space.regions.find(start);
  if (region === null) return "unmapped";
  const newEnd = start + newPages;
  const next = space.regions.after(region);
  const room = next === null ? space.high : Math.min(space.high, next.start - next.guard - region.guard);
  if (region.end !== end || newEnd > room) return "no-space";
  const more = newEnd - end;
  if (!mayGrow(space, region, end, more)) return "type-conflict";
  const admitted = admit(space, growthOf(region, more));
  if (admitted !== "ok") return admitted;
  settleAddresses(space, end, newEnd);
  space.regions.resize(region, region.start, newEnd);
  space.mappedPages += more;
  if (region.locked !== "none") space.lockedPages += more;
  mergeAround(space, region);
  if (region.locked === "all") populateRegions(space, end, newEnd);
  return "ok";
}

/** Moves `[start, start + oldPages)` to `to` with `newPages` pages, replacing what is there. */
function moveTo(
  space: AddressSpace,
  start: Vpn,
  oldPages: number,
  newPages: number,
  to: Vpn,
  keepSource: boolean,
): VirtAddr | Refusal {
  const movedPages = Math.min(oldPages, newPages);
  if (to < space.low || to + newPages > space.high) return "out-of-bounds";
  if (to < start + oldPages && start < to + newPages) return "overlap";
  if (space.regions.within(to, to + newPages).some((region) => region.sealed)) return "sealed";
  const sources = space.regions.within(start, start + movedPages);
  const cuts = cutsFor(space, start, start + oldPages) + cutsFor(space, to, to + newPages);
  if (space.regions.count + cuts + (keepSource ? sources.length : 0) > space.limits.regions) return "region-limit";
  const grown = { mapped: 0, locked: 0, accounted: 0 };
  for (const region of sources) {
    const pages = Math.min(region.end, start + movedPages) - Math.max(region.start, start);
    const more = growthOf(region, keepSource ? pages : newPages - movedPages);
    grown.mapped += more.mapped;
    grown.locked += keepSource ? 0 : more.locked;
    grown.accounted += more.accounted;
  }
  const [first] = sources;
  if (newPages > oldPages && first !== undefined && !mayGrow(space, first, start + oldPages, newPages - oldPages))
    return "type-conflict";
  const admitted = admit(space, grown, shareOf(space, to, to + newPages));
  if (admitted !== "ok") return admitted;
  unmapRange(space, to, to + newPages);
  settleAddresses(space, to, to + newPages);
  unshareRange(space, start, start + oldPages);
  if (oldPages > movedPages) unmapRange(space, start + movedPages, start + oldPages);
  splitAt(space, start);
  splitAt(space, start + movedPages);
  for (const region of space.regions.within(start, start + movedPages)) {
    const copy = new Region(region.start + (to - start), region.end + (to - start), region.offset, region);
    if (region.end === start + movedPages) copy.end = to + newPages;
    if (!keepSource) {
      space.regions.remove(region);
      space.mappedPages -= region.pages;
      if (region.locked !== "none") space.lockedPages -= region.pages;
    }
    addRegion(space, copy);
    if (!keepSource && region.object !== null) region.object.detach(region);
  }
  space.vmm.core.purgeable.moved(space, start, start + movedPages, space, to - start);
  space.isMoving = true;
  movePages(space, start, start + movedPages, to - start);
  space.isMoving = false;
  if (keepSource) {
    for (const region of space.regions.within(start, start + movedPages)) unlockEmpty(space, region);
    mergeRange(space, start, start + movedPages);
  }
  mergeRange(space, to, to + newPages);
  for (const region of space.regions.within(to, to + newPages))
    if (region.locked === "all")
      populateRegions(space, Math.max(to, region.start), Math.min(to + newPages, region.end));
  return to * PAGE_SIZE;
}

/**
 * Moves the private pages and translations of `[start, end)` `distance` pages up: whole tables as they are, where both places are cut alike, and entry by entry what
 * is left. O(tables), or O(pages) where the distance is no multiple of a table.
 */
function movePages(space: AddressSpace, start: Vpn, end: Vpn, distance: number): void {
  const isCutAlike = Math.floor(distance / TABLE_PAGES) * TABLE_PAGES === distance;
  let first = Math.min(end, Math.ceil(start / TABLE_PAGES) * TABLE_PAGES);
  let last = Math.max(first, Math.floor(end / TABLE_PAGES) * TABLE_PAGES);
  if (!isCutAlike || first === last || !moveWhole(space, first, last, distance)) first = last = end;
  const edges = [
    [start, first],
    [last, end],
  ] as const;
  for (const [from, to] of edges.filter(([from, to]) => from < to))
    for (const region of space.regions.within(from + distance, to + distance))
      moveEntries(
        space,
        region,
        Math.max(from, region.start - distance),
        Math.min(to, region.end - distance),
        distance,
      );
  dropAnons(space, start, end, true);
}

/** The lock of a region went with its pages. */
function unlockEmpty(space: AddressSpace, region: Region): void {
  if (region.locked !== "none") space.lockedPages -= region.pages;
  region.locked = "none";
}

/** Moves whole tables with their sheets; false: nothing changed. */
function moveWhole(space: AddressSpace, start: Vpn, end: Vpn, distance: number): boolean {
  const { core } = space.vmm;
  const change = core.begin(space);
  const moved = moveTables(space, start, space, start + distance, end - start, change.plan);
  core.end(change);
  return moved;
}

/** Moves private pages and translations into a region, entry by entry. */
function moveEntries(space: AddressSpace, into: Region, start: Vpn, end: Vpn, distance: number): void {
  const { core } = space.vmm;
  const change = core.begin(space);
  change.remove(start, end, into.locked !== "none");
  space.sheets.forEach(start, end, (sheet, base) => {
    const stop = Math.min(end, base + TABLE_PAGES);
    for (let vpn = Math.max(start, base); vpn < stop && sheet.used > 0; vpn++) {
      const at = vpn & (TABLE_PAGES - 1);
      const page = sheet.anons[at]!;
      if (page === NO_PAGE) continue;
      sheet.anons[at] = NO_PAGE;
      sheet.used--;
      const target = vpn + distance;
      const sheetTo = space.sheetFor(target);
      sheetTo.anons[target & (TABLE_PAGES - 1)] = page;
      sheetTo.used++;
      if (page < 0 || !core.pages.isResident(page)) continue;
      const rights = core.pages.refs[page] === 1 ? into.rights : into.rights & ~WRITE;
      if ((rights & (READ | WRITE | EXECUTE)) !== 0) core.map(space, into, sheetTo, target, page, rights, change.plan);
    }
  });
  core.end(change);
}

/** A second mapping of a shared object's pages: what an old size of 0 asks for. */
function alias(space: AddressSpace, start: Vpn, pages: number, request: RemapRequest): VirtAddr | Refusal {
  const region = space.regions.find(start);
  if (region === null) return "unmapped";
  if (!region.shared || region.object === null) return "not-shared";
  const target = (request.target ?? NaN) / PAGE_SIZE;
  if (target <= start && start < target + pages) return "overlap";
  return mapRegion(space, {
    bytes: pages * PAGE_SIZE,
    rights: region.rights,
    ceiling: region.ceiling,
    object: region.object,
    offset: region.indexOf(start) * PAGE_SIZE,
    shared: true,
    type: region.type,
    locked: region.locked,
    onClone: region.leftOutOfClones ? "skip" : "copy",
    ...(request.target === undefined ? {} : { address: request.target, placement: "fixed" as const }),
  });
}
