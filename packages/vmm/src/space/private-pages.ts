/** The private pages of a space: the entries of its sheets, taken out of ranges with or without their translations. */
import { NO_PAGE } from "../pages/pages.ts";
import { TABLE_PAGES, type Vpn } from "../units.ts";
import type { Region } from "./region.ts";
import { GUARD_PAGE, type Sheet } from "./sheet.ts";
import type { AddressSpace } from "./space.ts";

/** Removes the translations of part of a region, and with `copies` its private pages too; `later`: other processors need not be interrupted. */
export function dropTranslations(
  space: AddressSpace,
  region: Region,
  start: Vpn,
  end: Vpn,
  copies: boolean,
  later: boolean = false,
): void {
  const { core } = space.vmm;
  const change = core.begin(space);
  const doomed = copies ? takeAnons(space, start, end, false) : [];
  change.remove(start, end, region.locked !== "none");
  for (const page of doomed) core.dropReference(page, change.plan);
  if (later) core.endLater(change, start, end);
  else core.end(change);
}

/** Takes the private pages out of a range and returns them, each with the reference that the range held; guards stay unless `guards`. */
export function takeAnons(space: AddressSpace, start: Vpn, end: Vpn, guards: boolean): number[] {
  const taken: number[] = [];
  space.sheets.forEach(start, end, (sheet, base) => {
    const from = Math.max(start, base) - base;
    const to = Math.min(end, base + TABLE_PAGES) - base;
    for (let at = from; at < to && sheet.used > 0; at++) {
      const page = sheet.anons[at]!;
      if (page === NO_PAGE || (page === GUARD_PAGE && !guards)) continue;
      sheet.anons[at] = NO_PAGE;
      sheet.used--;
      if (page >= 0) taken.push(page);
    }
  });
  return taken;
}

/** The parts of a range under tables that the space has, ascending: all of its pages that have a content of the space's own, or a translation. O(sheets). */
export function sheetParts(space: AddressSpace, start: Vpn, end: Vpn): [from: Vpn, to: Vpn][] {
  const parts: [Vpn, Vpn][] = [];
  space.sheets.forEach(start, end, (_sheet, base) => {
    parts.push([Math.max(start, base), Math.min(end, base + TABLE_PAGES)]);
  });
  return parts;
}

/** Drops the private pages of a range that has no translations; guards stay unless `guards`. Sheets that become empty go. */
export function dropAnons(space: AddressSpace, start: Vpn, end: Vpn, guards: boolean): void {
  const { core } = space.vmm;
  const change = core.begin(space);
  for (const page of takeAnons(space, start, end, guards)) core.dropReference(page, change.plan);
  dropEmptySheets(space, start, end);
  core.end(change);
}

/** Drops the private page of an entry that has no translation. */
export function dropAnon(space: AddressSpace, sheet: Sheet, vpn: Vpn): void {
  const { core } = space.vmm;
  const at = vpn & (TABLE_PAGES - 1);
  const page = sheet.anons[at]!;
  if (page === NO_PAGE) return;
  sheet.anons[at] = NO_PAGE;
  sheet.used--;
  if (page === GUARD_PAGE) return;
  const change = core.begin(space);
  core.dropReference(page, change.plan);
  core.end(change);
}

/** Forgets the sheets of a range that hold nothing and lie in no region. */
export function dropEmptySheets(space: AddressSpace, start: Vpn, end: Vpn): void {
  const empty: Vpn[] = [];
  space.sheets.forEach(start, end, (sheet, base) => {
    if (
      sheet.used === 0
      && sheet.mapped === 0
      && sheet.sharers === null
      && space.regions.isFree(base, base + TABLE_PAGES)
    )
      empty.push(base);
  });
  for (const base of empty) space.dropEmptySheet(base);
}
