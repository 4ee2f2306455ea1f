/** Mapping and unmapping of regions: placement, replacement, split and merge. */
import { VmmError } from "../errors.ts";
import type { PageSize } from "../large/blocks.ts";
import { mapLargePages } from "../large/on-request.ts";
import type { MemoryObject } from "../objects/object.ts";
import { AnonymousObject } from "../objects/anonymous-object.ts";
import { FileObject } from "../objects/file-object.ts";
import type { Outcome, Refusal } from "../outcome.ts";
import { EXECUTE, READ, RIGHTS_MASK, USER, WRITE, type MemoryType } from "../rights.ts";
import { PAGE_SIZE, pagesFor, type VirtAddr, type Vpn } from "../units.ts";
import { demandPlacement, type FramePlacement } from "./frame-placement.ts";
import { dropEmptySheets, takeAnons } from "./private-pages.ts";
import { populateRegions } from "./residency.ts";
import {
  anonymousTraits,
  canMerge,
  keptBelow,
  Region,
  type CloneTreatment,
  type LockState,
  type RegionTraits,
} from "./region.ts";
import { unshareRange } from "./sharing.ts";
import type { AddressSpace } from "./space.ts";

/** How the address of a request is meant: near it; exactly there, replacing; exactly there, replacing nothing. */
export type Placement = "near" | "fixed" | "fixed-new";

/** Where a gap is searched: from the top, from the bottom, or at a place that the Random port chooses. */
export type GapSearch = "top-down" | "bottom-up" | "random";

/** What to map and where. */
export interface MapRequest {
  /** Bytes, rounded up to whole pages; at least 1. */
  readonly bytes: number;
  /** READ, WRITE, EXECUTE; READ + WRITE by default. USER is added in user spaces. */
  readonly rights?: number;
  /** The most that `protect` may grant later; all by default, without WRITE for shared regions of a read-only object. */
  readonly ceiling?: number;
  /** What is mapped; private zero-filled memory by default. */
  readonly object?: MemoryObject;
  /** Byte of the object where the region begins, a multiple of 4096. */
  readonly offset?: number;
  /** Whether stores reach the object; private by default. */
  readonly shared?: boolean;
  /** Address for `placement`. */
  readonly address?: VirtAddr;
  /** `near` by default. */
  readonly placement?: Placement;
  /** `top-down` by default. */
  readonly search?: GapSearch;
  /** Alignment of the region in bytes, a power of two of at least 4096; throws `unaligned` otherwise. Does not count for fixed places. */
  readonly alignment?: number;
  /** Bytes of its pages, 4096 by default. Larger ones are all in frames from the start, in leaves of that size; the region is a multiple of it. */
  readonly pageSize?: PageSize;
  /** Memory type; write-back by default. */
  readonly type?: MemoryType;
  /** Whether the pages are locked; the space's `lockFuture` by default. */
  readonly locked?: LockState;
  /** Whether all pages are faulted in at once, private ones that may be stored to as the space's own; `map` succeeds where that does not work. */
  readonly populate?: boolean;
  /**
   * Whether the region grows down on faults just below it. Gap searches leave STACK_GAP pages free below it, no more: room to grow
   * is left by the choice of its address, as in Linux. Fixed places may be in the gap.
   */
  readonly growsDown?: boolean;
  /** False: no promise is made for its private pages, now or when its rights change. */
  readonly accounted?: boolean;
  /** What clones get; a copy by default. Only private memory without an object can be wiped. */
  readonly onClone?: CloneTreatment;
  /** Whether stores to present pages are asked of the object's pager. */
  readonly writeNotify?: boolean;
  /** Which frames its private pages get: NUMA nodes, cache colours; any by default. */
  readonly frames?: FramePlacement;
  /**
   * Guard pages on both sides, 0 by default. Later requests get none of them while the region is there: gap searches pass them over,
   * `fixed-new` is refused as `exists`, stacks and regions that grow stop at them. Only `fixed` and the given targets of remap, share
   * and transfer take them; then, and where the region itself was put at a fixed place, as many are kept as there is room for. Parts of a
   * region that is cut keep guard pages each.
   */
  readonly guardPages?: number;
}

