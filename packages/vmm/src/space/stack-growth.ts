/** Stacks: regions that a fault just below makes grow down, as far as the gap above their neighbour. */
import { USER } from "../rights.ts";
import type { Vpn } from "../units.ts";
import { settleAddresses } from "./mapping.ts";
import { STACK_GAP, type Region } from "./region.ts";
import type { AddressSpace } from "./space.ts";

/** Grows the region that may grow down onto a page just below it, as far as its object begins; the region, or null. */
export function growStack(space: AddressSpace, vpn: Vpn): Region | null {
  const { limits, regions, vmm } = space;
  const region = regions.findFrom(vpn);
  if (region === null || !region.growsDown || vpn < floorBelow(space, region)) return null;
  const added = region.start - vpn;
  if (space.mappedPages + added > limits.pages) return null;
  if (region.locked !== "none" && space.lockedPages + added > limits.lockedPages) return null;
  const { object, type, offset } = region;
  if (object !== null && (added > offset || !vmm.types.allowsObject(object, type, offset - added, added))) return null;
  if (region.accounted && !vmm.commit.charge(added)) return null;
  settleAddresses(space, vpn, region.start);
  regions.resize(region, vpn, region.end);
  if (object !== null) region.offset -= added;
  space.mappedPages += added;
  if (region.locked !== "none") space.lockedPages += added;
  return region;
}

/** The lowest page that a region may grow down to: above the gap over a neighbour, unless that cannot be used or is a stack itself, and above guard pages. */
function floorBelow({ low, regions }: AddressSpace, region: Region): Vpn {
  const below = regions.findBelow(region.start);
  if (below === null) return low;
  const isFenced = below.growsDown || (below.rights & ~USER) === 0;
  return Math.max(low, below.end + Math.max(isFenced ? 0 : STACK_GAP, below.guard + region.guard));
}
