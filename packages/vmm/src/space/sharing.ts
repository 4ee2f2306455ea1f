/**
 * Sharing memory by sharing page tables: a range of shared objects appears in another space through the very same tables. A page that one space has faulted
 * in needs no fault in the other, and the tables' memory is paid once. O(tables), whatever the pages.
 *
 * What a space does to its own mappings (unmap, protect, lock, move, hand over, advise away, guard) takes it out of the sharing for the tables concerned: it
 * begins again with empty tables of its own, which faults fill. What happens to pages (eviction, migration, truncation, write-back, another memory type)
 * happens for all.
 */
import { VmmError } from "../errors.ts";
import type { FlushPlan } from "../flush-plan.ts";
import type { Refusal } from "../outcome.ts";
import { WRITE } from "../rights.ts";
import { PAGE_SIZE, TABLE_PAGES, pagesFor, type VirtAddr, type Vpn } from "../units.ts";
import { splitLeaves } from "../large/leaf.ts";
import { addRegion, findGap, keptBy, mergeRange, settleAddresses } from "./mapping.ts";
import { dropEmptySheets } from "./private-pages.ts";
import { coverOf } from "./protecting.ts";
import { Region } from "./region.ts";
import type { Sheet } from "./sheet.ts";
import type { AddressSpace } from "./space.ts";
import { demandSameManager } from "./transfer.ts";

/**
 * Maps `[address, address + bytes)` of one space, shared objects without holes, in another one with the same rights and through the same page tables; its
 * address there, or why not. Address, length and target are multiples of 2 MiB. All or nothing. `mixed` between the kernel and a user space.
 */
export function shareRange(
  from: AddressSpace,
  address: VirtAddr,
  bytes: number,
  into: AddressSpace,
  to?: VirtAddr,
): VirtAddr | Refusal {
  const unit = TABLE_PAGES * PAGE_SIZE;
  for (const value of [address, bytes, to ?? 0])
    if (Math.floor(value / unit) * unit !== value)
      throw new VmmError("unaligned", "Tables are shared in units of 2 MiB.", { value });
  const { core } = from.vmm;
  const { structure } = core.tables;
  const start = address / PAGE_SIZE;
  const pages = pagesFor(bytes);
  const regions = coverOf(from, start, start + pages);
  demandSameManager(from, into);
  if (structure === null || from === into || from.attributes !== into.attributes) return "mixed";
  if (regions === null) return "unmapped";
  for (const region of regions) {
    if (!canShare(region)) return "not-shared";
    if ((region.ceiling & WRITE) !== 0 && region.object?.isWritable === false) return "sealed";
    if (region.locked !== "none") return "locked";
  }
  if (into.lockFuture !== "none") return "locked";
  const target =
    to === undefined ? findGap(into, { bytes, alignment: unit, ...keptBy(regions) }, pages) : to / PAGE_SIZE;
  if (typeof target === "string") return target;
  if (target < into.low || target + pages > into.high) return "out-of-bounds";
  if (!into.regions.isFree(target, target + pages)) return "exists";
  if (into.regions.count + regions.length > into.limits.regions) return "region-limit";
  if (into.mappedPages + pages > into.limits.pages) return "size-limit";
  if (hasGuards(from, start, start + pages)) return "mixed";
  splitLeaves(from, start, start + pages);
  settleAddresses(into, target, target + pages);
  const change = core.begin(into);
  into.sheets.forEach(target, target + pages, (_sheet, base) => into.dropEmptySheet(base));
  const linked = structure.shareTables(from.tables, start, into.tables, target, pages, change.plan);
  if (linked) {
    for (let at = 0; at < pages; at += TABLE_PAGES) core.sharing.join(from.sheetFor(start + at), into, target + at);
    for (const region of regions) addRegion(into, partOf(region, start, start + pages, target - start));
    mergeRange(into, target, target + pages);
  }
  core.end(change);
  return linked ? target * PAGE_SIZE : "no-memory";
}

/**
 * Takes a space out of the sharing of every table that has pages in `[start, end)`; it has no translations there afterwards. O(tables). True: there were any, and
 * others may have run meanwhile.
 */
export function unshareRange(space: AddressSpace, start: Vpn, end: Vpn): boolean {
  if (space.sharedTables === 0) return false;
  const { core } = space.vmm;
  const { structure } = core.tables;
  const shared: [Sheet, Vpn][] = [];
  space.sheets.forEach(start, end, (sheet, base) => {
    if (sheet.sharers !== null) shared.push([sheet, base]);
  });
  if (structure === null || shared.length === 0) return false;
  const change = core.begin(space);
  for (const [sheet, base] of shared) {
    core.sharing.leave(sheet, space, base);
    structure.detachTables(space.tables, base, TABLE_PAGES, change.plan);
  }
  change.plan.flush();
  for (const [sheet] of shared) {
    core.sharing.left(sheet, space);
    if (core.sheets.has(sheet) && sheet.sharers === null && sheet.mapped === 0) dropTable(sheet, change.plan);
  }
  core.end(change);
  return true;
}

/** The table that the last sharer is left with has no entry: it goes, as it would have without sharers. */
function dropTable(sheet: Sheet, plan: FlushPlan): void {
  plan.asid = sheet.space.asid;
  sheet.space.tables.unmap(sheet.base, sheet.base + TABLE_PAGES, plan, null);
  dropEmptySheets(sheet.space, sheet.base, sheet.base + TABLE_PAGES);
}

/** Whether all that lies under a region are pages of an object that others may see too. */
function canShare({ shared, object, growsDown }: Region): boolean {
  return shared && object !== null && object.kind !== "device" && !growsDown;
}

function hasGuards(space: AddressSpace, start: Vpn, end: Vpn): boolean {
  let used = 0;
  space.sheets.forEach(start, end, (sheet) => (used += sheet.used));
  return used > 0;
}

/** The part of a region within `[start, end)`, so many pages further up. */
function partOf(region: Region, start: Vpn, end: Vpn, distance: number): Region {
  const first = Math.max(start, region.start);
  const last = Math.min(end, region.end);
  const part = new Region(first + distance, last + distance, region.indexOf(first), region);
  part.sealed = false;
  return part;
}