/** Maps a region; its first address, or why not. */
export function mapRegion(space: AddressSpace, request: MapRequest): VirtAddr | Refusal {
  if (!Number.isSafeInteger(request.bytes) || request.bytes < 1)
    throw new VmmError("out-of-range", "A region has at least one byte.", { bytes: request.bytes });
  const pages = pagesFor(request.bytes);
  const offset = request.offset ?? 0;
  demandOffset(offset, request.object === undefined ? 0 : pages);
  request.object?.demandOf(space.vmm.core);
  demandGap(request);
  if (request.pageSize !== undefined && request.pageSize !== PAGE_SIZE)
    return mapLargePages(space, request, request.pageSize);
  if (request.frames !== undefined) demandPlacement(request.frames);
  const traits = traitsOf(space, request);
  const refusal = refuseTraits(space, traits, request, pages);
  if (refusal !== null) return refusal;
  const start = place(space, request, pages);
  if (typeof start === "string") return start;
  const { regions, limits } = space;
  if (regions.count + 2 > limits.regions && regionsAfter(space, start, start + pages) > limits.regions)
    return "region-limit";
  const charge = traits.accounted ? pages : 0;
  const ending = request.placement === "fixed" ? replacedPages(space, start, start + pages, isAccounted) : 0;
  if (!space.vmm.commit.charge(charge, ending)) return "commit-limit";
  const replaced = request.placement === "fixed" ? replace(space, start, start + pages, request.object) : "ok";
  if (replaced !== "ok") {
    space.vmm.commit.uncharge(charge);
    return replaced;
  }
  settleAddresses(space, start, start + pages);
  const region = new Region(start, start + pages, offset / PAGE_SIZE, traits);
  if (request.object instanceof FileObject && request.object.regions.size === 0) request.object.cleanTail();
  addRegion(space, region);
  if (request.placement === "fixed") request.object?.close();
  mergeAround(space, region);
  if (request.populate === true || traits.locked === "all") populateRegions(space, start, start + pages);
  return start * PAGE_SIZE;
}

/** Makes sure that no processor knows any more what was mapped in `[start, end)` before: the addresses get another meaning now. */
export function settleAddresses(space: AddressSpace, start: Vpn, end: Vpn): void {
  const { quarantine } = space.vmm.core;
  if (quarantine?.overlaps(space.asid, start, end) === true) quarantine.drain();
}

/** Unmaps `[start, end)`. `force` ignores seals: the space itself goes. */
export function unmapRange(space: AddressSpace, start: Vpn, end: Vpn, force = false): Outcome {
  const regions = space.regions.within(start, end);
  const first = regions[0];
  const last = regions[regions.length - 1];
  if (first === undefined || last === undefined) return "ok";
  if (!force && regions.some((region) => region.sealed)) return "sealed";
  const splits = (first.start < start ? 1 : 0) + (last.end > end ? 1 : 0);
  if (first === last && splits === 2 && space.regions.count + 1 > space.limits.regions) return "region-limit";
  if (unshareRange(space, start, end)) return unmapRange(space, start, end, force);
  splitAt(space, start);
  splitAt(space, end);
  const doomed = splits === 0 ? regions : space.regions.within(start, end);
  for (const region of doomed) dropRegion(space, region);
  return "ok";
}

/** Unmaps what a fixed region replaces. Done, it leaves a handle of the new region's object open: what is replaced may be all that kept that object. */
function replace(space: AddressSpace, start: Vpn, end: Vpn, object: MemoryObject | undefined): Outcome {
  object?.open();
  const outcome = unmapRange(space, start, end);
  if (outcome !== "ok") object?.close();
  return outcome;
}

