/**
 * A sheet: what the manager knows of the 512 pages under one page table.
 *
 * ```
 *  space ─ floor(vpn / 2^18) → folder ─ floor(vpn / 512) & 511 → sheet ─ vpn & 511 → anonymous page | none | guard
 * ```
 * Sheets are cut where tables are cut, so a table and its sheet move between spaces together, in O(1).
 */
import { MAX_SHEETS } from "../pages/mappings.ts";
import { NO_PAGE } from "../pages/pages.ts";
import { VmmError } from "../errors.ts";
import { TableMap } from "../tables/table-map.ts";
import { TABLE_PAGES, type Vpn } from "../units.ts";
import type { AddressSpace } from "./space.ts";

/** The entry of a page that faults on every access though its region exists. */
export const GUARD_PAGE = -2;

/** The 512 pages under one page table of a space. */
export class Sheet {
  /** The sheet's number, below {@link MAX_SHEETS}. */
  readonly number: number;
  /** The space that the sheet belongs to. */
  space: AddressSpace;
  /** First page, a multiple of 512. */
  base: Vpn;
  /** Anonymous page of each entry; NO_PAGE where the content comes from the region's object or is zero; GUARD_PAGE. */
  readonly anons: Int32Array;
  /** Entries of `anons` that are not NO_PAGE. */
  used: number;
  /** Present translations under this sheet that lead to pages. */
  mapped: number;
  /** Other spaces that use the very same table, where it is shared; null for the usual case. */
  sharers: SheetSharer[] | null;
  /** Spaces that used it, while their processors may still know its translations; null for the usual case. */
  leavers: SheetSharer[] | null;

  /** An empty sheet. */
  constructor(number: number, space: AddressSpace, base: Vpn) {
    this.number = number;
    this.space = space;
    this.base = base;
    this.anons = new Int32Array(TABLE_PAGES).fill(NO_PAGE);
    this.used = 0;
    this.mapped = 0;
    this.sharers = null;
    this.leavers = null;
  }
}

/** One more space that sees a sheet, at its own address. */
export interface SheetSharer {
  /** The space. */
  readonly space: AddressSpace;
  /** First page of the sheet there. */
  readonly base: Vpn;
}

/** All sheets of all spaces by number. */
export class SheetRegistry {
  readonly #sheets: (Sheet | null)[] = [];
  readonly #free: number[] = [];

  /** Sheets that exist. */
  get count(): number {
    return this.#sheets.length - this.#free.length;
  }

  /** Makes the sheet of a space at `base`. */
  create(space: AddressSpace, base: Vpn): Sheet {
    const number = this.#free.pop() ?? this.#sheets.length;
    if (number >= MAX_SHEETS) throw new VmmError("out-of-range", "More sheets than a place can name.", { number });
    const sheet = new Sheet(number, space, base);
    if (number === this.#sheets.length) this.#sheets.push(sheet);
    else this.#sheets[number] = sheet;
    return sheet;
  }

  /** The sheet of a number. */
  get(number: number): Sheet {
    const sheet = this.#sheets[number];
    if (sheet === undefined || sheet === null)
      throw new VmmError("invariant", "A sheet that does not exist is named.", { number });
    return sheet;
  }

  /** The sheet of a number that may be forgotten, then null. */
  find(number: number): Sheet | null {
    return this.#sheets[number] ?? null;
  }

  /** Whether a sheet was not forgotten. */
  has(sheet: Sheet): boolean {
    return this.#sheets[sheet.number] === sheet;
  }

  /** Forgets an empty sheet. */
  destroy(sheet: Sheet): void {
    this.#sheets[sheet.number] = null;
    this.#free.push(sheet.number);
  }
}

/** The sheets of one space by address. */
export class SheetMap {
  readonly #sheets: TableMap<Sheet> = new TableMap();
  #last: Sheet | null = null;

  /** Sheets in the map. */
  get count(): number {
    return this.#sheets.count;
  }

  /** The sheet of a page, null if there is none. The last sheet is tried first. */
  get(vpn: Vpn): Sheet | null {
    const last = this.#last;
    if (last !== null) {
      const entry = vpn - last.base;
      if (entry >= 0 && entry < TABLE_PAGES) return last;
    }
    const sheet = this.#sheets.get(Math.floor(vpn / TABLE_PAGES));
    if (sheet !== null && sheet.sharers === null) this.#last = sheet;
    return sheet;
  }

  /** Puts a sheet at the table-aligned page `base`. */
  set(base: Vpn, sheet: Sheet): void {
    this.#sheets.set(base / TABLE_PAGES, sheet);
  }

  /** Takes the sheet at `base` out of the map and returns it. */
  take(base: Vpn): Sheet | null {
    const sheet = this.#sheets.take(base / TABLE_PAGES);
    if (this.#last === sheet) this.#last = null;
    return sheet;
  }

  /** Calls `visit` with every sheet that has pages in `[start, end)`, ascending, and the first page of the sheet in this space. */
  forEach(start: Vpn, end: Vpn, visit: (sheet: Sheet, base: Vpn) => void): void {
    this.#sheets.forEach(Math.floor(start / TABLE_PAGES), Math.ceil(end / TABLE_PAGES), (sheet, number) => {
      visit(sheet, number * TABLE_PAGES);
    });
  }

  /** Moves the sheets of a table-aligned range to another map, telling each its new place. O(sheets). */
  moveTo(into: SheetMap, start: Vpn, pages: number, target: Vpn, placed: (sheet: Sheet, base: Vpn) => void): void {
    this.#last = null;
    into.#last = null;
    this.#sheets.moveTo(
      into.#sheets,
      start / TABLE_PAGES,
      pages / TABLE_PAGES,
      target / TABLE_PAGES,
      (sheet, number) => {
        placed(sheet, number * TABLE_PAGES);
      },
    );
  }
}
