/** What is in frames: populating ranges, the guide's `makeUsable`, and the query. */
import { VmmError } from "../errors.ts";
import type { FaultOutcome, Outcome, Refusal } from "../outcome.ts";
import { isResolved } from "../outcome.ts";
import { NO_PAGE } from "../pages/pages.ts";
import { EXECUTE, READ, USER, WRITE } from "../rights.ts";
import { PAGE_SIZE, TABLE_PAGES, type Vpn } from "../units.ts";
import { mapRegion, unmapRange } from "./mapping.ts";
import { coverOf } from "./protecting.ts";
import type { Region } from "./region.ts";
import type { AddressSpace } from "./space.ts";

/** Faults on one page that others undo, before the operation is given up. */
const MAX_TRIES = 8;

/**
 * Faults in every page of `[start, end)` that an access would fault on: all of them are in frames together when it ends as `ok`. All or nothing: where one cannot be
 * had, frames that were filled with zeroes for the others are free again. Pages that came from a store stay, and so do copies for a writer.
 */
export function populateRange(space: AddressSpace, start: Vpn, end: Vpn, access: number): Outcome {
  const made: Vpn[] = [];
  const outcome = faultIn(space, start, end, access, made);
  if (outcome !== "ok") putOut(space, made);
  return outcome;
}

/** The pages that a failed operation has filled with zeroes lose their frames again. */
function putOut(space: AddressSpace, made: readonly Vpn[]): void {
  const { core } = space.vmm;
  for (const vpn of made) {
    const page = space.sheets.get(vpn)?.anons[vpn & (TABLE_PAGES - 1)] ?? NO_PAGE;
    if (page >= 0 && core.pages.isResident(page) && core.pages.holds[page] === 0) core.reclaimer.evictPage(page);
  }
}

/**
 * Faults in `[start, end)`, which may have several regions, as locks and requests to populate do: private pages that may be stored to become the space's own at once, so
 * that no store faults any more; all others are faulted in for a load. Pages done before a failure stay.
 */
export function populateRegions(space: AddressSpace, start: Vpn, end: Vpn): Outcome {
  for (const region of space.regions.within(start, end)) {
    const access = !region.shared && (region.rights & WRITE) !== 0 ? WRITE : READ;
    const outcome = faultIn(space, Math.max(start, region.start), Math.min(end, region.end), access, []);
    if (outcome !== "ok") return outcome;
  }
  return "ok";
}

/**
 * Faults in page by page, and pins what it has until the last one is there, so that none leaves for another; with `holds` false it does not, and some may have left.
 * Notes which pages were filled with zeroes.
 */
function faultIn(
  space: AddressSpace,
  start: Vpn,
  end: Vpn,
  access: number,
  made: Vpn[],
  holds: boolean = true,
): Outcome {
  const { core } = space.vmm;
  const needed = (access & (READ | WRITE | EXECUTE)) + (space.attributes === 0 ? USER : 0);
  const pinned: number[] = [];
  let outcome: Outcome = "ok";
  for (let vpn = start; vpn < end && outcome === "ok"; vpn++) {
    outcome = faultInOne(space, vpn, needed, made);
    if (!holds) continue;
    const page = outcome === "ok" ? core.frameMap.pageAt(space.tables.frame) : NO_PAGE;
    if (page < 0) continue; // The frame of zeroes, or a device's.
    core.pin(page);
    pinned.push(page);
  }
  const change = core.begin(space);
  for (const page of pinned) core.releasePinned(page, change.plan);
  core.end(change);
  return outcome;
}

/** `ok`: the page has the translation that was the last to be looked at. */
function faultInOne(space: AddressSpace, vpn: Vpn, needed: number, made: Vpn[]): Outcome {
  const { core, faults } = space.vmm;
  for (let tries = 0; tries < MAX_TRIES; tries++) {
    const state = space.tables.query(vpn);
    if (state !== 0 && (needed & ~state) === 0) return "ok";
    const region = space.regions.find(vpn);
    const wasThere = region !== null && isPageResident(space, region, vpn);
    const outcome = faults.fault(space, vpn * PAGE_SIZE, needed);
    if (!isResolved(outcome)) return refusalOf(outcome);
    if (wasThere || outcome === "major") continue;
    const pages = core.tables.large?.pagesAt(space.tables, vpn) ?? 1;
    const base = Math.floor(vpn / pages) * pages;
    for (let at = 0; at < pages; at++) made.push(base + at);
  }
  return "busy";
}

/** Pages that {@link populateLater} asks for before it waits: as many requests are on their way at once. */
const REQUESTS_AHEAD = 16;
/** How often one page may be awaited before it counts as lack of progress. */
export const AWAIT_LIMIT = 3;

/**
 * Like {@link populateRange}, waiting for asynchronous stores. Goes through the range once: where it is larger than the frames there are, its first pages have left
 * again at the end. A page that comes and goes while it is awaited is `no-memory`.
 */
export async function populateLater(space: AddressSpace, start: Vpn, end: Vpn, access: number): Promise<Outcome> {
  let times = 0;
  for (let vpn = start; vpn < end;) {
    const outcome = populateRange(space, vpn, vpn + 1, access);
    if (outcome === "ok") {
      vpn++;
      times = 0;
      continue;
    }
    if (outcome !== "pending" || space.pending === null) return outcome;
    if (++times > AWAIT_LIMIT) return "no-memory";
    const waits = [space.pending];
    for (let next = vpn + 1; next < Math.min(end, vpn + REQUESTS_AHEAD); next++)
      if (populateRange(space, next, next + 1, access) === "pending") waits.push(space.pending);
    await space.vmm.pressure.stalls.during(Promise.all(waits));
  }
  return "ok";
}