/** Throws unless a gap can have the alignment and guard pages that a request asks for. */
function demandGap({ alignment = PAGE_SIZE, guardPages = 0 }: MapRequest): void {
  if (alignment < PAGE_SIZE || !Number.isInteger(Math.log2(alignment)))
    throw new VmmError("unaligned", "An alignment is a power of two of at least 4096.", { alignment });
  if (!Number.isSafeInteger(guardPages) || guardPages < 0)
    throw new VmmError("out-of-range", "There are 0 or more guard pages.", { guardPages });
}

/** Throws unless `offset` is a page of an object and the last page that would be mapped has an exact offset too. */
function demandOffset(offset: number, pages: number): void {
  if (!Number.isSafeInteger(offset + pages * PAGE_SIZE) || offset < 0)
    throw new VmmError("out-of-range", "Offsets reach from 0 to 2^53 - 1 bytes.", { offset, pages });
  if ((offset & (PAGE_SIZE - 1)) !== 0) throw new VmmError("unaligned", "An offset is a multiple of 4096.", { offset });
}

/** Regions that the space has once `[start, end)` is one new region, before it merges with neighbours. */
function regionsAfter(space: AddressSpace, start: Vpn, end: Vpn): number {
  const replaced = space.regions.within(start, end);
  let count = space.regions.count - replaced.length + 1;
  if ((replaced[0]?.start ?? start) < start) count++;
  if ((replaced[replaced.length - 1]?.end ?? end) > end) count++;
  return count;
}

/** Takes a whole region out of its space: first the region, then its translations and pages, then its hold on the object. */
export function dropRegion(space: AddressSpace, region: Region): void {
  const { core } = space.vmm;
  const { start, end, object } = region;
  space.regions.remove(region);
  core.purgeable.unmapped(space, start, end);
  space.mappedPages -= end - start;
  if (region.locked !== "none") space.lockedPages -= end - start;
  const change = core.begin(space);
  const doomed = takeAnons(space, start, end, true);
  change.remove(start, end, region.locked !== "none");
  for (const page of doomed) core.dropReference(page, change.plan);
  dropEmptySheets(space, start, end);
  if (object?.kind === "device") core.end(change);
  else core.endLater(change, start, end);
  if (region.accounted) space.vmm.commit.uncharge(end - start);
  if (object !== null) object.detach(region);
}

/** Puts a region that overlaps none into its space. */
export function addRegion(space: AddressSpace, region: Region): void {
  space.regions.insert(region);
  space.mappedPages += region.pages;
  if (region.locked !== "none") space.lockedPages += region.pages;
  if (region.object !== null) region.object.attach(region, space);
}

/** Throws unless the word consists of READ, WRITE, EXECUTE and USER. */
export function demandRights(rights: number): void {
  if ((rights & ~RIGHTS_MASK) !== 0 || !Number.isInteger(rights))
    throw new VmmError("bad-argument", "Rights are READ, WRITE, EXECUTE and USER.", { rights });
}

/** Cuts the region that reaches across `vpn` in two there; nothing else changes. */
export function splitAt(space: AddressSpace, vpn: Vpn): void {
  const region = space.regions.find(vpn);
  if (region === null || region.start === vpn) return;
  const { end } = region;
  space.regions.resize(region, region.start, vpn);
  const upper = new Region(vpn, end, region.offset + (vpn - region.start), region);
  upper.lastFault = region.lastFault;
  space.regions.insert(upper);
  if (region.object !== null) region.object.attach(upper, space);
}

/** Joins a region with its neighbours where they are alike; the joined region. */
export function mergeAround(space: AddressSpace, region: Region): Region {
  let joined = region;
  const below = space.regions.findBelow(region.start);
  if (below !== null && canMerge(below, joined)) joined = join(space, below, joined);
  const above = space.regions.find(joined.end);
  if (above !== null && canMerge(joined, above)) joined = join(space, joined, above);
  return joined;
}

