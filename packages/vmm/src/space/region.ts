/**
 * A region: a mapped page range of a space, everything in it with the same rights, object and treatment.
 */
import type { MemoryObject } from "../objects/object.ts";
import type { MemoryType } from "../rights.ts";
import { noEvents, type Events } from "../statistics/events.ts";
import type { Vpn } from "../units.ts";
import type { FramePlacement } from "./frame-placement.ts";

/** How a region's pages are going to be used; steers read-ahead and reclaim. */
export type AccessPattern = "normal" | "sequential" | "random";

/** What a clone of the space gets for a new region: a copy, nothing, or the same range reading as zero. */
export type CloneTreatment = "copy" | "skip" | "wipe";

/** How strictly the region's pages stay resident: not at all, all of them, or those that have been touched. */
export type LockState = "none" | "all" | "touched";

/** Pages kept free below a region that grows down, above a neighbour that can be used and is no such region itself. */
export const STACK_GAP = 256;

/** Everything about a region but its place. */
export interface RegionTraits {
  /** READ, WRITE, EXECUTE, USER bits that hold now. */
  rights: number;
  /** The most that `protect` may ever grant. */
  ceiling: number;
  /** Memory type of its translations. */
  type: MemoryType;
  /** Stores reach the object (and so all its users); otherwise they are private to the space. */
  shared: boolean;
  /** What is mapped; null for private anonymous memory. */
  object: MemoryObject | null;
  /** Residency. */
  locked: LockState;
  /** A fault just below makes the region grow down, up to the guard gap. */
  growsDown: boolean;
  /** Pages that are kept free on both sides, as far as the next region. */
  guard: number;
  /** Expected use. */
  pattern: AccessPattern;
  /** A clone has nothing there. */
  leftOutOfClones: boolean;
  /** A clone has the same range there, but it reads as zero; counts for nothing where the region is left out. */
  wipedInClones: boolean;
  /** Whether 2M pages may be used: `default` is the manager's choice. */
  large: "default" | "yes" | "no";
  /** No operation may change or remove the region. */
  sealed: boolean;
  /** Its private pages count against the commit limit. */
  accounted: boolean;
  /** They never do, whatever rights the region gets. */
  exempt: boolean;
  /** Stores to present pages are asked of the object's pager first. */
  writeNotify: boolean;
  /** Which frames private pages get; null: any. */
  placement: FramePlacement | null;
}

/** A mapped page range. Also the node of the region tree. */
export class Region implements RegionTraits {
  start: Vpn;
  end: Vpn;
  /** Page of the object that lies at `start`. */
  offset: number;
  rights: number;
  ceiling: number;
  type: MemoryType;
  shared: boolean;
  object: MemoryObject | null;
  locked: LockState;
  growsDown: boolean;
  guard: number;
  pattern: AccessPattern;
  leftOutOfClones: boolean;
  wipedInClones: boolean;
  large: "default" | "yes" | "no";
  sealed: boolean;
  accounted: boolean;
  exempt: boolean;
  writeNotify: boolean;
  placement: FramePlacement | null;
  /** What happened here since the region was mapped, cut off from another one or moved; what it takes in when two are merged is not in it. */
  readonly events: Events = noEvents();
  /** Last object page that was faulted in here, for read-ahead; −1 at first. */
  lastFault: number;
  /** Pages that the next read-ahead fetches. */
  ahead: number;

  // The tree: the pages that its subtree's outermost regions keep, and the greatest gap between what two neighbours of it keep.
  left: Region | null;
  right: Region | null;
  height: number;
  first: Vpn;
  last: Vpn;
  gap: number;

  /** A region of `[start, end)` with these traits. */
  constructor(start: Vpn, end: Vpn, offset: number, traits: Readonly<RegionTraits>) {
    this.start = start;
    this.end = end;
    this.offset = offset;
    this.rights = traits.rights;
    this.ceiling = traits.ceiling;
    this.type = traits.type;
    this.shared = traits.shared;
    this.object = traits.object;
    this.locked = traits.locked;
    this.growsDown = traits.growsDown;
    this.guard = traits.guard;
    this.pattern = traits.pattern;
    this.leftOutOfClones = traits.leftOutOfClones;
    this.wipedInClones = traits.wipedInClones;
    this.large = traits.large;
    this.sealed = traits.sealed;
    this.accounted = traits.accounted;
    this.exempt = traits.exempt;
    this.writeNotify = traits.writeNotify;
    this.placement = traits.placement;
    this.lastFault = -1;
    this.ahead = 0;
    this.left = null;
    this.right = null;
    this.height = 1;
    this.first = start;
    this.last = end;
    this.gap = 0;
  }

  /** Pages of the region. */
  get pages(): number {
    return this.end - this.start;
  }

  /** First page that gap searches leave to this region: its guard pages, or the gap below a stack. */
  get keptFrom(): Vpn {
    return this.start - keptBelow(this.growsDown, this.guard);
  }

  /** End of the pages that gap searches leave to this region. */
  get keptTo(): Vpn {
    return this.end + this.guard;
  }

  /** Page of the object that lies at `vpn`. */
  indexOf(vpn: Vpn): number {
    return this.offset + (vpn - this.start);
  }
}

/** Pages that gap searches leave free below a region. */
export function keptBelow(growsDown: boolean, guard: number): number {
  return growsDown && guard < STACK_GAP ? STACK_GAP : guard;
}

/** Private memory without an object, readable and writable with the given rights: what most regions are. */
export function anonymousTraits(rights: number, ceiling: number): RegionTraits {
  return {
    rights,
    ceiling,
    type: 0,
    shared: false,
    object: null,
    locked: "none",
    growsDown: false,
    guard: 0,
    pattern: "normal",
    leftOutOfClones: false,
    wipedInClones: false,
    large: "default",
    sealed: false,
    accounted: true,
    exempt: false,
    writeNotify: false,
    placement: null,
  };
}

/** Whether two regions may be one: neighbours with the same traits, and the object's pages in a row. */
export function canMerge(a: Region, b: Region): boolean {
  return (
    a.end === b.start
    && a.rights === b.rights
    && a.object === b.object
    && (a.object === null || a.offset + a.pages === b.offset)
    && a.shared === b.shared
    && a.ceiling === b.ceiling
    && a.type === b.type
    && a.locked === b.locked
    && a.growsDown === b.growsDown
    && a.guard === b.guard
    && a.pattern === b.pattern
    && a.leftOutOfClones === b.leftOutOfClones
    && a.wipedInClones === b.wipedInClones
    && a.large === b.large
    && a.sealed === b.sealed
    && a.accounted === b.accounted
    && a.exempt === b.exempt
    && a.writeNotify === b.writeNotify
    && a.placement === b.placement
  );
}
