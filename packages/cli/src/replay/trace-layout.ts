/**
 * How a traced program's pages become regions of an address space.
 *
 * A page that the trace stores to is anonymous memory; one that it never stores to is a page of a read-only file. Both
 * are executable if the trace fetches from them, and only then; a page that is stored to and fetched from asks for both
 * rights, because the program did. Neighbouring pages with equal needs form one region.
 */
import { USER_HIGH, USER_LOW } from "@pagewright/vmm";
import { FETCH, STORE } from "../page-trace.ts";
import type { PageTrace } from "../page-trace.ts";

/** Pages of a user space that programs may use: not the first 64 KiB, not the upper half. */
const USER_PAGES = { first: USER_LOW, end: USER_HIGH };
/** Pages under one page table. */
const TABLE_PAGES = 512;

/**
 * Returns the page numbers at which a program is run: those of the trace, wherever user programs may have pages. Otherwise the whole
 * program is moved: pages keep their place within their page table, and gaps of more than a table shrink to less than two.
 */
export function placesOf(vpns: Float64Array): Float64Array {
  const first = vpns[0] ?? USER_PAGES.first;
  const last = vpns[vpns.length - 1] ?? first;
  if (first >= USER_PAGES.first && last < USER_PAGES.end) return vpns;
  const places = new Float64Array(vpns.length);
  let place = TABLE_PAGES + (first % TABLE_PAGES);
  vpns.forEach((vpn, page) => {
    const gap = page === 0 ? 0 : vpn - vpns[page - 1]!;
    place += gap < 2 * TABLE_PAGES ? gap : TABLE_PAGES + (gap % TABLE_PAGES);
    places[page] = place;
  });
  return places;
}

/** One region of the program: pages `[firstPage, firstPage + pages)` of the trace, whose page numbers are in a row. */
export interface LayoutRegion {
  /** Index in the trace of the first page. */
  readonly firstPage: number;
  /** Number of pages. */
  readonly pages: number;
  /** Page number of the first page. */
  readonly vpn: number;
  /** Whether the trace stores to its pages; if not, they are read from a file. */
  readonly stored: boolean;
  /** Whether the trace fetches from its pages. */
  readonly fetched: boolean;
  /** Index in the file of the first page; −1 for anonymous memory. */
  readonly filePage: number;
}

/** What is mapped for a program: pages `[vpn, vpn + pages)`, anonymous or from `filePage` of its file on. */
export type LayoutMapping = Omit<LayoutRegion, "firstPage">;

/** Every region of a program, by ascending address. */
export interface TraceLayout {
  readonly regions: readonly LayoutRegion[];
  /** What is mapped: the regions themselves, or, where memory comes in units, more than these. */
  readonly mappings: readonly LayoutMapping[];
  /** Pages that are read from the file. */
  readonly filePages: number;
}

const FETCHED = 1;
const STORED = 2;

/**
 * Returns the regions of a traced program; one pass over its records.
 *
 * @param places - Page numbers at which it is run; see {@link placesOf}.
 * @param asData - Whether pages that are only loaded from are anonymous memory too, stored to before the trace begins, rather than pages of a file.
 */
export function layoutOf(trace: PageTrace, places: Float64Array, asData: boolean = false): TraceLayout {
  const uses = usesOf(trace);
  if (asData) for (let page = 0; page < uses.length; page++) if (uses[page] === 0) uses[page] = STORED;
  const regions: LayoutRegion[] = [];
  let filePages = 0;
  for (let page = 0; page < uses.length;) {
    const pages = runLength(places, uses, page);
    const use = uses[page]!;
    const stored = (use & STORED) !== 0;
    const filePage = stored ? -1 : filePages;
    regions.push({ firstPage: page, pages, vpn: places[page]!, stored, fetched: (use & FETCHED) !== 0, filePage });
    if (!stored) filePages += pages;
    page += pages;
  }
  return { regions, mappings: regions, filePages };
}

function usesOf(trace: PageTrace): Uint8Array {
  const uses = new Uint8Array(trace.vpns.length);
  const useOfKind = Uint8Array.of(0, 0, 0);
  useOfKind[FETCH] = FETCHED;
  useOfKind[STORE] = STORED;
  for (const record of trace.records) uses[record >>> 2] = uses[record >>> 2]! | useOfKind[record & 3]!;
  return uses;
}

/** Pages from `first` on with the same use and consecutive page numbers. */
function runLength(places: Float64Array, uses: Uint8Array, first: number): number {
  let next = first + 1;
  while (next < places.length && uses[next]! === uses[first]! && places[next]! === places[next - 1]! + 1) next++;
  return next - first;
}