/** Joins neighbours throughout `[start, end]`. */
export function mergeRange(space: AddressSpace, start: Vpn, end: Vpn): void {
  let region = space.regions.findFrom(start - 1);
  while (region !== null && region.start <= end) {
    const next: Region | null = space.regions.find(region.end);
    if (next !== null && canMerge(region, next)) region = join(space, region, next);
    else region = next ?? space.regions.findFrom(region.end);
  }
}

/** What a search for a place of regions in a row asks for: the pages that the outermost of them keep. */
export function keptBy(regions: readonly Region[]): { guardPages: number; growsDown: boolean } {
  const [first] = regions;
  const last = regions[regions.length - 1];
  return { guardPages: Math.max(first?.guard ?? 0, last?.guard ?? 0), growsDown: first?.growsDown ?? false };
}

/**
 * A gap for `pages` pages by the request's wishes, with its guard pages (and the gap below a stack, but not near an address) where no
 * other region keeps pages; `no-space` if there is none. One in which nothing is quarantined where such a one is near.
 */
export function findGap(space: AddressSpace, request: MapRequest, pages: number): Vpn | Refusal {
  return quietGap(space, request, pages, openGap(space, request, pages));
}

function openGap(space: AddressSpace, request: MapRequest, pages: number): Vpn | Refusal {
  const { low, high, regions } = space;
  const guard = request.guardPages ?? 0;
  const below = keptBelow(request.growsDown ?? false, guard);
  const alignment = Math.max(1, (request.alignment ?? PAGE_SIZE) / PAGE_SIZE);
  const need = below + pages + guard;
  if (pages + 2 * guard > high - low) return "no-space";
  if (request.address !== undefined && request.address !== 0) {
    const hint = Math.floor(request.address / PAGE_SIZE / alignment) * alignment;
    const first = hint - guard;
    const end = hint + pages + guard;
    if (first >= low && end <= high && regions.isOpen(first, end)) return hint;
  }
  let found: Vpn;
  if (request.search === "random") {
    const spots = Math.max(0, Math.floor((high - low - need) / alignment));
    const pick = low + Math.floor(randomBelow(space, spots) * alignment);
    found = regions.lowestGap(pick, high, need, alignment, below);
    if (found === -1) found = regions.highestGap(low, Math.min(high, pick + need), need, alignment, below);
  } else if (request.search === "bottom-up") {
    found = regions.lowestGap(low, high, need, alignment, below);
  } else {
    found = regions.highestGap(low, high, need, alignment, below);
  }
  return found === -1 ? "no-space" : found;
}

/** Gaps that are passed over because some processor may still know what was there, before the processors are interrupted. */
const MAX_PASSED = 64;

/** A gap like `found` in which nothing is quarantined, where one is near: from the top down, with no pages to keep. Else `found`. */
function quietGap(space: AddressSpace, request: MapRequest, pages: number, found: Vpn | Refusal): Vpn | Refusal {
  const { quarantine } = space.vmm.core;
  const keeps = (request.guardPages ?? 0) > 0 || request.growsDown === true;
  const fixedSearch = (request.search ?? "top-down") !== "top-down" || keeps;
  if (quarantine === null || quarantine.held === 0 || typeof found === "string" || fixedSearch) return found;
  const alignment = Math.max(1, (request.alignment ?? PAGE_SIZE) / PAGE_SIZE);
  let start = found;
  for (let passed = 0; passed < MAX_PASSED && start !== -1; passed++) {
    const overlap = quarantine.firstOverlap(space.asid, start, start + pages);
    if (overlap < 0) return start;
    start = overlap - space.low < pages ? -1 : space.regions.highestGap(space.low, overlap, pages, alignment, 0);
  }
  return found;
}

