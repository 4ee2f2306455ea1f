/**
 * Reverse mapping: from a page to all its present translations, in O(translations).
 *
 * ```
 *  page.map ─→ mapping { place, next } ─→ …          place = sheet number × 512 + entry of the sheet
 * ```
 * A place names an entry of a sheet, not an address: where whole tables move between spaces, nothing here changes.
 */
import { VmmError } from "../errors.ts";
import { TABLE_PAGES } from "../units.ts";
import type { Pages } from "./pages.ts";

/** Sheet numbers stay below this, so that a place fits 31 bits. */
export const MAX_SHEETS = 4194304;

/** All reverse mappings. */
export class Mappings {
  readonly #pages: Pages;
  /** Sheet × 512 + entry. */
  #place: Int32Array = new Int32Array(1024);
  /** Next mapping of the same page, or next free record; −1 at the end. */
  #next: Int32Array = new Int32Array(1024);
  #free = -1;
  #used = 0;
  #count = 0;

  /** Mappings of these pages. */
  constructor(pages: Pages) {
    this.#pages = pages;
  }

  /** Mappings there are. */
  get count(): number {
    return this.#count;
  }

  /** Notes that the page is mapped at a place. */
  add(page: number, place: number): void {
    let at = this.#free;
    if (at >= 0) this.#free = this.#next[at]!;
    else at = this.#extend();
    this.#place[at] = place;
    this.#next[at] = this.#pages.map[page]!;
    this.#pages.map[page] = at;
    this.#count++;
  }

  /** Notes that the page is not mapped at a place any more. O(its mappings). */
  remove(page: number, place: number): void {
    const heads = this.#pages.map;
    let before = -1;
    let at = heads[page]!;
    while (at >= 0 && this.#place[at] !== place) {
      before = at;
      at = this.#next[at]!;
    }
    if (at < 0) throw new VmmError("invariant", "A mapping that does not exist was removed.", { page, place });
    if (before < 0) heads[page] = this.#next[at]!;
    else this.#next[before] = this.#next[at]!;
    this.#next[at] = this.#free;
    this.#free = at;
    this.#count--;
    this.#pages.place[page] = place;
  }

  /** The first mapping of a page, −1 if it has none. */
  first(page: number): number {
    return this.#pages.map[page]!;
  }

  /** The mapping after this one, −1 at the end. */
  next(mapping: number): number {
    return this.#next[mapping]!;
  }

  /** The sheet of a mapping. */
  sheetOf(mapping: number): number {
    return Math.floor(this.#place[mapping]! / TABLE_PAGES);
  }

  /** The entry within the sheet. */
  entryOf(mapping: number): number {
    return this.#place[mapping]! & (TABLE_PAGES - 1);
  }

  /** The number of the sheet that a page is mapped in, or was when its last translation went (that sheet may be gone); −1: it never was. */
  lastSheetOf(page: number): number {
    const place = this.#lastPlaceOf(page);
    return place < 0 ? -1 : Math.floor(place / TABLE_PAGES);
  }

  /** The entry that goes with {@link lastSheetOf}. */
  lastEntryOf(page: number): number {
    return this.#lastPlaceOf(page) & (TABLE_PAGES - 1);
  }

  /** How often the page is mapped. O(its mappings). */
  countOf(page: number): number {
    let count = 0;
    for (let at = this.#pages.map[page]!; at >= 0; at = this.#next[at]!) count++;
    return count;
  }

  /** Walks everything; throws with the sentence of the broken invariant. */
  check(): void {
    let free = 0;
    for (let at = this.#free; at >= 0; at = this.#next[at]!) free++;
    if (free + this.#count !== this.#used)
      throw new VmmError("invariant", "Mapping records are neither free nor used.", { free, used: this.#used });
    let mapped = 0;
    for (let page = 0; page < this.#pages.capacity; page++)
      if (this.#pages.refs[page]! > 0 || this.#pages.pins[page]! > 0) mapped += this.countOf(page);
    if (mapped !== this.#count) throw new VmmError("invariant", "A mapping belongs to no page.", { mapped });
  }

  #lastPlaceOf(page: number): number {
    const at = this.#pages.map[page]!;
    return at >= 0 ? this.#place[at]! : this.#pages.place[page]!;
  }

  #extend(): number {
    if (this.#used === this.#place.length) {
      const place = new Int32Array(this.#used * 2);
      const next = new Int32Array(this.#used * 2);
      place.set(this.#place);
      next.set(this.#next);
      this.#place = place;
      this.#next = next;
    }
    return this.#used++;
  }
}
