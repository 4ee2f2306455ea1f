/**
 * The regions of a space in order of address: an AVL tree (Adelson-Velsky and Landis, 1962) whose nodes are the regions themselves.
 *
 * A region keeps its guard pages, and a stack the gap below it, as far as the next region. Every node knows where what
 * its subtree keeps begins and ends, and the greatest gap between two neighbours in it, so a gap of n pages is found in O(log n)
 * regions, from below or from above:
 *
 * ```
 *  gap(node) = max(gap(left), node.keptFrom − left.last, right.first − node.keptTo, gap(right))
 * ```
 */
import { VmmError } from "../errors.ts";
import type { Vpn } from "../units.ts";
import type { Region } from "./region.ts";

/** Regions in order, none overlapping. */
export class RegionTree {
  #root: Region | null = null;
  #count = 0;
  /** The region found last: most faults come from where the last one came from. */
  #recent: Region | null = null;

  /** Regions in the tree. */
  get count(): number {
    return this.#count;
  }

  /** The region that covers a page, null if none does. O(1) where the last call found it, else O(log n). */
  find(vpn: Vpn): Region | null {
    const recent = this.#recent;
    if (recent !== null && vpn >= recent.start && vpn < recent.end) return recent;
    let node = this.#root;
    while (node !== null) {
      if (vpn < node.start) node = node.left;
      else if (vpn < node.end) {
        this.#recent = node;
        return node;
      } else node = node.right; // NaN, the address of what was refused, ends up here.
    }
    return null;
  }

  /** The first region that ends after a page: the one that covers it or the next above. */
  findFrom(vpn: Vpn): Region | null {
    let node = this.#root;
    let best: Region | null = null;
    while (node !== null) {
      if (node.end > vpn) {
        best = node;
        node = node.left;
      } else node = node.right;
    }
    return best;
  }

  /** The last region that starts below a page. */
  findBelow(vpn: Vpn): Region | null {
    let node = this.#root;
    let best: Region | null = null;
    while (node !== null) {
      if (node.start < vpn) {
        best = node;
        node = node.right;
      } else node = node.left;
    }
    return best;
  }

  /** The region after this one, null at the end. */
  after(region: Region): Region | null {
    return this.findFrom(region.end);
  }

  /** Adds a region that overlaps none. */
  insert(region: Region): void {
    region.left = null;
    region.right = null;
    refresh(region);
    this.#root = insertUnder(this.#root, region);
    this.#count++;
  }

