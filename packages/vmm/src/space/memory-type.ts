/**
 * Memory types of ordinary memory: write-combining or uncached pages for programs that share them with devices.
 *
 * All aliases of a page change together: a private page is made the space's own first; a shared object changes in all its regions. Caches are written back
 * before a frame is mapped with another type than write-back (see `Core.map`), and translations come anew by faults.
 */
import type { MemoryObject } from "../objects/object.ts";
import { isResolved, type Outcome } from "../outcome.ts";
import { PAGE_OBJECT } from "../pages/pages.ts";
import { USER, WRITE, type MemoryType } from "../rights.ts";
import { TABLE_PAGES, addressOf, type Vpn } from "../units.ts";
import { mergeRange, splitAt } from "./mapping.ts";
import { sheetParts } from "./private-pages.ts";
import { coverOf, cutsFor } from "./protecting.ts";
import type { Region } from "./region.ts";
import type { AddressSpace } from "./space.ts";

/** Changes the memory type of `[start, end)`. Private pages of files and device ranges refuse: `not-anonymous`; pages that a device region maps with another type: `type-conflict`. */
export function setMemoryType(space: AddressSpace, start: Vpn, end: Vpn, type: MemoryType): Outcome {
  if (start === end) return "ok";
  const regions = coverOf(space, start, end);
  if (regions === null) return "unmapped";
  for (const region of regions) {
    if (region.sealed) return "sealed";
    if (region.object !== null && (!region.shared || region.object.kind === "device")) return "not-anonymous";
  }
  const objects = new Set<MemoryObject>();
  for (const { object } of regions) if (object !== null) objects.add(object);
  for (const object of objects) for (const region of object.regions.keys()) if (region.sealed) return "sealed";
  if (space.regions.count + cutsFor(space, start, end) > space.limits.regions) return "region-limit";
  const owned = ownPages(space, regions, start, end);
  if (owned !== "ok") return owned;
  const { core, types } = space.vmm;
  const changes = (page: number): boolean =>
    core.pages.has(page, PAGE_OBJECT)
      ? [...objects].some((object) => object.number === core.pages.owner[page])
      : hasOwn(space, start, end, page);
  if (!types.allowsChange(type, changes)) return "type-conflict";
  splitAt(space, start);
  splitAt(space, end);
  for (const region of space.regions.within(start, end)) if (region.object === null) change(space, region, type);
  for (const object of objects) for (const [region, owner] of [...object.regions]) change(owner, region, type);
  mergeRange(space, start, end);
  return "ok";
}

/** Makes private pages that clones share the space's own, by the copy that a store would make. */
function ownPages(space: AddressSpace, regions: readonly Region[], start: Vpn, end: Vpn): Outcome {
  const { core, faults } = space.vmm;
  const access = WRITE + (space.attributes === 0 ? USER : 0);
  for (const region of regions) {
    if (region.object !== null) continue;
    for (const [from, to] of sheetParts(space, Math.max(start, region.start), Math.min(end, region.end)))
      for (let vpn = from; vpn < to; vpn++) {
        const page = space.sheets.get(vpn)?.anons[vpn & (TABLE_PAGES - 1)] ?? -1;
        if (page < 0 || core.pages.refs[page] === 1) continue;
        if ((region.rights & WRITE) === 0) return "type-conflict";
        if (!isResolved(faults.fault(space, addressOf(vpn), access))) return "no-memory";
      }
  }
  return "ok";
}

/** Whether a page is a private one of `[start, end)`. */
function hasOwn(space: AddressSpace, start: Vpn, end: Vpn, page: number): boolean {
  for (let vpn = start; vpn < end; vpn++)
    if (space.sheets.get(vpn)?.anons[vpn & (TABLE_PAGES - 1)] === page) return true;
  return false;
}

function change(space: AddressSpace, region: Region, type: MemoryType): void {
  if (region.type === type) return;
  region.type = type;
  const { core } = space.vmm;
  const removal = core.begin(space);
  removal.remove(region.start, region.end, region.locked !== "none");
  core.end(removal);
}
