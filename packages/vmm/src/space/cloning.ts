/**
 * Copy-on-write clones. The sheets are copied, every private page gets one owner more, and the original loses the right to store until it
 * faults: whoever stores first copies, whoever is last does not. The clone's translations come by faults.
 *
 * Cost: one array copy per 512 pages, one increment per page, one entry change per writable page.
 */
import { GUARD_PAGE, type Sheet } from "./sheet.ts";
import { NO_PAGE } from "../pages/pages.ts";
import { WRITE } from "../rights.ts";
import { TABLE_PAGES } from "../units.ts";
import { addRegion } from "./mapping.ts";
import { Region } from "./region.ts";
import type { AddressSpace } from "./space.ts";
import { wishesOf } from "./wishes.ts";

/** Fills an empty space with a copy of another. False: the commit limit, memory for pinned pages, or one of those whose bytes may be wrong; the clone is to be destroyed. */
export function cloneInto(from: AddressSpace, clone: AddressSpace): boolean {
  const { vmm } = from;
  const { core } = vmm;
  Object.assign(clone.limits, from.limits);
  clone.placement = from.placement;
  const regions = from.regions.within(from.low, from.high).filter((region) => !region.leftOutOfClones);
  let charge = 0;
  for (const region of regions) if (region.accounted) charge += region.pages;
  if (!vmm.commit.charge(charge)) return false;
  const change = core.begin(from);
  let complete = true;
  for (const region of regions) {
    const copy = new Region(region.start, region.end, region.offset, region);
    copy.locked = "none";
    addRegion(clone, copy);
    if (region.wipedInClones) continue;
    // Of a shared region only guards are the space's own.
    if (!copyPages(from, clone, region)) complete = false;
    if (!region.shared && (region.rights & WRITE) !== 0) {
      const attributes = region.rights - WRITE + from.attributes + (region.type << 4);
      change.protect(region.start, region.end, attributes);
    }
  }
  core.end(change);
  return complete;
}

function copyPages(from: AddressSpace, clone: AddressSpace, region: Region): boolean {
  let complete = true;
  from.sheets.forEach(region.start, region.end, (sheet, base) => {
    if (sheet.used === 0) return;
    const copy = clone.sheetFor(base);
    const first = Math.max(region.start, base) - base;
    const end = Math.min(region.end, base + TABLE_PAGES) - base;
    if (!copySheet(from, sheet, copy, first, end)) complete = false;
  });
  return complete;
}

function copySheet(from: AddressSpace, sheet: Sheet, copy: Sheet, first: number, end: number): boolean {
  const { core } = from.vmm;
  const { refs } = core.pages;
  const { anons } = sheet;
  const into = copy.anons;
  let used = 0;
  for (let at = first; at < end; at++) {
    const page = anons[at]!;
    if (page === NO_PAGE) continue;
    if (page !== GUARD_PAGE) {
      if (core.pages.isPinned(page)) {
        const own = copyPinned(from, page);
        if (own < 0) {
          copy.used += used;
          return false;
        }
        into[at] = own;
        used++;
        continue;
      }
      refs[page] = refs[page]! + 1;
    }
    into[at] = page;
    used++;
  }
  copy.used += used;
  return true;
}

/** A page in the middle of a transfer is copied at once, to where its region wishes: the device goes on writing the original. */
function copyPinned(from: AddressSpace, page: number): number {
  const { core } = from.vmm;
  const pfn = core.keeper.wishing(wishesOf(core, page), () => core.keeper.take());
  if (pfn < 0) return -1;
  core.window.copy(core.pages.pfn[page]!, pfn);
  if (core.isSuspect(page)) {
    core.keeper.giveUnused(pfn);
    return -1;
  }
  const own = core.pages.create();
  core.place(own, pfn);
  core.dirty(own);
  return own;
}
