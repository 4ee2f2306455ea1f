/** The sizes of pages in a replay, and of the TLBs that remember them. */
import { PLAIN_64X4_TLB, ROOMY_TLB, SKYLAKE_TLB, ZEN2_TLB } from "@pagewright/machine";
import type { TlbGeometry } from "@pagewright/machine";
import { USER_HIGH, USER_LOW } from "@pagewright/vmm";
import { UsageError } from "../output.ts";
import type { LayoutMapping, LayoutRegion, TraceLayout } from "./trace-layout.ts";

/** Pages of 4 KiB alone, or of 2 MiB too where they fit. */
export type PageSizes = "4K" | "2M";

const TLBS: readonly TlbGeometry[] = [ROOMY_TLB, PLAIN_64X4_TLB, SKYLAKE_TLB, ZEN2_TLB];
/** Names of TLBs, the first for those who name none. */
export const TLB_NAMES: readonly string[] = TLBS.map(({ name }) => name);
/** 4K pages of a 2M page. */
const UNIT = 512;

/**
 * Reads a page size.
 *
 * @throws {@link UsageError} unless it is `4K` or `2M`.
 */
export function parsePageSizes(text: string): PageSizes {
  if (text === "4K" || text === "2M") return text;
  throw new UsageError(`--pages ${text}: expected 4K or 2M`);
}

/**
 * Returns the TLB of a name.
 *
 * @throws {@link UsageError} if there is none.
 */
export function tlbOf(name: string): TlbGeometry {
  const found = TLBS.find((tlb) => tlb.name === name);
  if (found === undefined) throw new UsageError(`--tlb ${name}: there are ${TLB_NAMES.join(", ")}`);
  return found;
}

/**
 * Returns the layout of a program that gets its memory in aligned units of 2 MiB, as allocators and linkers do that hope for 2M pages: gaps of less than a unit between
 * pages of equal rights are mapped too, and both ends are rounded outwards, as far as nothing else lies there. Pages lie in the file as they lie in memory, by units.
 */
export function inUnits({ regions }: TraceLayout): TraceLayout {
  const placed: LayoutRegion[] = [];
  const mappings: LayoutMapping[] = [];
  let filePages = 0;
  let floor: number = USER_LOW;
  for (let at = 0; at < regions.length;) {
    const group = groupAt(regions, at);
    const [first] = group;
    const last = group[group.length - 1];
    if (first === undefined || last === undefined) break;
    at += group.length;
    const start = Math.max(floor, unitsBelow(first.vpn) * UNIT);
    floor = Math.min(unitsBelow(last.vpn + last.pages - 1) * UNIT + UNIT, regions[at]?.vpn ?? USER_HIGH);
    const filePage = first.stored ? -1 : filePages + (start - unitsBelow(start) * UNIT);
    mappings.push({ ...first, vpn: start, pages: floor - start, filePage });
    for (const region of group)
      placed.push({ ...region, filePage: first.stored ? -1 : filePage + (region.vpn - start) });
    if (!first.stored) filePages += (unitsBelow(floor - 1) + 1 - unitsBelow(start)) * UNIT;
  }
  return { regions: placed, mappings, filePages };
}

/** The regions from one on that are mapped together. */
function groupAt(regions: readonly LayoutRegion[], at: number): LayoutRegion[] {
  const group: LayoutRegion[] = [];
  for (let next = at; next < regions.length; next++) {
    const region = regions[next];
    if (region === undefined) break;
    const last = group[group.length - 1];
    if (last !== undefined && !continues(last, region)) break;
    group.push(region);
  }
  return group;
}

function continues(last: LayoutRegion, next: LayoutRegion): boolean {
  const alike = next.stored === last.stored && next.fetched === last.fetched;
  return alike && next.vpn - (last.vpn + last.pages) < UNIT;
}

function unitsBelow(vpn: number): number {
  return Math.floor(vpn / UNIT);
}