/** The refusal that a failed fault means for an operation on a range. */
export function refusalOf(outcome: FaultOutcome): Refusal {
  if (outcome === "unmapped") return "unmapped";
  if (outcome === "no-memory") return "no-memory";
  if (outcome === "pending" || outcome === "busy") return outcome;
  return outcome === "bus" || outcome === "guard" ? "bus" : "rights";
}

/**
 * Makes every page of `[start, end)` present: fills the holes between regions, then faults in what is missing. All or nothing, as {@link populateRange} is: where a page
 * cannot be had, the holes are there again. Costs what is missing, a look at the entries of each table in which something is, and a look at every other table.
 */
export function makeUsable(space: AddressSpace, start: Vpn, end: Vpn, rights: number): Outcome {
  const made: [Vpn, Vpn][] = [];
  const undone = (outcome: Refusal): Refusal => {
    for (const [from, to] of made) unmapRange(space, from, to);
    return outcome;
  };
  for (const [from, to] of holesOf(space, start, end)) {
    const mapped = mapRegion(space, {
      address: from * PAGE_SIZE,
      bytes: (to - from) * PAGE_SIZE,
      placement: "fixed-new",
      rights,
      populate: false,
    });
    if (typeof mapped === "string") return undone(mapped);
    made.push([from, to]);
  }
  const access = (rights & WRITE) !== 0 ? WRITE : READ;
  const { stats } = space.vmm.core;
  const { evictions } = stats;
  const filled: Vpn[] = [];
  let outcome: Outcome = "ok";
  for (const [from, to] of missingOf(space, start, end, access))
    if (outcome === "ok") outcome = faultIn(space, from, to, access, filled, false);
  // What was there at first may have left for what came.
  if (outcome === "ok" && stats.evictions !== evictions) outcome = faultIn(space, start, end, access, filled);
  if (outcome === "ok") return outcome;
  putOut(space, filled);
  return undone(outcome);
}

/** The parts of `[start, end)` outside of tables that are full, neighbours as one. */
function missingOf(space: AddressSpace, start: Vpn, end: Vpn, access: number): [Vpn, Vpn][] {
  const parts: [Vpn, Vpn][] = [];
  let from = start;
  for (let base = Math.ceil(start / TABLE_PAGES) * TABLE_PAGES; base + TABLE_PAGES <= end; base += TABLE_PAGES) {
    if (!isTableFull(space, base, access)) continue;
    if (base > from) parts.push([from, base]);
    from = base + TABLE_PAGES;
  }
  if (end > from) parts.push([from, end]);
  return parts;
}

/** Whether the 512 pages under a table are all mapped, for an access that their region allows, and none would be copied for it. */
function isTableFull(space: AddressSpace, base: Vpn, access: number): boolean {
  const sheet = space.sheets.get(base);
  if (sheet?.mapped !== TABLE_PAGES) return false;
  const region = space.regions.find(base);
  if (region === null || region.end < base + TABLE_PAGES || (region.rights & access) === 0) return false;
  if (region.shared || access !== WRITE) return true;
  const { refs } = space.vmm.core.pages;
  for (let at = 0; at < TABLE_PAGES; at++) {
    const page = sheet.anons[at]!;
    if (page < 0 || refs[page] !== 1) return false;
  }
  return true;
}

/** No page of `[start, end)` is mapped afterwards. */
export function makeUnusable(space: AddressSpace, start: Vpn, end: Vpn): Outcome {
  return unmapRange(space, start, end);
}

/** The parts of `[start, end)` that no region covers. */
export function holesOf(space: AddressSpace, start: Vpn, end: Vpn): [Vpn, Vpn][] {
  const holes: [Vpn, Vpn][] = [];
  let at = start;
  for (const region of space.regions.within(start, end)) {
    if (region.start > at) holes.push([at, region.start]);
    at = region.end;
  }
  if (at < end) holes.push([at, end]);
  return holes;
}

/** Sets `into[i]` to 1 where page `start + i` has its content in a frame, whether this space has a translation for it or not. */
export function residencyOf(space: AddressSpace, start: Vpn, end: Vpn, into: Uint8Array): Outcome {
  if (start === end) return "ok";
  const regions = coverOf(space, start, end);
  if (regions === null) return "unmapped";
  if (into.length < end - start)
    throw new VmmError("bad-argument", "The array has one byte per page.", { bytes: into.length, pages: end - start });
  for (const region of regions) {
    const from = Math.max(start, region.start);
    const to = Math.min(end, region.end);
    for (let vpn = from; vpn < to; vpn++) into[vpn - start] = isPageResident(space, region, vpn) ? 1 : 0;
  }
  return "ok";
}

/** Whether the content of a page of a region is in a frame. */
export function isPageResident(space: AddressSpace, region: Region, vpn: Vpn): boolean {
  const { pages } = space.vmm.core;
  const sheet = space.sheets.get(vpn);
  const anon = sheet === null ? -1 : sheet.anons[vpn & (TABLE_PAGES - 1)]!;
  if (anon >= 0) return pages.isResident(anon);
  const { object } = region;
  if (object === null) return space.tables.query(vpn) !== 0;
  if (object.kind === "device") return region.indexOf(vpn) < object.pageCount;
  const page = object.pages.get(region.indexOf(vpn));
  return page >= 0 && pages.isResident(page);
}
