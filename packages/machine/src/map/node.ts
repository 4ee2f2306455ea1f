/**
 * The tree from which the physical map is made, in the manner of QEMU's memory API: a node has a place in its parent, a
 * priority among its siblings, and is a region (it has traits), a container (it has none), or an alias (a window onto
 * another node). Children lie over their parent; among siblings the higher priority wins, then the later one.
 */
import type { PhysAddr } from "../units.ts";
import type { Region, RegionTraits } from "./region.ts";

/** A node of the tree; offsets and sizes in bytes. */
export interface MapNode {
  /** What printouts call it. */
  readonly name: string;
  /** Its first byte, relative to its parent's. */
  readonly offset: number;
  /** Its bytes. */
  readonly size: number;
  /** The higher one lies over the lower one. */
  readonly priority: number;
  /** What it is; null for a container or an alias. */
  readonly traits: RegionTraits | null;
  /** What an alias shows; null for others. */
  readonly alias: AliasOf | null;
  /** Nodes within, in the order in which they were added. */
  readonly children: readonly MapNode[];
}

/** What an alias shows. */
export interface AliasOf {
  /** The node that is shown. */
  readonly target: MapNode;
  /** The first byte of the target that is shown. */
  readonly from: number;
  /** The physical address at which the target's first byte is kept: two views of one home share their bytes. */
  readonly home: PhysAddr;
}

/** A view being made: disjoint regions sorted by start. */
type View = Region[];

/** Returns the parts of `[start, end)` that no region of `view` covers. */
function uncovered(view: View, start: number, end: number): [number, number][] {
  const out: [number, number][] = [];
  let at = start;
  for (const region of view) {
    if (region.end <= at) continue;
    if (region.start >= end) break;
    if (region.start > at) out.push([at, region.start]);
    at = region.end;
    if (at >= end) return out;
  }
  if (at < end) out.push([at, end]);
  return out;
}

function insert(view: View, regions: readonly Region[]): void {
  view.push(...regions);
  view.sort((a, b) => a.start - b.start);
}

/** A node placed in the address space: where it would start, what of it may be seen, where its bytes are kept. */
interface Placement {
  readonly at: PhysAddr;
  readonly from: PhysAddr;
  readonly to: PhysAddr;
  readonly backingShift: number;
  readonly depth: number;
}

const MAX_DEPTH = 32;

function render(node: MapNode, place: Placement, view: View): void {
  const start = Math.max(place.at, place.from);
  const end = Math.min(place.at + node.size, place.to);
  if (start >= end || place.depth > MAX_DEPTH) return;
  const inner = { ...place, from: start, to: end, depth: place.depth + 1 };
  if (node.alias !== null) {
    const shift = place.at - node.alias.from;
    render(node.alias.target, { ...inner, at: shift, backingShift: shift - node.alias.home }, view);
    return;
  }
  const order = node.children
    .map((child, index) => ({ child, index }))
    .sort((a, b) => b.child.priority - a.child.priority || b.index - a.index);
  for (const { child } of order) render(child, { ...inner, at: place.at + child.offset }, view);
  const { traits } = node;
  if (traits === null) return;
  insert(
    view,
    uncovered(view, start, end).map(([from, to]) => ({
      ...traits,
      start: from,
      end: to,
      backing: from - place.backingShift,
      origin: place.at,
    })),
  );
}

/**
 * Returns the tree as disjoint regions in ascending order: what is really seen at each address. Adjacent regions of
 * equal traits stay apart when different nodes made them. An alias of itself is cut at a depth of 32.
 */
export function flatten(root: MapNode): readonly Region[] {
  const view: View = [];
  render(root, { at: root.offset, from: 0, to: root.size, backingShift: 0, depth: 0 }, view);
  return view;
}
