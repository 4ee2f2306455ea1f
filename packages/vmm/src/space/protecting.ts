/** Changes of rights. */
import { EXECUTE, READ, RIGHTS_MASK, USER, WRITE } from "../rights.ts";
import type { FlushPlan } from "../flush-plan.ts";
import type { Outcome } from "../outcome.ts";
import { TABLE_PAGES, type Vpn } from "../units.ts";
import { demandRights, mergeRange, splitAt } from "./mapping.ts";
import type { Region } from "./region.ts";
import { populateRegions } from "./residency.ts";
import { unshareRange } from "./sharing.ts";
import type { AddressSpace } from "./space.ts";

/** The regions that cover `[start, end)` without a hole, ascending; null if there is a hole or the range is empty. */
export function coverOf(space: AddressSpace, start: Vpn, end: Vpn): Region[] | null {
  const regions = space.regions.within(start, end);
  let at = start;
  for (const region of regions) {
    if (region.start > at) return null;
    at = region.end;
  }
  return at >= end && regions.length > 0 ? regions : null;
}

/** Regions that exist more after cutting at both ends of a range. */
export function cutsFor(space: AddressSpace, start: Vpn, end: Vpn): number {
  const first = space.regions.find(start);
  const last = space.regions.find(end);
  return (first !== null && first.start < start ? 1 : 0) + (last !== null && last.start < end ? 1 : 0);
}

/** Sets the rights of `[start, end)`: all of it or nothing. */
export function protectRange(space: AddressSpace, start: Vpn, end: Vpn, wanted: number): Outcome {
  if (start === end) return "ok";
  demandRights(wanted);
  const regions = coverOf(space, start, end);
  if (regions === null) return "unmapped";
  const rights = (wanted & (READ | WRITE | EXECUTE)) + (space.attributes === 0 ? USER : 0);
  const { vmm } = space;
  if (!vmm.allowsWriteExecute(rights)) return "write-execute";
  let charge = 0;
  for (const region of regions) {
    if (region.sealed) return "sealed";
    if ((rights & ~region.ceiling) !== 0) return "rights";
    if (!region.accounted && isPromised(region, rights))
      charge += Math.min(end, region.end) - Math.max(start, region.start);
  }
  if (space.regions.count + cutsFor(space, start, end) > space.limits.regions) return "region-limit";
  if (!vmm.commit.charge(charge)) return "commit-limit";
  unshareRange(space, start, end);
  splitAt(space, start);
  splitAt(space, end);
  const { core } = vmm;
  const change = core.begin(space);
  // Locked private pages that may be stored to from now on: they become the space's own at once, as those that are locked later do.
  const stored: [Vpn, Vpn][] = [];
  for (const region of space.regions.within(start, end)) {
    const before = region.rights;
    if (region.locked === "all" && !region.shared && (rights & ~before & WRITE) !== 0)
      stored.push([region.start, region.end]);
    region.rights = rights;
    if (isPromised(region, rights)) region.accounted = true;
    protectEntries(space, region, before);
  }
  core.end(change);
  mergeRange(space, start, end);
  for (const [from, to] of stored) populateRegions(space, from, to);
  return "ok";
}

/** Seals `[start, end)`, which is mapped without holes: its regions can be changed no more. */
export function sealRange(space: AddressSpace, start: Vpn, end: Vpn): Outcome {
  if (start === end) return "ok";
  if (coverOf(space, start, end) === null) return "unmapped";
  if (space.regions.count + cutsFor(space, start, end) > space.limits.regions) return "region-limit";
  splitAt(space, start);
  splitAt(space, end);
  for (const region of space.regions.within(start, end)) region.sealed = true;
  mergeRange(space, start, end);
  return "ok";
}

/**
 * Brings the translations of a region in line with its rights. Only ever takes the right to store away or leaves it as it was: pages that
 * have to be copied or noticed first get it by a fault.
 */
function protectEntries(space: AddressSpace, region: Region, before: number): void {
  const { core } = space.vmm;
  const change = core.begin(space);
  const after = region.rights;
  const attributes = after + space.attributes + (region.type << 4);
  if ((after & READ) === 0 && (after & (WRITE | EXECUTE)) === 0) {
    change.remove(region.start, region.end, region.locked !== "none");
  } else if ((after & WRITE) === 0 || region.object?.kind === "device") {
    change.protect(region.start, region.end, attributes);
  } else if ((after & ~before & RIGHTS_MASK) !== WRITE || (before & ~after) !== 0) {
    protectEach(space, region, attributes, (before & WRITE) !== 0, change.plan);
  }
  core.end(change);
}

/** The right to store stays where it was and is given nowhere: entry by entry. */
function protectEach(
  space: AddressSpace,
  region: Region,
  attributes: number,
  writable: boolean,
  plan: FlushPlan,
): void {
  space.sheets.forEach(region.start, region.end, (_sheet, base) => {
    const from = Math.max(region.start, base);
    const to = Math.min(region.end, base + TABLE_PAGES);
    for (let vpn = from; vpn < to; vpn++) {
      const state = space.tables.query(vpn);
      if (state === 0) continue;
      const keep = writable && (state & WRITE) !== 0 ? attributes : attributes - WRITE;
      space.tables.protect(vpn, vpn + 1, keep, plan);
    }
  });
}

/** Whether pages of a region with these rights are promised: private ones that may be stored to. */
function isPromised({ exempt, shared }: Region, rights: number): boolean {
  return !exempt && !shared && (rights & WRITE) !== 0;
}
