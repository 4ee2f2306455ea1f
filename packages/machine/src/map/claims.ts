/**
 * Address space for devices: finds room that is neither memory nor another device's, claims it in the map under the
 * claimer's name, and releases it again.
 *
 * Invariant: every claim is one overlay of the map, and no two claims overlap.
 */
import { invariant, MachineError } from "../errors.ts";
import { alignDown, alignUp, hexOf, isPowerOfTwo, PHYSICAL_LIMIT } from "../units.ts";
import type { PhysAddr } from "../units.ts";
import type { MapNode } from "./node.ts";
import { LAYER } from "./physical-map.ts";
import type { PhysicalMap } from "./physical-map.ts";
import { traitsOf } from "./region.ts";
import type { Cacheability, MmioDevice } from "./region.ts";
import { gapsWithin } from "./summary.ts";
import type { Snapshotted } from "../system/snapshotted.ts";

/** What a device asks for. */
export interface SpaceWish {
  /** Bytes, more than 0. */
  readonly size: number;
  /** Alignment of the base in bytes, a power of two. Default: `size` rounded up to a power of two, as BARs need. */
  readonly alignment?: number;
  /** The window lies at or above this address. Default 1 MiB: below it is the legacy area. */
  readonly above?: PhysAddr;
  /** The window ends at or below this address. Default 4 GiB. */
  readonly below?: PhysAddr;
  /** Windows to stay within, as bridges have them; default: anywhere between `above` and `below`. */
  readonly within?: readonly AddressWindow[];
  /** Whether to take the lowest or the highest place that fits. Default `lowest`. */
  readonly place?: "lowest" | "highest";
}

/** A half-open range of physical addresses. */
export interface AddressWindow {
  /** First byte. */
  readonly start: PhysAddr;
  /** One past the last byte. */
  readonly end: PhysAddr;
}

/** A claimed window. */
export interface Claim extends AddressWindow {
  /** Who claimed it. */
  readonly owner: string;
  /** Its node in the map. */
  readonly node: MapNode;
}

/** Claims as plain data: the node by its number. */
export type ClaimsState = readonly (Omit<Claim, "node"> & { readonly node: number })[];

/** How a window is claimed. */
export interface ClaimTraits {
  /** Who claims it; printouts and errors say this name. */
  readonly owner: string;
  /** Who answers accesses there; null or absent: reads as all ones. */
  readonly device?: MmioDevice | null;
  /** How it may be cached. Default `uncachable`. */
  readonly cacheability?: Cacheability;
}

/** The devices' share of a physical address map. */
export class AddressClaims implements Snapshotted<ClaimsState> {
  readonly #map: PhysicalMap;
  #claims: Claim[] = [];

  /** Creates an empty set of claims over `map`. */
  constructor(map: PhysicalMap) {
    this.#map = map;
  }

  /** The claims in the order in which they were made. */
  get claims(): readonly Claim[] {
    return this.#claims;
  }

  /**
   * Returns a base at which `wish` fits, or −1 when there is no such place. Memory, ROM, reserved ranges, places for
   * hot-plugged memory and other devices are avoided. `bad-argument` for a size or alignment that makes no sense.
   */
  find(wish: SpaceWish): PhysAddr | -1 {
    const alignment = wish.alignment ?? 2 ** Math.ceil(Math.log2(Math.max(wish.size, 1)));
    if (!(wish.size > 0) || !Number.isSafeInteger(wish.size) || wish.size > PHYSICAL_LIMIT)
      throw new MachineError("bad-argument", `A window of ${wish.size} bytes cannot be found`, { ...wish });
    if (!isPowerOfTwo(alignment))
      throw new MachineError("bad-argument", `The alignment ${alignment} is no power of two`, { ...wish });
    const above = wish.above ?? 2 ** 20;
    const below = Math.min(wish.below ?? 2 ** 32, PHYSICAL_LIMIT);
    const taken = this.#map.regions().map(({ start, end }) => ({ base: start, end }));
    const windows = wish.within ?? [{ start: above, end: below }];
    let best = -1;
    for (const window of windows) {
      for (const gap of gapsWithin(taken, Math.max(window.start, above), Math.min(window.end, below))) {
        const lowest = alignUp(gap.base, alignment);
        const highest = alignDown(gap.end - wish.size, alignment);
        if (lowest + wish.size > gap.end) continue;
        if (wish.place === "highest") best = Math.max(best, highest);
        else best = best < 0 ? lowest : Math.min(best, lowest);
      }
    }
    return best;
  }

