/**
 * The decision table of page faults: what lies under a page × the kind of access → what is done. `FAULT_TABLE` is both what the handler runs and what
 * the documentation prints.
 */

/** What lies under a page whose region allows the access. */
export const SOURCES = [
  "nothing",
  "own page",
  "page shared by clones",
  "object page, shared region",
  "object page, private region",
  "device",
  "guard",
] as const;
/** No content yet, no object. */
export const SOURCE_NOTHING = 0;
/** An anonymous page with one owner. */
export const SOURCE_OWN = 1;
/** An anonymous page with several owners. */
export const SOURCE_CLONED = 2;
/** A page of an object whose stores reach the object. */
export const SOURCE_SHARED = 3;
/** A page of an object whose stores are private. */
export const SOURCE_PRIVATE = 4;
/** Frames that exist by themselves. */
export const SOURCE_DEVICE = 5;
/** A guard page. */
export const SOURCE_GUARD = 6;

/** What is done. */
export const ACTIONS = [
  "map the zero frame, read-only",
  "map a new zeroed page, writable",
  "map the page, writable if the region is",
  "map the page, read-only",
  "copy the page, map the copy writable",
  "map the device frame",
  "segmentation violation",
] as const;
/** Map the zero frame read-only. */
export const MAP_ZERO = 0;
/** A new page of zeroes. */
export const MAP_NEW = 1;
/** The page, with all rights of the region. */
export const MAP_PAGE = 2;
/** The page without the right to store. */
export const MAP_READ_ONLY = 3;
/** A private copy. */
export const MAP_COPY = 4;
/** The device's own frame. */
export const MAP_DEVICE = 5;
/** The access ends. */
export const REFUSE = 6;

/** Action for source × 2 + (1 for a store). */
export const FAULT_TABLE: Uint8Array = Uint8Array.from([
  // load or fetch, store
  MAP_ZERO,
  MAP_NEW, // nothing
  MAP_PAGE,
  MAP_PAGE, // own page
  MAP_READ_ONLY,
  MAP_COPY, // page shared by clones
  MAP_PAGE,
  MAP_PAGE, // object page, shared region
  MAP_READ_ONLY,
  MAP_COPY, // object page, private region
  MAP_DEVICE,
  MAP_DEVICE, // device
  REFUSE,
  REFUSE, // guard
]);

/** The table as Markdown, for the documentation. */
export function faultTableText(): string {
  const rows = SOURCES.map((source, at) => {
    const load = ACTIONS[FAULT_TABLE[at * 2]!] ?? "";
    const store = ACTIONS[FAULT_TABLE[at * 2 + 1]!] ?? "";
    return `| ${source} | ${load} | ${store} |`;
  });
  return ["| under the page | load, fetch | store |", "|---|---|---|", ...rows].join("\n");
}
