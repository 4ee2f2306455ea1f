/**
 * The physical address map: which byte address is RAM, ROM, a device, or nothing. It is a tree of nodes (see
 * {@link MapNode}) flattened on change; a look-up is a binary search over the flat view.
 *
 * Invariant: the flat view is sorted, its regions are disjoint and non-empty.
 */
import { invariant, MachineError } from "../errors.ts";
import type { FrameSpan } from "../firmware/bad-memory.ts";
import { E820_UNUSABLE, typeName } from "../firmware/entry.ts";
import type { FirmwareEntry } from "../firmware/entry.ts";
import { firmwareMapFromJson } from "../firmware/json.ts";
import type { FirmwareJsonOptions } from "../firmware/json.ts";
import type { FirmwareMap } from "../firmware/firmware-map.ts";
import { flatten } from "./node.ts";
import type { MapNode } from "./node.ts";
import { NodeBook } from "./node-book.ts";
import type { MapTreeState } from "./node-book.ts";
import { frameRangesOf } from "./frame-ranges.ts";
import type { FrameRange, FrameRangeOptions } from "./frame-ranges.ts";
import { traitsOf } from "./region.ts";
import type { MmioDevice, Region, RegionKind, RegionTraits } from "./region.ts";
import type { Names } from "../system/names.ts";
import type { Snapshotted } from "../system/snapshotted.ts";
import { addressOf, hexOf, PHYSICAL_LIMIT } from "../units.ts";
import type { PhysAddr } from "../units.ts";

/** Called after every change of the map. */
export type MapListener = (map: PhysicalMap) => void;

const kindOfType = (type: number): RegionKind => {
  switch (type) {
    case 1:
      return "ram";
    case 3:
      return "acpi";
    case 4:
      return "nvs";
    case 5:
      return "faulty";
    case 7:
    case 12:
      return "persistent";
    default:
      return "reserved";
  }
};

/** Priorities of the layers, from the lowest. */
export const LAYER = { absent: -1, firmware: 0, claim: 10, overlay: 20, faulty: 30 } as const;

/** The physical address map of a machine. */
export class PhysicalMap implements Snapshotted<MapTreeState> {
  /** What firmware said; empty of entries for a map made by hand. */
  readonly firmware: FirmwareMap;
  readonly #nodes: MapNode[] = [];
  readonly #book = new NodeBook();
  readonly #listeners = new Set<MapListener>();
  #flat: readonly Region[] | null = null;
  #starts = new Float64Array(0);
  #version = 0;

