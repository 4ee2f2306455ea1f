/**
 * Locked regions: every present page of one is held, so reclaim never takes it. A lock belongs to a space's pages, does not nest, and is not
 * inherited by clones.
 */
import type { Outcome } from "../outcome.ts";
import { TABLE_PAGES, type Vpn } from "../units.ts";
import { mergeRange, splitAt } from "./mapping.ts";
import { coverOf, cutsFor } from "./protecting.ts";
import type { LockState, Region } from "./region.ts";
import { populateRegions } from "./residency.ts";
import { unshareRange } from "./sharing.ts";
import type { AddressSpace } from "./space.ts";

/** Locks `[start, end)`; with `all`, every page is in a frame afterwards. All or nothing. */
export function lockRange(space: AddressSpace, start: Vpn, end: Vpn, state: "all" | "touched"): Outcome {
  if (space.limits.lockedPages === 0) return "lock-limit";
  if (start === end) return "ok";
  const regions = coverOf(space, start, end);
  if (regions === null) return "unmapped";
  let more = 0;
  for (const region of regions)
    if (region.locked === "none") more += Math.min(end, region.end) - Math.max(start, region.start);
  if (space.lockedPages + more > space.limits.lockedPages) return "lock-limit";
  if (space.regions.count + cutsFor(space, start, end) > space.limits.regions) return "region-limit";
  const before = regions.map((region): [Vpn, Vpn, LockState] => [
    Math.max(start, region.start),
    Math.min(end, region.end),
    region.locked,
  ]);
  setLocks(space, start, end, state);
  const outcome = state === "all" ? populateRegions(space, start, end) : "ok";
  if (outcome !== "ok") for (const [from, to, old] of before) setLocks(space, from, to, old);
  return outcome;
}

/** Unlocks `[start, end)`. */
export function unlockRange(space: AddressSpace, start: Vpn, end: Vpn): Outcome {
  if (start === end) return "ok";
  if (coverOf(space, start, end) === null) return "unmapped";
  if (space.regions.count + cutsFor(space, start, end) > space.limits.regions) return "region-limit";
  setLocks(space, start, end, "none");
  return "ok";
}

/** Locks all regions there are, and sets how regions to come are locked. */
export function lockAll(space: AddressSpace, now: boolean, future: LockState): Outcome {
  if (now) {
    if (space.mappedPages > space.limits.lockedPages) return "lock-limit";
    for (const region of space.regions.within(space.low, space.high)) {
      setRegionLock(space, region, "all");
      populateRegions(space, region.start, region.end);
    }
    mergeRange(space, space.low, space.high);
  }
  space.lockFuture = future;
  return "ok";
}

/** Unlocks all regions, also those to come. */
export function unlockAll(space: AddressSpace): void {
  space.lockFuture = "none";
  setLocks(space, space.low, space.high, "none");
}

/** Sets the lock state of `[start, end)`, which may have holes. */
export function setLocks(space: AddressSpace, start: Vpn, end: Vpn, state: LockState): void {
  splitAt(space, start);
  splitAt(space, end);
  for (const region of space.regions.within(start, end)) setRegionLock(space, region, state);
  mergeRange(space, start, end);
}

function setRegionLock(space: AddressSpace, region: Region, state: LockState): void {
  const before = region.locked;
  if (state !== "none") unshareRange(space, region.start, region.end);
  region.locked = state;
  if ((before === "none") === (state === "none")) return;
  space.lockedPages += state === "none" ? -region.pages : region.pages;
  const { core } = space.vmm;
  space.sheets.forEach(region.start, region.end, (_sheet, base) => {
    const from = Math.max(region.start, base);
    const to = Math.min(region.end, base + TABLE_PAGES);
    for (let vpn = from; vpn < to; vpn++) {
      if (space.tables.query(vpn) === 0) continue;
      const page = core.frameMap.pageAt(space.tables.frame);
      if (page < 0) continue;
      if (state === "none") core.unhold(page);
      else core.hold(page);
    }
  });
}
