/**
 * What the frame of a page should be like, for everything that gives pages frames outside of the fault on them: read-ahead, refills, 2M pages, moves.
 *
 * ```
 *  place of a region ──────────────────────────── the region's placement, else the space's ── hints
 *  page ── mapped there, or there at the last ── place ┘
 * ```
 */
import type { Core } from "../core.ts";
import { NO_PAGE } from "../pages/pages.ts";
import type { FrameHints } from "../ports.ts";
import { TABLE_PAGES, type Vpn } from "../units.ts";
import { hintsFor } from "./frame-placement.ts";
import type { Region } from "./region.ts";
import type { Sheet } from "./sheet.ts";
import type { AddressSpace } from "./space.ts";

/** Wishes in order of preference; null: any frame. */
export type Wishes = readonly FrameHints[] | null;

/** The wishes for the frame of a region's page; `localNode` is what `local` means, by default the node of the processor that runs. */
export function wishesAt(space: AddressSpace, region: Region, vpn: Vpn, localNode?: number): Wishes {
  const placement = region.placement ?? space.placement;
  return placement === null ? null : hintsFor(placement, vpn, localNode ?? space.vmm.faults.currentNode());
}

/** The wishes for another frame of a page that may be mapped nowhere now. `local` means the node that it lies on, any where it is in no frame. */
export function wishesOf(core: Core, page: number): Wishes {
  const { mappings, pages, sheets } = core;
  const sheet = sheets.find(mappings.lastSheetOf(page));
  if (sheet === null) return null;
  const { space } = sheet;
  const vpn = sheet.base + mappings.lastEntryOf(page);
  const region = space.regions.find(vpn);
  if (region === null || pageAt(space, region, vpn) !== page) return null;
  return wishesAt(space, region, vpn, pages.isResident(page) ? core.nodeOf(pages.frameOf(page)) : -1);
}

/**
 * The wishes for a block for the 2M unit of a region at `base`, which has pages already. `interleave` counts units, `local` means the node of the first page, and no
 * wish falls back to another node: small pages on the right one are better.
 */
export function blockWishesAt(space: AddressSpace, region: Region, sheet: Sheet, base: Vpn): Wishes {
  const { nodeOf, pages } = space.vmm.core;
  const first = sheet.anons.find((page) => page >= 0);
  const wishes = wishesAt(space, region, base / TABLE_PAGES, first === undefined ? -1 : nodeOf(pages.frameOf(first)));
  return wishes?.map((wish) => ({ ...wish, strict: wish.node >= 0 })) ?? null;
}

/** The page that a region has at a place; NO_PAGE or GUARD_PAGE where there is none. */
export function pageAt(space: AddressSpace, region: Region, vpn: Vpn): number {
  const anon = space.sheets.get(vpn)?.anons[vpn & (TABLE_PAGES - 1)] ?? NO_PAGE;
  if (anon !== NO_PAGE || region.object === null) return anon;
  return region.object.pages.get(region.indexOf(vpn));
}
