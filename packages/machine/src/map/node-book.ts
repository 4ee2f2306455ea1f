/**
 * The nodes of a map as snapshots see them: every node that is or was in the map has a number, by which those who hold nodes
 * (claims, PCI, memory modules) save and find them, and every device has a name. After a restore the node of a number may be
 * another object than before: what counts is the number.
 *
 * Nodes never change, so a node that is here as a snapshot describes it stays itself.
 */
import { MachineError } from "../errors.ts";
import { Names } from "../system/names.ts";
import type { PhysAddr } from "../units.ts";
import type { MapNode } from "./node.ts";
import type { MmioDevice, RegionTraits } from "./region.ts";

/** A node as plain data. */
export interface MapNodeState {
  /** Its number. */
  readonly id: number;
  /** See {@link MapNode}. */
  readonly name: string;
  /** See {@link MapNode}. */
  readonly offset: number;
  /** See {@link MapNode}. */
  readonly size: number;
  /** See {@link MapNode}. */
  readonly priority: number;
  /** Its traits, the device by name. */
  readonly traits: (Omit<RegionTraits, "device"> & { readonly device: string | null }) | null;
  /** What an alias shows, the target by number. */
  readonly alias: { readonly target: number; readonly from: number; readonly home: PhysAddr } | null;
  /** Its children, by number. */
  readonly children: readonly number[];
}

/** A map's tree as plain data. */
export interface MapTreeState {
  /** The top nodes, by number, in order. */
  readonly roots: readonly number[];
  /** They and everything that they refer to. */
  readonly nodes: readonly MapNodeState[];
  /** The number that the next node gets. */
  readonly next: number;
}

type Mutable<T> = { -readonly [K in keyof T]: T[K] };

function isSame(a: MapNodeState, b: MapNodeState): boolean {
  return JSON.stringify(a) === JSON.stringify(b);
}

/** Numbers nodes and names devices. */
export class NodeBook {
  /** The devices of the map. */
  readonly devices: Names<MmioDevice> = new Names<MmioDevice>("device");
  readonly #ids = new WeakMap<MapNode, number>();
  readonly #nodes = new Map<number, MapNode>();
  #next = 0;

  /** Notes a node and everything that it refers to. */
  note(node: MapNode): void {
    const known = this.#ids.get(node);
    if (known !== undefined && this.#nodes.get(known) === node) return;
    const id = known !== undefined && !this.#nodes.has(known) ? known : this.#next++;
    this.#ids.set(node, id);
    this.#nodes.set(id, node);
    const { traits, alias, children } = node;
    if (traits?.device !== undefined && traits.device !== null) this.devices.add(traits.device, traits.owner);
    if (alias !== null) this.note(alias.target);
    for (const child of children) this.note(child);
  }

  /** Notes that a top node left the map; it keeps its number, should it or a snapshot of it come back. */
  forget(node: MapNode): void {
    this.#nodes.delete(this.idOf(node));
  }

  /** Returns the number of a node; throws `bad-argument` for one that was never in the map. */
  idOf(node: MapNode): number {
    const id = this.#ids.get(node);
    if (id === undefined)
      throw new MachineError("bad-argument", `The node ${node.name} was never in this map`, { name: node.name });
    return id;
  }

  /** Whether a node was ever in the map. */
  has(node: MapNode): boolean {
    return this.#ids.has(node);
  }

  /** Returns the node of a number; throws `snapshot-mismatch` when there is none. */
  nodeOf(id: number): MapNode {
    const node = this.#nodes.get(id);
    if (node === undefined)
      throw new MachineError("snapshot-mismatch", `The snapshot speaks of map node ${id}, which is not here`, { id });
    return node;
  }

  #stateOf(node: MapNode): MapNodeState {
    const { name, offset, size, priority, traits, alias, children } = node;
    const device = traits?.device ?? null;
    return {
      id: this.idOf(node),
      name,
      offset,
      size,
      priority,
      traits:
        traits === null ? null : { ...traits, device: device === null ? null : (this.devices.nameOf(device) ?? "") },
      alias: alias === null ? null : { target: this.idOf(alias.target), from: alias.from, home: alias.home },
      children: children.map((child) => this.idOf(child)),
    };
  }

  /** Returns the tree under `roots` as plain data. */
  save(roots: readonly MapNode[]): MapTreeState {
    const seen = new Map<MapNode, MapNodeState>();
    const visit = (node: MapNode): void => {
      if (seen.has(node)) return;
      seen.set(node, this.#stateOf(node));
      if (node.alias !== null) visit(node.alias.target);
      node.children.forEach(visit);
    };
    roots.forEach(visit);
    return { roots: roots.map((node) => this.idOf(node)), nodes: [...seen.values()], next: this.#next };
  }

  /** Says which devices of a saved tree are not known here; null: none. */
  mismatch({ nodes }: MapTreeState): string | null {
    return this.devices.mismatch(nodes.map(({ traits }) => traits?.device ?? null).filter((name) => name !== null));
  }

  /** Makes the nodes of a saved tree, keeping those that are as they were; returns its top nodes. */
  restore({ roots, nodes, next }: MapTreeState): MapNode[] {
    const changed = this.#changedIn(nodes);
    const made = new Map<number, Mutable<MapNode>>();
    for (const state of nodes) if (changed.has(state.id)) made.set(state.id, { ...emptyNode(state) });
    const find = (id: number): MapNode => made.get(id) ?? this.nodeOf(id);
    for (const { id, traits, alias, children } of nodes) {
      const node = made.get(id);
      if (node === undefined) continue;
      if (traits !== null)
        node.traits = { ...traits, device: traits.device === null ? null : this.devices.find(traits.device) };
      if (alias !== null) node.alias = { target: find(alias.target), from: alias.from, home: alias.home };
      node.children = children.map(find);
    }
    const here = nodes.map(({ id }) => [id, find(id)] as const);
    this.#nodes.clear();
    for (const [id, node] of here) {
      this.#ids.set(node, id);
      this.#nodes.set(id, node);
    }
    this.#next = next;
    return roots.map((id) => this.nodeOf(id));
  }

  /** Numbers of the nodes that are not here as described, or refer to such a one. */
  #changedIn(nodes: readonly MapNodeState[]): Set<number> {
    const changed = new Set<number>();
    for (const state of nodes) {
      const here = this.#nodes.get(state.id);
      if (here === undefined || !isSame(this.#stateOf(here), state)) changed.add(state.id);
    }
    for (let before = -1; before !== changed.size;) {
      before = changed.size;
      for (const { id, alias, children } of nodes)
        if ((alias !== null && changed.has(alias.target)) || children.some((child) => changed.has(child)))
          changed.add(id);
    }
    return changed;
  }
}

function emptyNode({ name, offset, size, priority }: MapNodeState): MapNode {
  return { name, offset, size, priority, traits: null, alias: null, children: [] };
}
