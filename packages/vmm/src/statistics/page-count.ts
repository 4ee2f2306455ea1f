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
  /** In frames, with one owner or translation: who has it has it alone. */
  uniquePages: number;
  /** In frames that some space has or maps: what the proportional pages of all spaces have in it. */
  proportionalPages: number;
  /** In swap only. */
  swappedPages: number;
  /** In frames, and held there by locks, pins or transfers. */
  lockedPages: number;
  /** In frames, newer than their copy, as entries of tables know it too. */
  dirtyPages: number;
}

/** All at zero. */
export function emptyCount(): PageCount {
  return {
    residentPages: 0,
    mappedPages: 0,
    sharedPages: 0,
    uniquePages: 0,
    proportionalPages: 0,
    swappedPages: 0,
    lockedPages: 0,
    dirtyPages: 0,
  };
}

/** What is counted of one page that exists, for any number of counts. */
export class CountedPage {
  /** Places of spaces that have or map it. */
  places = 0;
  readonly #core: Core;
  #isResident = false;
  #isMapped = false;
  #isSwapped = false;
  #isLocked = false;
  #isDirty = false;

  /** A page of a core, none yet. */
  constructor(core: Core) {
    this.#core = core;
  }

  /** Looks at a page. O(translations). */
  look(page: number): void {
    const core = this.#core;
    const { pages } = core;
    this.#isResident = pages.isResident(page);
    this.#isSwapped = !this.#isResident && pages.swap[page]! >= 0;
    if (!this.#isResident) return;
    const users = core.sharing.usersOf(page);
    this.#isMapped = users > 0;
    this.places = Math.max(users, pages.owner[page]! < 0 ? pages.refs[page]! : 0);
    this.#isLocked = pages.holds[page]! > 0;
    this.#isDirty = isDirty(core, page);
  }

  /** Adds it to a count. */
  addTo(count: PageCount): void {
    if (this.#isSwapped) count.swappedPages++;
    if (!this.#isResident) return;
    count.residentPages++;
    if (this.#isMapped) count.mappedPages++;
    if (this.places > 1) count.sharedPages++;
    if (this.places === 1) count.uniquePages++;
    if (this.places > 0) count.proportionalPages++;
    if (this.#isLocked) count.lockedPages++;
    if (this.#isDirty) count.dirtyPages++;
  }
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