  /** Creates the map that a firmware map describes: its entries, split at node boundaries, and absent hot-plug places. */
  constructor(firmware: FirmwareMap) {
    this.firmware = firmware;
    for (const entry of firmware.entries) this.#addEntry(entry);
    for (const range of firmware.affinity)
      if (range.hotPluggable)
        this.#push(
          range.base,
          range.end,
          traitsOf("absent", "firmware", { node: range.node, hotPluggable: true }),
          LAYER.absent,
        );
  }

  #addEntry(entry: FirmwareEntry): void {
    const kind = kindOfType(entry.type);
    const own = this.firmware.affinity
      .filter((range) => range.base < entry.end && range.end > entry.base)
      .toSorted((a, b) => a.base - b.base);
    let at = entry.base;
    const put = (to: PhysAddr, node: number, hotPluggable: boolean, nonVolatile: boolean): void => {
      if (to <= at) return;
      const more = { node, hotPluggable, e820: entry.type };
      this.#push(at, to, traitsOf(kind, "firmware", nonVolatile ? { ...more, nonVolatile } : more), LAYER.firmware);
      at = to;
    };
    for (const range of own) {
      put(Math.min(range.base, entry.end), -1, false, false);
      put(Math.min(range.end, entry.end), range.node, range.hotPluggable, range.nonVolatile);
    }
    put(entry.end, -1, false, false);
  }

  #push(start: PhysAddr, end: PhysAddr, traits: RegionTraits, priority: number): MapNode {
    const node: MapNode = {
      name: `${traits.owner}: ${traits.e820 === 0 ? traits.kind : typeName(traits.e820)}`,
      offset: start,
      size: end - start,
      priority,
      traits,
      alias: null,
      children: [],
    };
    this.#nodes.push(node);
    this.#book.note(node);
    return node;
  }

  /**
   * Lays a region over what is there and returns its node, for {@link PhysicalMap.remove}.
   *
   * `[start, end)` in bytes within 52 bits, not empty, or `bad-argument`. The higher priority is seen; among equals the
   * later one.
   */
  overlay(start: PhysAddr, end: PhysAddr, traits: RegionTraits, priority: number = LAYER.overlay): MapNode {
    this.#requireRange(start, end);
    const node = this.#push(start, end, traits, priority);
    this.#changed();
    return node;
  }

  /**
   * Marks the RAM among frames as faulty: what BadRAM patterns, memory tests and kernel messages name (see `badFramesOfText`). It
   * keeps its node; frames that are no RAM stay what they are. Returns the nodes added, for {@link PhysicalMap.remove}.
   */
  markFaulty(spans: readonly FrameSpan[], owner = "bad memory"): MapNode[] {
    const added = spans.flatMap(({ start, end }) =>
      this.overlapping(addressOf(start), addressOf(end))
        .filter((region) => region.kind === "ram")
        .map(({ start: from, end: to, node, hotPluggable }) => {
          const traits = traitsOf("faulty", owner, { node, hotPluggable, e820: E820_UNUSABLE });
          return this.#push(Math.max(from, addressOf(start)), Math.min(to, addressOf(end)), traits, LAYER.faulty);
        }),
    );
    if (added.length > 0) this.#changed();
    return added;
  }

  /** Adds a node made by hand (a container, an alias, a subtree); offsets are relative to address 0. */
  add(node: MapNode): MapNode {
    this.#requireRange(node.offset, node.offset + node.size);
    this.#nodes.push(node);
    this.#book.note(node);
    this.#changed();
    return node;
  }

  /** Takes a node out of the map again; returns false when it is not in the map. Nodes go by their number. */
  remove(node: MapNode): boolean {
    const id = this.#book.has(node) ? this.#book.idOf(node) : -1;
    const at = this.#nodes.findIndex((one) => one === node || this.#book.idOf(one) === id);
    if (at < 0) return false;
    for (const gone of this.#nodes.splice(at, 1)) this.#book.forget(gone);
    this.#changed();
    return true;
  }

  /** The names by which snapshots know devices: that of the region's owner, unless somebody named the device before. */
  get devices(): Names<MmioDevice> {
    return this.#book.devices;
  }

  /** Returns the number by which snapshots know a node of this map; see {@link PhysicalMap.nodeOf}. */
  idOf(node: MapNode): number {
    return this.#book.idOf(node);
  }

  /** Returns the top node of a number; throws `snapshot-mismatch` when it is not in the map. */
  nodeOf(id: number): MapNode {
    return this.#book.nodeOf(id);
  }

  /** Snapshotted: the tree, devices by name. */
  saveState(): MapTreeState {
    return this.#book.save(this.#nodes);
  }

  /** Snapshotted: every device of the tree must be known here. */
  mismatch(state: MapTreeState): string | null {
    return this.#book.mismatch(state);
  }

  /** Snapshotted: puts the tree back. Throws `snapshot-mismatch` for a device that is not known here; nothing changes then. */
  restoreState(state: MapTreeState): void {
    const nodes = this.#book.restore(state);
    this.#nodes.splice(0, this.#nodes.length, ...nodes);
    this.#changed();
  }

  /** Calls `listener` after every change, until the returned function is called. */
  onChange(listener: MapListener): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  #requireRange(start: PhysAddr, end: PhysAddr): void {
    if (!Number.isSafeInteger(start) || start < 0 || end > PHYSICAL_LIMIT || end <= start)
      throw new MachineError("bad-argument", `No range of physical addresses: [${start}, ${end})`, {
        start,
        end,
      });
  }

  #changed(): void {
    this.#flat = null;
    this.#version++;
    for (const listener of this.#listeners) listener(this);
  }

  /** A number that grows with every change. */
  get version(): number {
    return this.#version;
  }

  /** The tree's top nodes, in the order in which they were added. */
  get nodes(): readonly MapNode[] {
    return this.#nodes;
  }

  /** The flat view: disjoint regions in ascending order. Holes are in no region. */
  regions(): readonly Region[] {
    if (this.#flat === null) {
      this.#flat = flatten({
        name: "physical",
        offset: 0,
        size: PHYSICAL_LIMIT,
        priority: 0,
        traits: null,
        alias: null,
        children: this.#nodes,
      });
      this.#starts = Float64Array.from(this.#flat, (region) => region.start);
    }
    return this.#flat;
  }

  /** Returns the region that holds `address`, or undefined in a hole. Cost: O(log regions). */
  find(address: PhysAddr): Region | undefined {
    const flat = this.regions();
    let low = 0;
    let high = flat.length;
    while (low < high) {
      const middle = Math.floor((low + high) / 2);
      if (this.#starts[middle]! <= address) low = middle + 1;
      else high = middle;
    }
    const region = flat[low - 1];
    return region !== undefined && address < region.end ? region : undefined;
  }

  /** Returns the regions that touch `[start, end)`, ascending. */
  overlapping(start: PhysAddr, end: PhysAddr): readonly Region[] {
    return this.regions().filter((region) => region.start < end && region.end > start);
  }

  /** Returns one past the last byte of RAM, 0 without any. */
  endOfRam(): PhysAddr {
    return this.regions().reduce((end, region) => (region.kind === "ram" ? region.end : end), 0);
  }

  /** Returns the bytes of RAM. */
  ramBytes(): number {
    return this.regions().reduce((sum, region) => (region.kind === "ram" ? sum + region.end - region.start : sum), 0);
  }

  /**
   * Returns whole frames of RAM as half-open ranges of frame numbers, split by node and hot-pluggability, as a frame
   * allocator takes them. See {@link FrameRangeOptions}.
   */
  frameRanges(options: FrameRangeOptions = {}): FrameRange[] {
    return frameRangesOf(this.regions(), options);
  }

  /** Throws `broken-invariant` unless the flat view is sorted, disjoint, non-empty and inside 52 bits. */
  check(): void {
    let end = 0;
    for (const region of this.regions()) {
      invariant(region.start >= end, `regions are disjoint and ascending at ${hexOf(region.start)}`);
      invariant(region.end > region.start, `no region is empty at ${hexOf(region.start)}`);
      invariant(region.end <= PHYSICAL_LIMIT, `regions end within 52 bits at ${hexOf(region.end)}`);
      end = region.end;
    }
  }
}

/** Returns the physical map that a parsed firmware-map JSON document describes; see {@link firmwareMapFromJson}. */
export function physicalMapFromJson(json: unknown, options: FirmwareJsonOptions = {}): PhysicalMap {
  return new PhysicalMap(firmwareMapFromJson(json, options));
}
