/** The walk over one space that `AddressSpace.check` is. */
import { invariant } from "../errors.ts";
import { NO_PAGE } from "../pages/pages.ts";
import { TABLE_PAGES } from "../units.ts";
import type { AddressSpace } from "./space.ts";

/** Throws with the sentence of the first broken invariant. O(regions + sheets). */
export function checkSpace(space: AddressSpace): void {
  space.regions.check();
  let mapped = 0;
  let locked = 0;
  for (const region of space.regions.within(space.low, space.high)) {
    mapped += region.pages;
    if (region.locked !== "none") locked += region.pages;
    const isKnown = region.object === null || region.object.regions.get(region) === space;
    invariant(isKnown, "An object does not know a region that maps it.", { start: region.start });
  }
  invariant(mapped === space.mappedPages, "The count of mapped pages is wrong.", { mapped });
  invariant(locked === space.lockedPages, "The count of locked pages is wrong.", { locked });
  space.sheets.forEach(space.low, space.high, (sheet, base) => {
    let used = 0;
    for (let at = 0; at < TABLE_PAGES; at++) {
      if (sheet.anons[at] === NO_PAGE) continue;
      used++;
      invariant(space.regions.find(base + at) !== null, "A page lies outside all regions.", { vpn: base + at });
    }
    invariant(used === sheet.used, "A sheet's count is wrong.", { base, used });
  });
}
