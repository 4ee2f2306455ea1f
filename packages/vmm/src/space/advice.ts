/** Advice about a range: how it will be used, and what may be done to it. */
import { VmmError } from "../errors.ts";
import { splitLeaves } from "../large/leaf.ts";
import { AnonymousObject } from "../objects/anonymous-object.ts";
import { SUPPLY_BUS, SUPPLY_PENDING } from "../objects/object.ts";
import type { Outcome } from "../outcome.ts";
import { NO_PAGE, PAGE_DIRTY, PAGE_POISONED, PAGE_REFERENCED } from "../pages/pages.ts";
import { ACCESSED, DIRTY, READ, WRITE } from "../rights.ts";
import { PAGE_SIZE, TABLE_PAGES, type Vpn } from "../units.ts";
import { mergeRange, splitAt } from "./mapping.ts";
import { dropTranslations, sheetParts } from "./private-pages.ts";
import { coverOf, cutsFor } from "./protecting.ts";
import type { Region } from "./region.ts";
import { populateRange } from "./residency.ts";
import { GUARD_PAGE } from "./sheet.ts";
import { unshareRange } from "./sharing.ts";
import type { AddressSpace } from "./space.ts";
import { fetchFor } from "./wishes.ts";

/**
 * | advice | effect |
 * |---|---|
 * | `normal`, `sequential`, `random` | read-ahead and reclaim follow the pattern |
 * | `will-need` | pages of the range are brought into frames, as far as that works |
 * | `dont-need` | private pages are dropped: they read as zero, or as the file, again. Not for locked regions |
 * | `dont-need-locked` | the same, for locked regions too |
 * | `free` | private pages may be dropped from now on, before all others, until they are stored to again |
 * | `cold` | pages leave first when frames are needed |
 * | `page-out` | pages leave their frames now |
 * | `remove` | pages of a shared object read as zero, for all its users; some of them where a store fails |
 * | `large`, `no-large` | 2M pages are wanted, or not |
 * | `wipe-on-clone`, `keep-on-clone` | clones see zeroes there; no longer |
 * | `no-clone`, `clone` | clones have nothing there, whatever else was said; no longer |
 * | `guard`, `no-guard` | pages fault on every access though the region exists; no longer |
 * | `populate-read`, `populate-write` | every page is faulted in, or the call fails |
 */
export type Advice =
  | "normal"
  | "sequential"
  | "random"
  | "will-need"
  | "dont-need"
  | "dont-need-locked"
  | "free"
  | "cold"
  | "page-out"
  | "remove"
  | "large"
  | "no-large"
  | "wipe-on-clone"
  | "keep-on-clone"
  | "no-clone"
  | "clone"
  | "guard"
  | "no-guard"
  | "populate-read"
  | "populate-write";

/** Every kind of advice. */
const KINDS: ReadonlySet<string> = new Set<Advice>([
  "normal",
  "sequential",
  "random",
  "will-need",
  "dont-need",
  "dont-need-locked",
  "free",
  "cold",
  "page-out",
  "remove",
  "large",
  "no-large",
  "wipe-on-clone",
  "keep-on-clone",
  "no-clone",
  "clone",
  "guard",
  "no-guard",
  "populate-read",
  "populate-write",
]);

/**
 * Applies advice to `[start, end)`, which is mapped without holes: all of it or nothing, as far as it is known before. `failed`: a store did not take the zeroes of
 * `remove`; then those before the error are there, in each file of the range, and the rest of its pages are as they were.
 */
export function advise(space: AddressSpace, start: Vpn, end: Vpn, advice: Advice): Outcome {
  if (!KINDS.has(advice)) throw new VmmError("bad-argument", "There is no such advice.", { advice });
  if (start === end) return "ok";
  const regions = coverOf(space, start, end);
  if (regions === null) return "unmapped";
  for (const region of regions) {
    const refusal = refuses(space, region, advice, start, end);
    if (refusal !== "ok") return refusal;
  }
  if (advice === "populate-read") return populateRange(space, start, end, READ);
  if (advice === "populate-write") return populateRange(space, start, end, WRITE);
  const trait = traitSetter(advice);
  if (trait !== null) {
    if (space.regions.count + cutsFor(space, start, end) > space.limits.regions) return "region-limit";
    splitAt(space, start);
    splitAt(space, end);
    for (const region of space.regions.within(start, end)) trait(region);
    mergeRange(space, start, end);
    return "ok";
  }
  if (advice === "dont-need" || advice === "dont-need-locked" || advice === "guard") unshareRange(space, start, end);
  let outcome: Outcome = "ok";
  for (const region of regions)
    if (!apply(space, region, Math.max(start, region.start), Math.min(end, region.end), advice)) outcome = "failed";
  return outcome;
}

