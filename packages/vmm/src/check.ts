/**
 * The walk over a whole manager that `check()` is: every module by itself, then what they say of each other.
 */
import type { CommitAccount } from "./commit.ts";
import type { Core } from "./core.ts";
import { invariant } from "./errors.ts";
import { DeviceObject } from "./objects/device-object.ts";
import type { MemoryObject } from "./objects/object.ts";
import { PAGE_OBJECT } from "./pages/pages.ts";
import type { MemoryType } from "./rights.ts";
import { GUARD_PAGE } from "./space/sheet.ts";
import { TABLE_PAGES } from "./units.ts";

/** Throws with the sentence of the first broken invariant. O(pages + mappings + tables). */
export function checkManager(core: Core, commit: CommitAccount): void {
  core.policy.check();
  core.swap?.check();
  core.frameMap.check();
  core.mappings.check();
  core.sharing.check();
  core.quarantine?.check();
  core.idleness.check();
  core.tally.check();
  core.cold.check(core.pages);
  core.refaults.check();
  core.reclaimer.check();
  core.swapper.check();
  core.purgeable.check();
  core.prefetcher.check();
  core.parting.check();
  core.balancer?.check();
  core.pressure.check();
  core.reserve?.check();
  for (const object of core.objects.values()) {
    object.check();
    checkTypes(object);
  }
  commit.check(promisedPages(core));
  checkPages(core, countReferences(core));
}

/** One memory type in all regions of an object; devices have one per frame. */
function checkTypes(object: MemoryObject): void {
  if (object instanceof DeviceObject) return;
  let type: MemoryType | null = null;
  for (const region of object.regions.keys()) {
    const alike = type === null || region.type === type;
    invariant(alike, "Regions of an object have different memory types.", { object: object.number });
    type = region.type;
  }
}

/** Pages of all regions that count against the commit limit. */
function promisedPages(core: Core): number {
  let pages = 0;
  for (const space of core.spaces.values())
    for (const region of space.regions.within(space.low, space.high)) if (region.accounted) pages += region.pages;
  return pages;
}

/** How often sheets and objects name each page; checks on the way that they name pages that can be. */
function countReferences({ pages, spaces, objects, mappings }: Core): Int32Array {
  const refs = new Int32Array(pages.capacity);
  let mapped = 0;
  for (const space of spaces.values()) {
    space.check();
    space.sheets.forEach(space.low, space.high, (sheet, base) => {
      if (sheet.space !== space) return;
      mapped += sheet.mapped;
      for (let at = 0; at < TABLE_PAGES; at++) {
        const page = sheet.anons[at]!;
        if (page >= 0) refs[page] = refs[page]! + 1;
        invariant(page >= GUARD_PAGE, "A sheet names a page that cannot be.", { vpn: base + at });
      }
    });
  }
  for (const object of objects.values())
    object.pages.forEach(0, Number.MAX_SAFE_INTEGER, (page, index) => {
      refs[page] = refs[page]! + 1;
      const knowsPlace = pages.has(page, PAGE_OBJECT) && pages.index[page] === index;
      invariant(knowsPlace, "An object's page does not know its place.", { page });
    });
  invariant(mapped === mappings.count, "Sheets and reverse mappings count differently.", { mapped });
  return refs;
}

/** Each page's references, frame, mappings and copy in swap. */
function checkPages({ pages, mappings, frameMap, sheets, swap }: Core, refs: Int32Array): void {
  let resident = 0;
  for (let page = 0; page < pages.capacity; page++) {
    const orphan = pages.refs[page] === 0 && pages.pins[page]! > 0;
    invariant(pages.refs[page] === refs[page], "A page's references are wrong.", {
      page,
      refs: pages.refs[page]!,
      counted: refs[page]!,
    });
    if (pages.refs[page] === 0 && !orphan) continue;
    const pfn = pages.pfn[page]!;
    invariant(pages.holds[page]! >= pages.pins[page]!, "A page has more pins than holds.", { page });
    if (pfn >= 0) {
      resident++;
      invariant(frameMap.pageAt(pfn) === page, "A frame does not know its page.", { page, pfn });
    } else {
      invariant(mappings.first(page) < 0, "A page without a frame is mapped.", { page });
      invariant(pages.holds[page] === 0, "A held page has no frame.", { page });
    }
    for (let at = mappings.first(page); at >= 0; at = mappings.next(at)) {
      const sheet = sheets.get(mappings.sheetOf(at));
      const vpn = sheet.base + mappings.entryOf(at);
      invariant(sheet.space.tables.query(vpn) !== 0, "A reverse mapping leads to no translation.", { page, vpn });
      invariant(sheet.space.tables.frame === pfn, "A translation leads to another page's frame.", { page, vpn });
    }
    const reference = pages.swap[page]!;
    if (reference < 0 || swap === null) continue;
    invariant(swap.holds(reference), "A page's copy in swap is gone.", { page });
    const owner = swap.ownerOf(reference);
    invariant(owner === page || owner === -1, "A page's copy in swap is another one's.", { page, owner });
  }
  invariant(resident === frameMap.count, "The frame map counts wrongly.", { resident });
}
