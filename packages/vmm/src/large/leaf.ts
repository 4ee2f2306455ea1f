/** Making one leaf the translation of pages that lie in frames in a row, and making pages for a run of frames. */
import type { Core } from "../core.ts";
import type { FlushPlan } from "../flush-plan.ts";
import type { MemoryObject } from "../objects/object.ts";
import { NO_PAGE } from "../pages/pages.ts";
import type { Region } from "../space/region.ts";
import type { Sheet } from "../space/sheet.ts";
import type { AddressSpace } from "../space/space.ts";
import { TABLE_PAGES, type Pfn, type Vpn } from "../units.ts";

/** Lets one leaf translate `[vpn, vpn + pages)`, which has no translations, to the frames from `pfn` on. False: no frame for tables; nothing changed. */
export function mapFrames(
  space: AddressSpace,
  region: Region,
  vpn: Vpn,
  pages: number,
  pfn: Pfn,
  rights: number,
  plan: FlushPlan,
): boolean {
  const { large } = space.vmm.core.tables;
  if (large === undefined) return false;
  plan.asid = space.asid;
  return large.map(space.tables, vpn, pfn, pages, rights + space.attributes + (region.type << 4), plan);
}

/** Makes the leaves above 4K of a range single translations: where tables of it are to be seen from elsewhere too. */
export function splitLeaves(space: AddressSpace, start: Vpn, end: Vpn): void {
  const { core } = space.vmm;
  const { large } = core.tables;
  if (large === undefined) return;
  const change = core.begin(space);
  for (let vpn = start; vpn < end; vpn += TABLE_PAGES)
    while (large.pagesAt(space.tables, vpn) > 1) large.split(space.tables, vpn, change.plan);
  core.end(change);
}

/** Enters the reverse mappings of a sheet whose 512 pages a leaf translates. */
export function enterMappings(core: Core, region: Region, sheet: Sheet, pageAt: (at: number) => number): void {
  const { mappings } = core;
  const holds = region.locked !== "none";
  for (let at = 0; at < TABLE_PAGES; at++) {
    const page = pageAt(at);
    mappings.add(page, sheet.number * TABLE_PAGES + at);
    if (holds) core.hold(page);
  }
  sheet.mapped += TABLE_PAGES;
}

/** Makes 512 private pages of zeroes out of frames in a row, the only content of a sheet, and enters their mappings. */
export function fillSheet(core: Core, region: Region, sheet: Sheet, pfn: Pfn): void {
  const { pages } = core;
  const { anons } = sheet;
  for (let at = 0; at < TABLE_PAGES; at++) {
    const page = pages.create();
    core.place(page, pfn + at);
    anons[at] = page;
  }
  sheet.used += TABLE_PAGES;
  enterMappings(core, region, sheet, (at) => anons[at]!);
}

/** Makes 512 pages of an object out of frames in a row, and enters the mappings of the sheet that shows them. */
export function fillObject(
  core: Core,
  region: Region,
  sheet: Sheet,
  object: MemoryObject,
  index: number,
  pfn: Pfn,
): void {
  for (let at = 0; at < TABLE_PAGES; at++) {
    const page = object.adopt(index + at, pfn + at);
    if (object.persistent) core.tally.fetched(page, "fileReads");
  }
  enterMappings(core, region, sheet, (at) => object.pages.get(index + at));
}

/** The page that a region shows at an entry of a sheet: its own, or its object's. */
export function pageUnder(region: Region, sheet: Sheet, base: Vpn, at: number): number {
  const anon = sheet.anons[at]!;
  if (anon !== NO_PAGE || region.object === null) return anon;
  return region.object.pages.get(region.indexOf(base + at));
}