  /** Takes a region out. */
  remove(region: Region): void {
    this.#root = removeUnder(this.#root, region);
    this.#count--;
    if (this.#recent === region) this.#recent = null;
  }

  /** Moves the ends of a region in the tree; it may not pass a neighbour. The offset is the caller's. */
  resize(region: Region, start: Vpn, end: Vpn): void {
    const key = region.start;
    region.start = start;
    region.end = end;
    refreshPath(this.#root, region, key);
  }

  /** Whether no region touches `[start, end)`. */
  isFree(start: Vpn, end: Vpn): boolean {
    const next = this.findFrom(start);
    return next === null || next.start >= end;
  }

  /** Whether no region touches `[start, end)`, nor does a guard page of one. The gap of a stack may. */
  isUnguarded(start: Vpn, end: Vpn): boolean {
    const below = this.findBelow(start);
    const next = this.findFrom(start);
    return (below === null || below.keptTo <= start) && (next === null || next.start - next.guard >= end);
  }

  /** Whether no region touches `[start, end)`, nor does a page that one keeps. */
  isOpen(start: Vpn, end: Vpn): boolean {
    const next = this.findFrom(start);
    return this.isUnguarded(start, end) && (next === null || next.keptFrom >= end);
  }

  /**
   * The lowest start in `[low, high)` of a region with `need` pages there that no region keeps: `below` of them lie below the start,
   * which is a multiple of `alignment`. −1 if there is none.
   */
  lowestGap(low: Vpn, high: Vpn, need: number, alignment: number, below: number): Vpn {
    return lowestUnder(this.#root, low, high, { need, alignment, below }, null, null);
  }

  /** The highest such start; −1 if there is none. */
  highestGap(low: Vpn, high: Vpn, need: number, alignment: number, below: number): Vpn {
    return highestUnder(this.#root, low, high, { need, alignment, below }, null, null);
  }

  /** All regions that touch `[start, end)`, ascending. */
  within(start: Vpn, end: Vpn): Region[] {
    const found: Region[] = [];
    collect(this.#root, start, end, found);
    return found;
  }

  /** Walks everything; throws with the sentence of the broken invariant. */
  check(): void {
    let count = 0;
    let last = -Infinity;
    const walk = (node: Region | null): void => {
      if (node === null) return;
      walk(node.left);
      if (node.start < last) throw new VmmError("invariant", "Two regions overlap.", { start: node.start });
      if (node.end <= node.start) throw new VmmError("invariant", "A region is empty.", { start: node.start });
      last = node.end;
      count++;
      walk(node.right);
      const { height, first, last: end, gap } = node;
      refresh(node);
      if (node.height !== height || node.first !== first || node.last !== end || node.gap !== gap)
        throw new VmmError("invariant", "A region's summary of its subtree is out of date.", { start: node.start });
      if (Math.abs(heightOf(node.left) - heightOf(node.right)) > 1)
        throw new VmmError("invariant", "The region tree is out of balance.", { start: node.start });
    };
    walk(this.#root);
    if (count !== this.#count) throw new VmmError("invariant", "The region count is wrong.", { count });
  }
}

/** What a gap has to hold. */
interface Wanted {
  /** Pages in all. */
  readonly need: number;
  /** Pages of which the region's start is a multiple. */
  readonly alignment: number;
  /** Those of the pages that lie below the region's start. */
  readonly below: number;
}

/** The least multiple of `alignment` at or above `vpn`. */
export function alignUp(vpn: Vpn, alignment: number): Vpn {
  return alignment === 1 ? vpn : Math.ceil(vpn / alignment) * alignment;
}

function alignDown(vpn: Vpn, alignment: number): Vpn {
  return alignment === 1 ? vpn : Math.floor(vpn / alignment) * alignment;
}

function heightOf(node: Region | null): number {
  return node === null ? 0 : node.height;
}

/** Computes the summary of a node from its children. */
function refresh(node: Region): void {
  const { left, right } = node;
  let height = 0;
  let gap = 0;
  const { keptFrom, keptTo } = node;
  node.first = keptFrom;
  node.last = keptTo;
  if (left !== null) {
    height = left.height;
    gap = Math.max(left.gap, keptFrom - left.last);
    node.first = left.first;
  }
  if (right !== null) {
    if (right.height > height) height = right.height;
    gap = Math.max(gap, right.gap, right.first - keptTo);
    node.last = right.last;
  }
  node.height = height + 1;
  node.gap = gap;
}

function rotateRight(node: Region, left: Region): Region {
  node.left = left.right;
  left.right = node;
  refresh(node);
  refresh(left);
  return left;
}

function rotateLeft(node: Region, right: Region): Region {
  node.right = right.left;
  right.left = node;
  refresh(node);
  refresh(right);
  return right;
}

/** Refreshes a node whose children changed by one insertion or removal, and rebalances it. */
function balance(node: Region): Region {
  const { left, right } = node;
  const lean = heightOf(left) - heightOf(right);
  if (lean > 1 && left !== null) {
    if (heightOf(left.left) < heightOf(left.right) && left.right !== null) node.left = rotateLeft(left, left.right);
    return rotateRight(node, node.left ?? left);
  }
  if (lean < -1 && right !== null) {
    if (heightOf(right.right) < heightOf(right.left) && right.left !== null)
      node.right = rotateRight(right, right.left);
    return rotateLeft(node, node.right ?? right);
  }
  refresh(node);
  return node;
}

function insertUnder(node: Region | null, region: Region): Region {
  if (node === null) return region;
  if (region.start < node.start) node.left = insertUnder(node.left, region);
  else node.right = insertUnder(node.right, region);
  return balance(node);
}

function removeUnder(node: Region | null, region: Region): Region | null {
  if (node === null)
    throw new VmmError("invariant", "A region that is not in the tree was removed.", { start: region.start });
  if (node === region) {
    const { left, right } = node;
    if (left === null || right === null) return left ?? right;
    let next = right;
    while (next.left !== null) next = next.left;
    next.right = removeUnder(right, next);
    next.left = left;
    return balance(next);
  }
  if (region.start < node.start) node.left = removeUnder(node.left, region);
  else node.right = removeUnder(node.right, region);
  return balance(node);
}

function refreshPath(node: Region | null, region: Region, key: Vpn): void {
  if (node === null)
    throw new VmmError("invariant", "A region that is not in the tree was resized.", { start: region.start });
  if (node !== region) refreshPath(key < node.start ? node.left : node.right, region, key);
  refresh(node);
}

/** Whether a gap of `need` pages from `low` on may lie below a node: nothing of its left subtree lies in the way, or something in it or at its edges is wide enough. */
function mayHoldBelow({ left, keptFrom }: Region, low: Vpn, need: number): boolean {
  return left === null || left.gap >= need || left.first > low || keptFrom - left.last >= need;
}

/** The same above a node, for gaps that end at `high` at the latest. */
function mayHoldAbove({ right, keptTo }: Region, high: Vpn, need: number): boolean {
  return right === null || right.gap >= need || right.last < high || right.first - keptTo >= need;
}

/** Searches under a node; `prev` and `next` are the regions that enclose its subtree. */
function lowestUnder(
  node: Region | null,
  low: Vpn,
  high: Vpn,
  wanted: Wanted,
  prev: Region | null,
  next: Region | null,
): Vpn {
  const { need, alignment, below } = wanted;
  if (high - low < need) return -1;
  if (node === null) {
    const start = alignUp((prev === null ? low : Math.max(low, prev.keptTo)) + below, alignment);
    return start - below + need <= (next === null ? high : Math.min(high, next.keptFrom)) ? start : -1;
  }
  const { left, right } = node;
  if (low < node.start && mayHoldBelow(node, low, need)) {
    const found = lowestUnder(left, low, Math.min(high, node.start), wanted, prev, node);
    if (found !== -1) return found;
  }
  if (high <= node.end) return -1;
  if (mayHoldAbove(node, high, need)) return lowestUnder(right, Math.max(low, node.end), high, wanted, node, next);
  return -1;
}

/** Searches under a node from above. */
function highestUnder(
  node: Region | null,
  low: Vpn,
  high: Vpn,
  wanted: Wanted,
  prev: Region | null,
  next: Region | null,
): Vpn {
  const { need, alignment, below } = wanted;
  if (high - low < need) return -1;
  if (node === null) {
    const start = alignDown((next === null ? high : Math.min(high, next.keptFrom)) - need + below, alignment);
    return start - below >= (prev === null ? low : Math.max(low, prev.keptTo)) ? start : -1;
  }
  const { left, right } = node;
  if (high > node.end && mayHoldAbove(node, high, need)) {
    const found = highestUnder(right, Math.max(low, node.end), high, wanted, node, next);
    if (found !== -1) return found;
  }
  if (low >= node.start) return -1;
  if (mayHoldBelow(node, low, need)) return highestUnder(left, low, Math.min(high, node.start), wanted, prev, node);
  return -1;
}

function collect(node: Region | null, start: Vpn, end: Vpn, found: Region[]): void {
  if (node === null || node.last <= start || node.first >= end) return;
  collect(node.left, start, end, found);
  if (node.start < end && node.end > start) found.push(node);
  collect(node.right, start, end, found);
}
