/** Where a page is mapped, to be mapped there again after it has lost its translations for a while: it moved, or could not leave after all. */
import type { Core } from "../core.ts";
import type { FlushPlan } from "../flush-plan.ts";
import { EXECUTE, READ, RIGHTS_MASK, WRITE } from "../rights.ts";
import type { Sheet } from "../space/sheet.ts";
import { NO_PAGE } from "./pages.ts";

/** A translation that a page had: its sheet, the entry within, and its rights. */
export interface Place {
  /** What the space knew of the 512 pages around it. */
  readonly sheet: Sheet;
  /** The entry, 0 … 511. */
  readonly entry: number;
  /** READ, WRITE, EXECUTE, USER. */
  readonly rights: number;
}

/** Where a page is mapped, with the rights of each translation. */
export function placesOf(core: Core, page: number): Place[] {
  const { mappings, sheets } = core;
  const places = [];
  for (let at = mappings.first(page); at >= 0; at = mappings.next(at)) {
    const sheet = sheets.get(mappings.sheetOf(at));
    const entry = mappings.entryOf(at);
    places.push({ sheet, entry, rights: sheet.space.tables.query(sheet.base + entry) & RIGHTS_MASK });
  }
  return places;
}

/** Maps a page where it was mapped, unless others changed the place meanwhile, or no frame is there for a table; faults do the rest. */
export function mapAgain(core: Core, page: number, { sheet, entry, rights }: Place, plan: FlushPlan): void {
  const { pages } = core;
  if (!core.sheets.has(sheet)) return;
  const { space, base } = sheet;
  const vpn = base + entry;
  const region = space.regions.find(vpn);
  if (region === null || space.tables.query(vpn) !== 0) return;
  const anon = sheet.anons[entry]!;
  const isObjects = pages.owner[page] === region.object?.number && pages.index[page] === region.indexOf(vpn);
  if (anon !== page && (anon !== NO_PAGE || !isObjects)) return;
  const keeps = anon === page && pages.refs[page]! > 1 ? rights & ~WRITE : rights;
  const allowed = keeps & region.rights;
  if ((allowed & (READ | WRITE | EXECUTE)) !== 0) core.map(space, region, sheet, vpn, page, allowed, plan);
}
