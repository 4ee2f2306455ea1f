/** What a space's regions hold, counted page by page: the figures behind an smaps-like text. */
import { rightsText } from "../rights.ts";
import { EVENT_NAMES } from "../statistics/events.ts";
import { isDirty } from "../statistics/page-count.ts";
import type { RateReport } from "../statistics/rates.ts";
import { PAGE_SIZE, TABLE_PAGES, addressOf, type VirtAddr } from "../units.ts";
import type { ObjectKind } from "../objects/object.ts";
import { sheetParts } from "./private-pages.ts";
import type { Region } from "./region.ts";
import type { AddressSpace } from "./space.ts";

/** Pages of a region, a space or several. */
export interface UsageReport {
  /** Mapped. */
  virtualPages: number;
  /** In frames. */
  residentPages: number;
  /** In frames, each divided by the number of its owners or mappings. */
  proportionalPages: number;
  /** In frames, and nobody else's. */
  uniquePages: number;
  /** In swap only. */
  swappedPages: number;
  /** Held in frames by locks. */
  lockedPages: number;
  /** In frames, newer than their copy. */
  dirtyPages: number;
  /** Translated by 2M leaves. */
  in2MPages: number;
  /** Translated by 1G leaves. */
  in1GPages: number;
}

/** A region's pages. */
export interface RegionReport extends UsageReport {
  /** Its first address. */
  readonly start: VirtAddr;
  /** The address behind it. */
  readonly end: VirtAddr;
  /** What programs may do there (READ, WRITE, EXECUTE). */
  readonly rights: number;
  /** Whether stores are everybody's who maps the object. */
  readonly shared: boolean;
  /** What it maps; `anonymous` also where it maps no object. */
  readonly kind: ObjectKind;
  /** The number of the object that it maps, −1 where it maps none. */
  readonly object: number;
}

/** All at zero. */
export function emptyUsage(): UsageReport {
  return {
    virtualPages: 0,
    residentPages: 0,
    proportionalPages: 0,
    uniquePages: 0,
    swappedPages: 0,
    lockedPages: 0,
    dirtyPages: 0,
    in2MPages: 0,
    in1GPages: 0,
  };
}

/**
 * Counts a region's pages. O(what is there): the pages under tables that the space has, and those of its object. Private pages count where the space has them, translated or not; an object's where the space has a translation, so that
 * the proportional shares of all spaces sum up to the pages in frames that somebody maps.
 */
export function usageOfRegion(space: AddressSpace, region: Region): UsageReport {
  const { core } = space.vmm;
  const { pages, sharing, tables } = core;
  const usage = emptyUsage();
  usage.virtualPages = region.pages;
  for (const [from, to] of sheetParts(space, region.start, region.end))
    for (let vpn = from; vpn < to; vpn++) {
      const anon = space.sheets.get(vpn)?.anons[vpn & (TABLE_PAGES - 1)] ?? -1;
      const page = anon >= 0 ? anon : (region.object?.pages.get(region.indexOf(vpn)) ?? -1);
      if (page < 0) continue;
      if (!pages.isResident(page)) {
        if (pages.swap[page]! >= 0) usage.swappedPages++;
        continue;
      }
      if (anon < 0 && space.tables.query(vpn) === 0) continue;
      const sharers = Math.max(1, anon >= 0 ? pages.refs[page]! : sharing.usersOf(page));
      usage.residentPages++;
      usage.proportionalPages += 1 / sharers;
      if (sharers === 1) usage.uniquePages++;
      if (region.locked !== "none") usage.lockedPages++;
      if (isDirty(core, page)) usage.dirtyPages++;
      const leaf = tables.large?.pagesAt(space.tables, vpn) ?? 1;
      if (leaf === TABLE_PAGES) usage.in2MPages++;
      else if (leaf > TABLE_PAGES) usage.in1GPages++;
    }
  region.object?.pages.forEach(region.offset, region.offset + region.pages, (page, index) => {
    const isSeen = space.sheets.get(region.start + (index - region.offset)) !== null;
    if (!isSeen && !pages.isResident(page) && pages.swap[page]! >= 0) usage.swappedPages++;
  });
  return usage;
}

/** The regions of a space, by address, with their pages. O(pages). */
export function usageByRegion(space: AddressSpace): RegionReport[] {
  return [...space.regions.within(space.low, space.high)].map((region) => ({
    ...usageOfRegion(space, region),
    start: addressOf(region.start),
    end: addressOf(region.end),
    rights: region.rights,
    shared: region.shared,
    kind: region.object?.kind ?? "anonymous",
    object: region.object?.number ?? -1,
  }));
}

/** Counts all pages of a space. */
export function usageOfSpace(space: AddressSpace): UsageReport {
  const total = emptyUsage();
  for (const region of space.regions.within(space.low, space.high)) addUsage(total, usageOfRegion(space, region));
  return total;
}

/** The regions of a space in the manner of Linux's smaps; sizes in KiB. With rates, what happened in each region is there per second. */
export function usageText(space: AddressSpace, rates?: RateReport): string {
  const lines: string[] = [];
  const regions = rates?.spaces.find(({ asid }) => asid === space.asid)?.regions ?? [];
  for (const { start, end, rights, shared, kind, object, ...usage } of usageByRegion(space)) {
    const what = object < 0 ? kind : `${kind} ${object}`;
    lines.push(`${hex(start)}-${hex(end)} ${rightsText(rights)} ${shared ? "shared" : "private"} ${what}`);
    for (const [name, pages] of Object.entries(usage))
      lines.push(
        `  ${name.replace("Pages", "").padEnd(13)}${((pages * PAGE_SIZE) / 1024).toFixed(0).padStart(10)} KiB`,
      );
    const happened = regions.find((region) => region.start === start);
    for (const name of happened === undefined ? [] : EVENT_NAMES)
      lines.push(`  ${name.padEnd(14)}${(happened?.[name] ?? 0).toFixed(1).padStart(9)} /s`);
  }
  return lines.join("\n");
}

/** Adds one report to another. */
export function addUsage(total: UsageReport, usage: UsageReport): void {
  total.virtualPages += usage.virtualPages;
  total.residentPages += usage.residentPages;
  total.proportionalPages += usage.proportionalPages;
  total.uniquePages += usage.uniquePages;
  total.swappedPages += usage.swappedPages;
  total.lockedPages += usage.lockedPages;
  total.dirtyPages += usage.dirtyPages;
  total.in2MPages += usage.in2MPages;
  total.in1GPages += usage.in1GPages;
}

/** An address with sixteen digits, two's complement. */
function hex(address: VirtAddr): string {
  return BigInt.asUintN(64, BigInt(address)).toString(16).padStart(16, "0");
}
