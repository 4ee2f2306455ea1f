/**
 * Who uses whose page tables. A table that several spaces have in common has one sheet, which is in the sheet maps of all of them:
 *
 * ```
 *  space A ─ sheets ─ base 0x…200 ─┐                 ┌─ A: sheet.space, sheet.base
 *                                  ├─ sheet, table ──┤
 *  space B ─ sheets ─ base 0x…800 ─┘                 └─ B: sheet.sharers
 * ```
 * An entry of the table is one translation, with one reverse mapping, through the sheet's first space. What an entry's change leaves stale in one space it
 * leaves stale in all, at other addresses: flush plans ask here for the others.
 *
 * Invariants: a sheet with sharers has no private page, and all of its spaces have its table linked; a space that lets go of a table is among the sheet's leavers until
 * its processors have dropped what they knew of it, and hears of stale entries until then.
 */
import { VmmError } from "../errors.ts";
import type { Mappings } from "../pages/mappings.ts";
import type { Pages } from "../pages/pages.ts";
import { TABLE_PAGES, type Vpn } from "../units.ts";
import type { Sheet, SheetRegistry } from "./sheet.ts";
import type { AddressSpace } from "./space.ts";

/** What sharing has to know of a core. */
export interface SharingParts {
  /** All spaces by number. */
  readonly spaces: ReadonlyMap<number, AddressSpace>;
  /** All sheets. */
  readonly sheets: SheetRegistry;
  /** All pages. */
  readonly pages: Pages;
  /** All reverse mappings. */
  readonly mappings: Mappings;
}

/** The tables that several spaces have in common. */
export class TableSharing {
  readonly #parts: SharingParts;
  #count = 0;

  /** Nothing is shared at first. */
  constructor(parts: SharingParts) {
    this.#parts = parts;
  }

  /** Tables that more than one space uses, or used a moment ago: where this is 0, nothing else here has to be asked. */
  get count(): number {
    return this.#count;
  }

  /** One more space uses a sheet's table, from `base` on. */
  join(sheet: Sheet, space: AddressSpace, base: Vpn): void {
    if (sheet.used > 0) throw new VmmError("invariant", "A sheet with private pages cannot be shared.", { base });
    if (sheet.sharers === null) {
      if (sheet.leavers === null) this.#count++;
      sheet.sharers = [];
      sheet.space.sharedTables++;
    }
    sheet.sharers.push({ space, base });
    space.sheets.set(base, sheet);
    space.sharedTables++;
  }

  /**
   * A space is about to let go of a sheet's table: it finds the sheet no more, but still hears of stale entries until {@link left}. The last space that stays has the
   * sheet for itself from now on.
   */
  leave(sheet: Sheet, space: AddressSpace, base: Vpn): void {
    const { sharers } = sheet;
    const first = sharers?.[0];
    if (sharers === null || first === undefined) throw new VmmError("invariant", "A sheet is not shared.", { base });
    space.sheets.take(base);
    space.sharedTables--;
    (sheet.leavers ??= []).push({ space, base });
    if (sheet.space === space) {
      sheet.space = first.space;
      sheet.base = first.base;
      sharers.shift();
    } else {
      sharers.splice(
        sharers.findIndex((sharer) => sharer.space === space),
        1,
      );
    }
    if (sharers.length > 0) return;
    sheet.sharers = null;
    sheet.space.sharedTables--;
  }

  /** The space's processors know nothing of the table any more. */
  left(sheet: Sheet, space: AddressSpace): void {
    const { leavers } = sheet;
    const at = leavers?.findIndex((leaver) => leaver.space === space) ?? -1;
    if (leavers === null || at < 0)
      throw new VmmError("invariant", "A space left a table twice.", { asid: space.asid });
    leavers.splice(at, 1);
    if (leavers.length > 0) return;
    sheet.leavers = null;
    if (sheet.sharers === null) this.#count--;
  }

  /** Calls `visit` with every other place at which the table entry of a page is seen, or may still be in a TLB. */
  forEachOther(asid: number, vpn: Vpn, visit: (asid: number, vpn: Vpn) => void): void {
    const space = this.#parts.spaces.get(asid);
    const sheet = space?.sheets.get(vpn);
    if (space === undefined || sheet === null || sheet === undefined) return;
    const entry = vpn & (TABLE_PAGES - 1);
    if (sheet.space !== space) visit(sheet.space.asid, sheet.base + entry);
    for (const sharer of sheet.sharers ?? []) if (sharer.space !== space) visit(sharer.space.asid, sharer.base + entry);
    for (const leaver of sheet.leavers ?? []) visit(leaver.space.asid, leaver.base + entry);
  }

  /** The spaces that have a table in common with a space, or had until now. O(its sheets). */
  peersOf(asid: number): Set<number> {
    const peers = new Set<number>();
    const space = this.#parts.spaces.get(asid);
    if (space === undefined) return peers;
    space.sheets.forEach(space.low, space.high, (sheet) => {
      if (sheet.sharers !== null) peers.add(sheet.space.asid);
      for (const sharer of sheet.sharers ?? []) peers.add(sharer.space.asid);
      for (const leaver of sheet.leavers ?? []) peers.add(leaver.space.asid);
    });
    peers.delete(asid);
    return peers;
  }

  /** In how many spaces and at how many addresses a page is mapped: translations, each counted once for every space that has its table. */
  usersOf(page: number): number {
    const { mappings, sheets } = this.#parts;
    if (this.#count === 0) return mappings.countOf(page);
    let users = 0;
    for (let at = mappings.first(page); at >= 0; at = mappings.next(at))
      users += 1 + (sheets.get(mappings.sheetOf(at)).sharers?.length ?? 0);
    return users;
  }

  /** Walks everything; throws with the sentence of the broken invariant. */
  check(): void {
    const shared = new Set<Sheet>();
    for (const space of this.#parts.spaces.values()) {
      let own = 0;
      space.sheets.forEach(space.low, space.high, (sheet, base) => {
        if (sheet.sharers === null) {
          if (sheet.space !== space)
            throw new VmmError("invariant", "A sheet is in a map that is not its own.", { base });
          return;
        }
        own++;
        shared.add(sheet);
        if (sheet.space !== space && !sheet.sharers.some((other) => other.space === space && other.base === base))
          throw new VmmError("invariant", "A space uses a table and is not among its sharers.", { base });
        if (sheet.used > 0) throw new VmmError("invariant", "A shared sheet has private pages.", { base });
      });
      if (own !== space.sharedTables)
        throw new VmmError("invariant", "A space's count of shared tables is wrong.", { asid: space.asid, own });
    }
    if (shared.size > this.#count)
      throw new VmmError("invariant", "The count of shared tables is wrong.", { shared: shared.size });
    this.#checkEntries();
  }

  /** Every translation of a shared table is seen by all of its spaces. */
  #checkEntries(): void {
    if (this.#count === 0) return;
    const { pages, mappings, sheets } = this.#parts;
    for (let page = 0; page < pages.capacity; page++) {
      if (pages.refs[page] === 0) continue;
      for (let at = mappings.first(page); at >= 0; at = mappings.next(at)) {
        const { sharers } = sheets.get(mappings.sheetOf(at));
        for (const { space, base } of sharers ?? []) {
          const vpn = base + mappings.entryOf(at);
          if (space.tables.query(vpn) === 0 || space.tables.frame !== pages.pfn[page]!)
            throw new VmmError("invariant", "A shared table's entry is not seen by all of its spaces.", { page, vpn });
        }
      }
    }
  }
}
