/** Pages by what becomes of them: counted in one pass over the page records, for everything, an object, a node, or what the policy knows. */
import type { Core } from "../core.ts";
import { PAGE_DIRTY } from "../pages/pages.ts";
import { DIRTY } from "../rights.ts";

/** Pages of some kind. Each page counts once, however many regions map it. */
export interface PageCount {
  /** In frames. */
  residentPages: number;
  /** In frames, translated for some space. */
  mappedPages: number;
  /** In frames, with more than one owner or translation. */
  sharedPages: number;
  /** In swap only. */
  swappedPages: number;
  /** In frames, and held there by locks, pins or transfers. */
  lockedPages: number;
  /** In frames, newer than their copy, as entries of tables know it too. */
  dirtyPages: number;
}

/** All at zero. */
export function emptyCount(): PageCount {
  return { residentPages: 0, mappedPages: 0, sharedPages: 0, swappedPages: 0, lockedPages: 0, dirtyPages: 0 };
}

/** Adds one page that exists to a count. */
export function countPage(core: Core, page: number, count: PageCount): void {
  const { pages } = core;
  if (!pages.isResident(page)) {
    if (pages.swap[page]! >= 0) count.swappedPages++;
    return;
  }
  count.residentPages++;
  const users = core.sharing.usersOf(page);
  if (users > 0) count.mappedPages++;
  if (Math.max(users, pages.owner[page]! < 0 ? pages.refs[page]! : 0) > 1) count.sharedPages++;
  if (pages.holds[page]! > 0) count.lockedPages++;
  if (isDirty(core, page)) count.dirtyPages++;
}

/** Whether a resident page is newer than its copy: by its record, or by the dirty bit of one of its translations. O(translations). */
export function isDirty(core: Core, page: number): boolean {
  const { pages, mappings, sheets } = core;
  if (pages.has(page, PAGE_DIRTY)) return true;
  for (let at = mappings.first(page); at >= 0; at = mappings.next(at)) {
    const { space, base } = sheets.get(mappings.sheetOf(at));
    if ((space.tables.query(base + mappings.entryOf(at)) & DIRTY) !== 0) return true;
  }
  return false;
}

/** Calls `visit` for every page that exists. O(page records). */
export function forEachPage(core: Core, visit: (page: number) => void): void {
  const { pages } = core;
  for (let page = 0; page < pages.capacity; page++) if (pages.refs[page]! > 0 || pages.pins[page]! > 0) visit(page);
}