/** The private pages of `[start, end)` are nobody's any more: `dont-need` without interrupts. */
export function discardRange(space: AddressSpace, start: Vpn, end: Vpn): Outcome {
  if (start === end) return "ok";
  const regions = coverOf(space, start, end);
  if (regions === null) return "unmapped";
  for (const region of regions) {
    const refusal = refuses(space, region, "dont-need", start, end);
    if (refusal !== "ok") return refusal;
  }
  unshareRange(space, start, end);
  for (const region of regions)
    dropTranslations(space, region, Math.max(start, region.start), Math.min(end, region.end), true, true);
  return "ok";
}

function refuses(space: AddressSpace, region: Region, advice: Advice, start: Vpn, end: Vpn): Outcome {
  const destroys = advice === "dont-need" || advice === "free" || advice === "remove" || advice === "guard";
  if (region.locked !== "none" && (destroys || advice === "cold" || advice === "page-out")) return "locked";
  const discards = destroys || advice === "dont-need-locked" || advice === "no-clone" || advice === "wipe-on-clone";
  if (region.sealed && discards && (region.rights & WRITE) === 0 && mayHoldData(space, region, start, end))
    return "sealed";
  if ((advice === "free" || advice === "wipe-on-clone") && region.object !== null) return "not-anonymous";
  if (advice === "guard" && region.object?.kind === "device") return "not-anonymous";
  if (advice === "remove") {
    if (region.object === null) return "not-shared";
    if (region.object.kind === "device") return "not-anonymous";
    if (!region.shared || (region.ceiling & WRITE) === 0) return "rights";
    if (region.object instanceof AnonymousObject && !region.object.isWritable) return "sealed";
  }
  return "ok";
}

/** Whether a range of a region may have content that is in no object: private memory, or private copies of an object's pages. */
function mayHoldData(space: AddressSpace, region: Region, start: Vpn, end: Vpn): boolean {
  if (region.object === null) return true;
  if (region.shared) return false;
  let used = 0;
  space.sheets.forEach(Math.max(start, region.start), Math.min(end, region.end), (sheet) => (used += sheet.used));
  return used > 0;
}

/** What the advice changes about whole regions; null where it is about pages. */
function traitSetter(advice: Advice): ((region: Region) => void) | null {
  switch (advice) {
    case "normal":
    case "sequential":
    case "random":
      return (region) => (region.pattern = advice);
    case "large":
      return (region) => (region.large = "yes");
    case "no-large":
      return (region) => (region.large = "no");
    case "wipe-on-clone":
      return (region) => (region.wipedInClones = true);
    case "keep-on-clone":
      return (region) => (region.wipedInClones = false);
    case "clone":
      return (region) => (region.leftOutOfClones = false);
    case "no-clone":
      return (region) => (region.leftOutOfClones = true);
    default:
      return null;
  }
}

/** Does to part of a region what the advice says; false if a store failed. */
function apply(space: AddressSpace, region: Region, start: Vpn, end: Vpn, advice: Advice): boolean {
  if (advice === "dont-need" || advice === "dont-need-locked") {
    dropTranslations(space, region, start, end, true);
  } else if (advice === "free") freeLazily(space, start, end);
  else if (advice === "will-need") bringIn(space, region, start, end);
  else if (advice === "cold") cool(space, start, end);
  else if (advice === "page-out") putOut(space, start, end);
  else if (advice === "remove")
    return region.object?.punch(region.indexOf(start) * PAGE_SIZE, region.indexOf(end) * PAGE_SIZE) !== "failed";
  else if (advice === "guard") guard(space, region, start, end);
  else unguard(space, start, end);
  return true;
}

/** Private pages become clean with no copy anywhere, and cold: reclaim drops them first, and they read as zero; a store makes them count again. Those in swap are gone at once. */
function freeLazily(space: AddressSpace, start: Vpn, end: Vpn): void {
  const { core } = space.vmm;
  const change = core.begin(space);
  space.tables.harvest(start, end, ACCESSED | DIRTY, change.plan, core.marker);
  change.plan.flush();
  space.sheets.forEach(start, end, (sheet, base) => {
    const to = Math.min(end, base + TABLE_PAGES) - base;
    for (let at = Math.max(start, base) - base; at < to; at++) {
      const page = sheet.anons[at]!;
      if (page < 0 || core.pages.refs[page] !== 1) continue;
      core.pages.unmark(page, PAGE_DIRTY | PAGE_REFERENCED);
      core.dropSwap(page);
      if (core.pages.isResident(page) && core.pages.holds[page] === 0) core.cold.add(page);
    }
  });
  core.end(change);
}

