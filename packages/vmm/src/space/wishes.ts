/**
 * What the frame of a page should be like, for everything that gives pages frames outside of the fault on them: read-ahead, refills, 2M pages, moves.
 *
 * ```
 *  place of a region ──────────────────────────── the region's placement, else the space's ── hints
 *  page ── mapped there, or there at the last ── place ┘
 * ```
 */
import type { Core } from "../core.ts";
import { NO_PAGE, PAGE_OBJECT } from "../pages/pages.ts";
import type { FrameHints } from "../ports.ts";
import { TABLE_PAGES, type Vpn } from "../units.ts";
import { hintsFor, type StrictHints } from "./frame-placement.ts";
import type { Region } from "./region.ts";
import type { Sheet } from "./sheet.ts";
import type { AddressSpace } from "./space.ts";

/** Wishes in order of preference; null: any frame. */
export type Wishes = readonly FrameHints[] | null;

/** The wishes for the frame of a region's page; `localNode` is what `local` means, by default the node of the processor that runs. */
function wishesAt(space: AddressSpace, region: Region, vpn: Vpn, localNode?: number): Wishes {
  const placement = region.placement ?? space.placement;
  return placement === null ? null : hintsFor(placement, vpn, localNode ?? space.vmm.faults.currentNode());
}

/** Fetches a page for a place of a region outside of a fault on it: into a frame as the region wishes, and counted for it. */
export function fetchFor<T>(space: AddressSpace, region: Region, vpn: Vpn, fetch: () => T): T {
  const { keeper, tally } = space.vmm.core;
  return tally.asking(space, region, () => keeper.wishing(wishesAt(space, region, vpn), fetch));
}

/**
 * The wishes for another frame of a page that may be mapped nowhere now: of where it was mapped last, else of a region that maps its object. `local` means the node that
 * it lies on, any where it is in no frame.
 */
export function wishesOf(core: Core, page: number): Wishes {
  const { mappings, pages, sheets } = core;
  const localNode = pages.isResident(page) ? core.nodeOf(pages.frameOf(page)) : -1;
  const sheet = sheets.find(mappings.lastSheetOf(page));
  if (sheet !== null) {
    const { space } = sheet;
    const vpn = sheet.base + mappings.lastEntryOf(page);
    const region = space.regions.find(vpn);
    if (region !== null && pageAt(space, region, vpn) === page) return wishesAt(space, region, vpn, localNode);
  }
  const object = pages.has(page, PAGE_OBJECT) ? core.objects.get(pages.owner[page]!) : undefined;
  for (const [region, space] of object?.regions ?? []) {
    const vpn = region.start + pages.index[page]! - region.offset;
    if (vpn >= region.start && vpn < region.end) return wishesAt(space, region, vpn, localNode);
  }
  return null;
}

/** Of the pages of a 2M unit without a placement, those that lie on one node where they are put together: seven eighths. The others moved to who uses them. */
const TOGETHER = 7 / 8;

/**
 * The wishes for a block for the 2M unit of a region at `base`, which has pages already. `interleave` counts units; `local`, and no placement at all, means the node that the
 * pages lie on, `spread` where they lie on several. No wish falls back to another node: small pages on the right one are better.
 */
export function blockWishesAt(space: AddressSpace, region: Region, sheet: Sheet, base: Vpn): Wishes | "spread" {
  const placement = region.placement ?? space.placement;
  const isByPages = placement === null || placement.policy === "local";
  const home = isByPages ? homeOf(space.vmm.core, sheet) : -1;
  if (home === null) return "spread";
  if (placement === null)
    return home < 0 ? null : [{ order: 0, node: home, colour: -1, movable: 1, strict: true } as StrictHints];
  return hintsFor(placement, base / TABLE_PAGES, home).map((wish) => ({ ...wish, strict: wish.node >= 0 }));
}

/** The node on which nearly all pages of a sheet lie, −1 where nobody knows nodes; null: there is none. */
function homeOf(core: Core, sheet: Sheet): number | null {
  const counts = new Map<number, number>();
  let most = -1;
  for (const page of sheet.anons) {
    if (page < 0) continue;
    const node = core.nodeOf(core.pages.frameOf(page));
    counts.set(node, (counts.get(node) ?? 0) + 1);
    if ((counts.get(node) ?? 0) > (counts.get(most) ?? 0)) most = node;
  }
  return (counts.get(most) ?? 0) >= TOGETHER * sheet.used ? most : null;
}

/** The page that a region has at a place; NO_PAGE or GUARD_PAGE where there is none. */
export function pageAt(space: AddressSpace, region: Region, vpn: Vpn): number {
  const anon = space.sheets.get(vpn)?.anons[vpn & (TABLE_PAGES - 1)] ?? NO_PAGE;
  if (anon !== NO_PAGE || region.object === null) return anon;
  return region.object.pages.get(region.indexOf(vpn));
}
