/**
 * Everything that a manager knows of its memory, at one moment: per region, space, object, node and policy, and in all.
 *
 * ```
 *  sum of proportionalPages over spaces = over nodes = system.proportionalPages = system.uniquePages + system.sharedPages
 *  sum of residentPages over nodes = system.residentPages, in which those that nobody maps are too
 * ```
 */
import type { Core } from "../core.ts";
import type { ObjectKind } from "../objects/object.ts";
import { addUsage, emptyUsage, usageByRegion, type RegionReport, type UsageReport } from "../space/report.ts";
import type { Pfn } from "../units.ts";
import { CountedPage, emptyCount, forEachPage, type PageCount } from "./page-count.ts";

/** A space's pages. */
export interface SpaceReport extends UsageReport {
  /** Its number. */
  readonly asid: number;
  /** Its name, empty if it has none. */
  readonly name: string;
  /** Its regions, by address. */
  readonly regions: readonly RegionReport[];
}

/** An object's pages. */
export interface ObjectReport extends PageCount {
  /** Its number. */
  readonly number: number;
  /** What it is. */
  readonly kind: ObjectKind;
  /** Pages within its size. */
  readonly virtualPages: number;
}

/** A NUMA node's pages. */
export interface NodeReport extends PageCount {
  /** The node; −1: unknown. */
  readonly node: number;
  /** Places of spaces that have or map pages on it. */
  virtualPages: number;
}

/** What the replacement policy has to choose from. */
export interface PolicyReport extends PageCount {
  /** Its name. */
  readonly name: string;
  /** Places of spaces that have or map pages it knows. */
  readonly virtualPages: number;
  /** Pages that it let go so far. */
  readonly evictions: number;
  /** Times that accessed bits were gathered for it. */
  readonly harvests: number;
}

/** The system's pages. */
export interface SystemReport extends PageCount {
  /** Pages of all regions. */
  readonly virtualPages: number;
  /** Frames that hold no page: zeroed in advance, or waiting for processors. */
  readonly idleFrames: number;
  /** Pages that are promised frames or swap. */
  readonly committedPages: number;
}

/** Everything at one moment. */
export interface MemoryReport {
  /** In all. */
  readonly system: SystemReport;
  /** By space, the kernel's included. */
  readonly spaces: readonly SpaceReport[];
  /** All spaces together; pages that several have count for each. */
  readonly allSpaces: UsageReport;
  /** By object. */
  readonly objects: readonly ObjectReport[];
  /** By NUMA node, where frames are. */
  readonly nodes: readonly NodeReport[];
  /** What the policy knows. */
  readonly policy: PolicyReport;
}

/** Counts everything. O(pages that regions have + page records + translations). */
export function reportOf(core: Core, committedPages: number, nodeOf: (pfn: Pfn) => number): MemoryReport {
  const spaces = [...core.spaces.values()].map((space) => {
    const regions = usageByRegion(space);
    const usage = emptyUsage();
    for (const region of regions) addUsage(usage, region);
    return { ...usage, asid: space.asid, name: space.name, regions };
  });
  const allSpaces = emptyUsage();
  for (const usage of spaces) addUsage(allSpaces, usage);
  const objects = new Map(
    [...core.objects.values()].map((object) => [
      object.number,
      { ...emptyCount(), number: object.number, kind: object.kind, virtualPages: object.pageCount },
    ]),
  );
  const nodes = new Map<number, NodeReport>();
  const policy = { ...emptyCount(), virtualPages: 0 };
  const system = emptyCount();
  const counted = new CountedPage(core);
  forEachPage(core, (page) => {
    const { pages } = core;
    counted.look(page);
    counted.addTo(system);
    const object = objects.get(pages.owner[page]!);
    if (object !== undefined) counted.addTo(object);
    if (!pages.isResident(page)) return;
    if (pages.holds[page] === 0) {
      counted.addTo(policy);
      policy.virtualPages += counted.places;
    }
    const node = nodeOf(pages.pfn[page]!);
    const count = nodes.get(node) ?? { ...emptyCount(), node, virtualPages: 0 };
    nodes.set(node, count);
    counted.addTo(count);
    count.virtualPages += counted.places;
  });
  const { evictions, harvests } = core.stats;
  const idleFrames = core.keeper.stocked + (core.quarantine?.held ?? 0);
  return {
    system: { ...system, virtualPages: allSpaces.virtualPages, idleFrames, committedPages },
    spaces,
    allSpaces,
    objects: [...objects.values()],
    nodes: [...nodes.values()].sort((a, b) => a.node - b.node),
    policy: { ...policy, name: core.policy.name, evictions, harvests },
  };
}
