/**
 * The most pages of a space that have translations at once: before a fault adds one, the space's own leave, cold ones first, then those that were not used since the
 * hand came by (second chance). Others are not touched: a page that they map too only loses this space's translation.
 */
import { TABLE_PAGES, type Vpn } from "../units.ts";
import type { AddressSpace } from "./space.ts";

/**
 * Pages of a space that have translations now, under the tables of `[start, end)` or in all; those of a shared table count for the space that faulted it in first.
 * O(sheets).
 */
export function mappedResident(space: AddressSpace, start: Vpn = space.low, end: Vpn = space.high): number {
  let pages = 0;
  space.sheets.forEach(start, end, (sheet) => {
    if (sheet.space === space) pages += sheet.mapped;
  });
  return pages;
}

/** Makes room for one more page, unless `vpn` has one already. False: nothing of the space can leave. O(sheets + pages passed over). */
export function makeRoom(space: AddressSpace, vpn: Vpn): boolean {
  if (space.tables.query(vpn) !== 0) return true;
  for (let pages = mappedResident(space); pages >= space.limits.residentPages; pages = mappedResident(space))
    if (!putOutOne(space)) return false;
  return true;
}

function putOutOne(space: AddressSpace): boolean {
  const cold = coldPlace(space);
  if (cold !== -1 && putOut(space, cold)) return true;
  for (const isSecondPass of [false, true])
    for (const [start, end] of [
      [space.residentHand, space.high],
      [space.low, space.residentHand],
    ] as const) {
      const found = start < end ? findVictim(space, start, end, isSecondPass) : -1;
      if (found === -1) continue;
      space.residentHand = found + 1;
      if (putOut(space, found)) return true;
    }
  return false;
}

/** Where the first cold page of a space that was not used since is mapped; −1: there is none. */
function coldPlace(space: AddressSpace): Vpn {
  const { cold, mappings, sheets } = space.vmm.core;
  for (;;) {
    let place: Vpn = -1;
    const page = cold.first((each) => {
      const mapping = mappings.first(each);
      const sheet = mapping < 0 ? null : sheets.get(mappings.sheetOf(mapping));
      if (sheet?.space !== space) return false;
      place = sheet.base + mappings.entryOf(mapping);
      return true;
    });
    if (place === -1) return -1;
    cold.forget(page);
    if (!wasUsed(space, page)) return place;
  }
}

/** The first page of `[start, end)` that may leave; used ones only on the second pass. −1: none. */
function findVictim(space: AddressSpace, start: Vpn, end: Vpn, evenUsed: boolean): Vpn {
  const { core } = space.vmm;
  let found = -1;
  space.sheets.forEach(start, end, (sheet, base) => {
    const stop = Math.min(end, base + TABLE_PAGES);
    for (let vpn = Math.max(start, base); vpn < stop && found === -1 && sheet.mapped > 0; vpn++) {
      if (space.tables.query(vpn) === 0) continue;
      const page = core.frameMap.pageAt(space.tables.frame);
      if (page < 0 || core.pages.holds[page]! > 0) continue;
      if (evenUsed || !wasUsed(space, page)) found = vpn;
    }
  });
  return found;
}

function wasUsed(space: AddressSpace, page: number): boolean {
  const { core } = space.vmm;
  const change = core.begin(space);
  const used = core.gather(page, change.plan);
  core.end(change);
  return used;
}

function putOut(space: AddressSpace, vpn: Vpn): boolean {
  const { core } = space.vmm;
  if (space.tables.query(vpn) === 0) return true;
  const page = core.frameMap.pageAt(space.tables.frame);
  if (core.sharing.usersOf(page) === 1 && core.pages.refs[page] === 1) return core.reclaimer.evictPage(page);
  const change = core.begin(space);
  change.removeInto(vpn, change.plan);
  core.end(change);
  return true;
}