  /**
   * Claims `[start, start + size)`. Throws `double-claim` when another device has part of it, `overlap` when memory or
   * firmware has; both parties are named and nothing changes.
   */
  claim(start: PhysAddr, size: number, traits: ClaimTraits): Claim {
    const end = start + size;
    const other = this.#claims.find((claim) => claim.start < end && claim.end > start);
    if (other !== undefined)
      throw new MachineError(
        "double-claim",
        `${traits.owner} claims [${hexOf(start)}, ${hexOf(end)}), of which ${other.owner} has [${hexOf(other.start)}, ${hexOf(other.end)})`,
        { owner: traits.owner, start, end, other: other.owner, otherStart: other.start, otherEnd: other.end },
      );
    const [region] = this.#map.overlapping(start, end);
    if (region !== undefined)
      throw new MachineError(
        "overlap",
        `${traits.owner} claims [${hexOf(start)}, ${hexOf(end)}), where ${region.owner} has ${region.kind} at [${hexOf(region.start)}, ${hexOf(region.end)})`,
        {
          owner: traits.owner,
          start,
          end,
          other: region.owner,
          kind: region.kind,
          otherStart: region.start,
          otherEnd: region.end,
        },
      );
    const device = traits.device ?? null;
    const cacheability = traits.cacheability ?? "uncachable";
    const node = this.#map.overlay(start, end, traitsOf("mmio", traits.owner, { device, cacheability }), LAYER.claim);
    const claim: Claim = { start, end, owner: traits.owner, node };
    this.#claims.push(claim);
    return claim;
  }

  /** Finds room and claims it; throws `no-address-space` when there is none. */
  allocate(wish: SpaceWish, traits: ClaimTraits): Claim {
    const start = this.find(wish);
    if (start < 0)
      throw new MachineError("no-address-space", `No room for ${wish.size} bytes for ${traits.owner}`, {
        ...wish,
        owner: traits.owner,
      });
    return this.claim(start, wish.size, traits);
  }

  /** Gives a window back; throws `bad-argument` when it is not claimed. */
  release(claim: Claim): void {
    const at = this.#claims.findIndex(
      ({ start, end, owner }) => start === claim.start && end === claim.end && owner === claim.owner,
    );
    const held = this.#claims[at];
    if (held === undefined)
      throw new MachineError(
        "bad-argument",
        `[${hexOf(claim.start)}, ${hexOf(claim.end)}) of ${claim.owner} is not claimed`,
        {
          start: claim.start,
          end: claim.end,
          owner: claim.owner,
        },
      );
    this.#claims.splice(at, 1);
    this.#map.remove(held.node);
  }

  /** Snapshotted: who holds what. */
  saveState(): ClaimsState {
    return this.#claims.map((claim) => ({ ...claim, node: this.#map.idOf(claim.node) }));
  }

  /** Snapshotted: who held what; the map is restored before. */
  restoreState(state: ClaimsState): void {
    this.#claims = state.map((claim) => ({ ...claim, node: this.#map.nodeOf(claim.node) }));
  }

  /** Throws `broken-invariant` unless claims are disjoint and each is in the map under its owner's name. */
  check(): void {
    const sorted = this.#claims.toSorted((a, b) => a.start - b.start);
    sorted.forEach((claim, index) => {
      const next = sorted[index + 1];
      invariant(
        next === undefined || claim.end <= next.start,
        `claims of ${claim.owner} and ${next?.owner ?? ""} are disjoint`,
      );
      invariant(this.#map.nodes.includes(claim.node), `the claim of ${claim.owner} is in the map`);
      invariant(this.#map.find(claim.start)?.owner === claim.owner, `${claim.owner} is seen at ${hexOf(claim.start)}`);
    });
  }
}