function place(space: AddressSpace, request: MapRequest, pages: number): Vpn | Refusal {
  const { placement = "near", address = 0 } = request;
  if (placement === "near") return findGap(space, request, pages);
  if (!Number.isSafeInteger(address) || (address & (PAGE_SIZE - 1)) !== 0)
    throw new VmmError("unaligned", "A fixed address is a multiple of 4096.", { address });
  const start = address / PAGE_SIZE;
  if (start < space.low || start + pages > space.high) return "out-of-bounds";
  if (placement === "fixed-new" && !space.regions.isUnguarded(start, start + pages)) return "exists";
  return start;
}

function traitsOf(space: AddressSpace, request: MapRequest): RegionTraits {
  const user = space.attributes === 0 ? USER : 0;
  demandRights(request.rights ?? 0);
  demandRights(request.ceiling ?? 0);
  const rights = ((request.rights ?? READ + WRITE) & RIGHTS_MASK & ~USER) + user;
  const { object = null } = request;
  const shared = request.shared ?? object?.kind === "device";
  let ceiling = request.ceiling === undefined ? READ + WRITE + EXECUTE + user : (request.ceiling & ~USER) + user;
  if (shared && object?.isWritable === false) ceiling &= ~WRITE;
  return {
    ...anonymousTraits(rights, ceiling),
    type: request.type ?? 0,
    shared,
    object,
    locked: request.locked ?? space.lockFuture,
    growsDown: request.growsDown ?? false,
    guard: request.guardPages ?? 0,
    leftOutOfClones: request.onClone === "skip",
    wipedInClones: request.onClone === "wipe",
    accounted: request.accounted !== false && !shared && (rights & WRITE) !== 0,
    exempt: request.accounted === false,
    writeNotify: request.writeNotify ?? false,
    placement: request.frames ?? null,
  };
}

function refuseTraits(space: AddressSpace, traits: RegionTraits, request: MapRequest, pages: number): Refusal | null {
  if ((traits.rights & ~traits.ceiling) !== 0)
    return traits.object instanceof AnonymousObject && !traits.object.isWritable ? "sealed" : "rights";
  const { limits, vmm } = space;
  if (!vmm.allowsWriteExecute(traits.rights)) return "write-execute";
  if (traits.wipedInClones && traits.object !== null) return "not-anonymous";
  if (space.mappedPages + pages > limits.pages && pagesAfter(space, request, pages) > limits.pages) return "size-limit";
  if (traits.locked !== "none" && space.lockedPages + pages > limits.lockedPages) return "lock-limit";
  const first = (request.offset ?? 0) / PAGE_SIZE;
  if (traits.object !== null && !vmm.types.allowsObject(traits.object, traits.type, first, pages))
    return "type-conflict";
  return null;
}

/** Pages that the space has mapped once `pages` are mapped by a request. */
function pagesAfter(space: AddressSpace, request: MapRequest, pages: number): number {
  const start = (request.address ?? 0) / PAGE_SIZE;
  const replaced = request.placement === "fixed" ? replacedPages(space, start, start + pages, () => true) : 0;
  return space.mappedPages + pages - replaced;
}

/** Pages of `[start, end)` in regions of which `counts` holds. */
export function replacedPages(space: AddressSpace, start: Vpn, end: Vpn, counts: (region: Region) => boolean): number {
  let pages = 0;
  for (const region of space.regions.within(start, end))
    if (counts(region)) pages += Math.min(region.end, end) - Math.max(region.start, start);
  return pages;
}

/** Whether a region's pages count against the commit limit. */
export function isAccounted({ accounted }: Region): boolean {
  return accounted;
}

function join(space: AddressSpace, lower: Region, upper: Region): Region {
  const { end, object } = upper;
  space.regions.remove(upper);
  space.regions.resize(lower, lower.start, end);
  if (object !== null) {
    lower.lastFault = Math.max(lower.lastFault, upper.lastFault);
    object.detach(upper);
  }
  return lower;
}

function randomBelow(space: AddressSpace, bound: number): number {
  const { random } = space.vmm.core;
  const fraction = (random.uint32() * 2097152 + (random.uint32() & 2097151)) / 2 ** 53;
  return Math.floor(fraction * bound);
}
