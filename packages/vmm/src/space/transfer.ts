/**
 * Handing memory from one space to another without touching a page: the regions, their sheets and the page tables move as they are. What message passing
 * of whole 2 MiB ranges costs is O(tables).
 */
import { VmmError } from "../errors.ts";
import type { FlushPlan } from "../flush-plan.ts";
import type { Refusal } from "../outcome.ts";
import { mayMap } from "../large/blocks.ts";
import { PAGE_SIZE, TABLE_PAGES, pagesFor, type VirtAddr, type Vpn } from "../units.ts";
import { addRegion, findGap, keptBy, mergeRange, settleAddresses, splitAt } from "./mapping.ts";
import { coverOf, cutsFor } from "./protecting.ts";
import { mappedResident } from "./resident-limit.ts";
import { unshareRange } from "./sharing.ts";
import type { AddressSpace } from "./space.ts";

/** Bytes that one page table translates: the unit of a transfer. */
export const TRANSFER_UNIT: number = TABLE_PAGES * PAGE_SIZE;

/**
 * Moves `[address, address + bytes)` of one space, mapped without holes, to another, at `to` or at a gap; the new address, or why not. Address, length and
 * target are multiples of 2 MiB. All or nothing. `mixed` between the kernel and a user space: entries of the one do not serve the other.
 */
export function transferRange(
  from: AddressSpace,
  address: VirtAddr,
  bytes: number,
  into: AddressSpace,
  to?: VirtAddr,
): VirtAddr | Refusal {
  for (const value of [address, bytes, to ?? 0])
    if (Math.floor(value / TRANSFER_UNIT) * TRANSFER_UNIT !== value)
      throw new VmmError("unaligned", "A transfer is aligned to 2 MiB.", { value });
  const { structure } = from.vmm.core.tables;
  const start = address / PAGE_SIZE;
  const pages = pagesFor(bytes);
  const regions = coverOf(from, start, start + pages);
  demandSameManager(from, into);
  if (structure === null || from === into || from.attributes !== into.attributes) return "mixed";
  if (regions === null) return "unmapped";
  if (regions.some((region) => region.sealed)) return "sealed";
  const target =
    to === undefined ? findGap(into, { bytes, alignment: TRANSFER_UNIT, ...keptBy(regions) }, pages) : to / PAGE_SIZE;
  if (typeof target === "string") return target;
  if (target < into.low || target + pages > into.high) return "out-of-bounds";
  if (!into.regions.isFree(target, target + pages)) return "exists";
  if (into.regions.count + regions.length > into.limits.regions) return "region-limit";
  if (from.regions.count + cutsFor(from, start, start + pages) > from.limits.regions) return "region-limit";
  if (into.mappedPages + pages > into.limits.pages) return "size-limit";
  let locked = 0;
  for (const region of regions)
    if (region.locked !== "none") locked += Math.min(region.end, start + pages) - Math.max(region.start, start);
  if (into.lockedPages + locked > into.limits.lockedPages) return "lock-limit";
  if (!mayMap(into, mappedResident(from, start, start + pages))) return "no-memory";
  from.isMoving = into.isMoving = true; // Faults of both wait while pages are between them.
  unshareRange(from, start, start + pages);
  settleAddresses(into, target, target + pages);
  const change = from.vmm.core.begin(from);
  const moved = moveTables(from, start, into, target, pages, change.plan);
  if (moved) moveRegions(from, into, start, pages, target);
  from.vmm.core.end(change);
  from.isMoving = into.isMoving = false;
  return moved ? target * PAGE_SIZE : "no-memory";
}

/** Throws unless two spaces have one manager, whose pages and tables they can hand around. */
export function demandSameManager(one: AddressSpace, two: AddressSpace): void {
  if (one.vmm !== two.vmm)
    throw new VmmError("bad-argument", "Spaces of two managers have nothing in common.", {
      one: one.asid,
      two: two.asid,
    });
}

/**
 * Moves the page tables and sheets of a table-aligned range, none of them in common with other spaces, to where nothing is mapped, in the same space or another
 * one. O(tables). False: tables cannot move in this format, or no frame is there for an upper one; nothing changed.
 */
export function moveTables(
  from: AddressSpace,
  start: Vpn,
  into: AddressSpace,
  target: Vpn,
  pages: number,
  plan: FlushPlan,
): boolean {
  const { structure } = from.vmm.core.tables;
  into.sheets.forEach(target, target + pages, (_sheet, base) => into.dropEmptySheet(base));
  if (structure?.moveTables(from.tables, start, into.tables, target, pages, plan) !== true) return false;
  from.sheets.moveTo(into.sheets, start, pages, target, (sheet, base) => {
    sheet.space = into;
    sheet.base = base;
  });
  return true;
}

function moveRegions(from: AddressSpace, into: AddressSpace, start: Vpn, pages: number, target: Vpn): void {
  splitAt(from, start);
  splitAt(from, start + pages);
  from.vmm.core.purgeable.moved(from, start, start + pages, into, target - start);
  for (const region of from.regions.within(start, start + pages)) {
    from.regions.remove(region);
    from.mappedPages -= region.pages;
    if (region.locked !== "none") from.lockedPages -= region.pages;
    region.object?.regions.delete(region);
    region.start += target - start;
    region.end += target - start;
    addRegion(into, region);
  }
  mergeRange(into, target, target + pages);
}