/** Brings in what a region has in swap or in a file, as far as frames go. What was never stored to is nowhere. */
function bringIn(space: AddressSpace, region: Region, start: Vpn, end: Vpn): void {
  const { core } = space.vmm;
  const { object } = region;
  const last = object === null ? end : Math.min(end, region.start + object.pageCount - region.offset);
  const parts = object === null ? sheetParts(space, start, end) : [[start, last] as const];
  for (const [from, to] of parts)
    for (let vpn = from; vpn < to; vpn++) {
      const sheet = space.sheets.get(vpn);
      const anon = sheet === null ? NO_PAGE : sheet.anons[vpn & (TABLE_PAGES - 1)]!;
      if (core.resident >= core.residentLimit) return;
      if (anon >= 0 && core.pages.has(anon, PAGE_POISONED)) continue;
      if (anon >= 0 && !core.pages.isResident(anon)) {
        const brought = fetchFor(space, region, vpn, () => core.swapper.bringIn(anon));
        if (brought === SUPPLY_PENDING || brought === SUPPLY_BUS) continue;
        if (brought < 0) return;
        core.stats.prefetched++;
      } else if (anon === NO_PAGE && object !== null && object.kind !== "device") {
        const known = object.pages.get(region.indexOf(vpn));
        if (known !== NO_PAGE && core.pages.isResident(known)) continue;
        if (fetchFor(space, region, vpn, () => object.obtain(region.indexOf(vpn))) < 0) return;
        core.stats.prefetched++;
      }
    }
}

/** Pages leave, unless others map them too. */
function putOut(space: AddressSpace, start: Vpn, end: Vpn): void {
  for (const [from, to] of sheetParts(space, start, end))
    for (let vpn = from; vpn < to; vpn++) {
      const page = loneAt(space, vpn);
      if (page !== NO_PAGE) space.vmm.core.reclaimer.evictPage(page);
    }
}

/**
 * Pages become the next to leave, unless others map them too. 2M pages that are cold in part are split: a leaf's accessed bit would tell that all of it is used.
 * Translations are dropped at the processors' own pace, so that a later use shows.
 */
function cool(space: AddressSpace, start: Vpn, end: Vpn): void {
  const { core } = space.vmm;
  for (const edge of [start, end])
    if ((edge & (TABLE_PAGES - 1)) !== 0) splitLeaves(space, Math.floor(edge / TABLE_PAGES) * TABLE_PAGES, edge);
  const change = core.begin(space);
  for (const [from, to] of sheetParts(space, start, end))
    for (let vpn = from; vpn < to; vpn++) {
      const page = loneAt(space, vpn);
      if (page === NO_PAGE) continue;
      core.gather(page, change.plan);
      core.cold.add(page);
    }
  if (core.cold.count > 0) core.lookAgain(space, change.plan);
  core.end(change);
}

/** The page under a translation that no other space has and nobody holds; else NO_PAGE. */
function loneAt(space: AddressSpace, vpn: Vpn): number {
  const { core } = space.vmm;
  if (space.tables.query(vpn) === 0) return NO_PAGE;
  const page = core.frameMap.pageAt(space.tables.frame);
  return page < 0 || core.pages.holds[page]! > 0 || core.sharing.usersOf(page) > 1 ? NO_PAGE : page;
}

function guard(space: AddressSpace, region: Region, start: Vpn, end: Vpn): void {
  dropTranslations(space, region, start, end, true);
  for (let vpn = start; vpn < end; vpn++) {
    const sheet = space.sheetFor(vpn);
    const at = vpn & (TABLE_PAGES - 1);
    if (sheet.anons[at] === GUARD_PAGE) continue;
    sheet.anons[at] = GUARD_PAGE;
    sheet.used++;
  }
}

function unguard(space: AddressSpace, start: Vpn, end: Vpn): void {
  space.sheets.forEach(start, end, (sheet, base) => {
    const to = Math.min(end, base + TABLE_PAGES) - base;
    for (let at = Math.max(start, base) - base; at < to; at++) {
      if (sheet.anons[at] !== GUARD_PAGE) continue;
      sheet.anons[at] = NO_PAGE;
      sheet.used--;
    }
  });
}
