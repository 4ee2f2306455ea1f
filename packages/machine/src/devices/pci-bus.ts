/**
 * PCI from the root: buses, bridges, functions, the two ways to their configuration spaces (ports 0xCF8/0xCFC and the
 * memory-mapped one), and the windows through which memory and I/O reach them.
 *
 * A function's window is in the physical address map exactly while its command bit is on, its address makes sense (not 0,
 * not wrapping, below 4 GiB for a 32-bit BAR, a port below 64 Ki for I/O) and every bridge above it passes the address on.
 */
import { invariant, MachineError } from "../errors.ts";
import type { MapNode } from "../map/node.ts";
import { LAYER } from "../map/physical-map.ts";
import type { PhysicalMap } from "../map/physical-map.ts";
import { traitsOf } from "../map/region.ts";
import type { MmioDevice } from "../map/region.ts";
import type { Snapshotted } from "../system/snapshotted.ts";
import { PHYSICAL_LIMIT } from "../units.ts";
import type { PhysAddr } from "../units.ts";
import { PORT_LIMIT } from "./io-ports.ts";
import type { IoPorts, PortDevice, PortRange } from "./io-ports.ts";
import type { Bar, IoBarSpec } from "./pci-function.ts";
import { PciFunction } from "./pci-function.ts";
import type { PciBridge } from "./pci-bridge.ts";
import type { BridgeWindowKind } from "./pci-bridge.ts";

/** Where a function sits. */
export interface PciAddress {
  /** 0 to 255. */
  readonly bus: number;
  /** 0 to 31. */
  readonly slot: number;
  /** 0 to 7. */
  readonly fn: number;
}

/** A function or a bridge with its place and the bridges between it and the root, from the root down. */
export interface PciNode {
  /** Bus on which it sits; behind a bridge, the bridge's secondary bus at the moment. */
  readonly parent: PciBridge | null;
  /** Slot on that bus. */
  readonly slot: number;
  /** Function within the slot. */
  readonly fn: number;
  /** What sits there. */
  readonly unit: PciFunction | PciBridge;
}

/** The PCI hierarchy as plain data. */
export interface PciState {
  /** Register 0xCF8. */
  readonly configAddress: number;
  /** By node, in the order in which they were plugged in: configuration space and mapped BARs. */
  readonly nodes: readonly PciNodeState[];
}

/** A function or bridge as plain data. */
export interface PciNodeState {
  /** What sits where, behind which bridge, and its BARs; restoring demands the same. */
  readonly unit: string;
  /** Its configuration space. */
  readonly config: Uint32Array;
  /** By BAR: the number of its map node, the first of its ports, or −1. */
  readonly mapped: readonly number[];
}

/** The PCI hierarchy of a machine. */
export class PciBus implements PortDevice, Snapshotted<PciState> {
  readonly #map: PhysicalMap;
  readonly #ports: IoPorts;
  readonly #nodes: PciNode[] = [];
  /** What each BAR has in the map or in port space now. */
  readonly #windows = new Map<Bar, MapNode>();
  readonly #portRanges = new Map<Bar, PortRange>();
  #configAddress = 0;

  /** Creates an empty bus 0 and claims ports 0xCF8–0xCFF. */
  constructor(map: PhysicalMap, ports: IoPorts) {
    this.#map = map;
    this.#ports = ports;
    ports.claim(0xcf8, 8, "pci", this);
  }

  /** All functions and bridges, in the order in which they were plugged in. */
  get nodes(): readonly PciNode[] {
    return this.#nodes;
  }

  /**
   * Plugs a function or bridge in, behind `parent` (null: bus 0). Throws `double-claim` when the place is taken, naming both, and
   * `bad-argument` for a place that no bus has or a parent that is not plugged in.
   */
  plug(unit: PciFunction | PciBridge, slot: number, fn = 0, parent: PciBridge | null = null): PciNode {
    const { name } = unit.identity;
    const isPlace = Number.isInteger(slot) && slot >= 0 && slot < 32 && Number.isInteger(fn) && fn >= 0 && fn < 8;
    if (!isPlace)
      throw new MachineError(
        "bad-argument",
        `${name}: a bus has slots 0 to 31 of functions 0 to 7, not ${slot}.${fn}`,
        {
          owner: name,
          slot,
          fn,
        },
      );
    if (parent !== null && !this.#nodes.some((node) => node.unit === parent))
      throw new MachineError("bad-argument", `${name} is plugged in behind ${parent.identity.name}, which is not`, {
        owner: name,
        other: parent.identity.name,
      });
    const other = this.#nodes.find((node) => node.parent === parent && node.slot === slot && node.fn === fn);
    if (other !== undefined)
      throw new MachineError(
        "double-claim",
        `${unit.identity.name} and ${other.unit.identity.name} in one place: slot ${slot}, function ${fn}`,
        { owner: unit.identity.name, other: other.unit.identity.name, slot, fn },
      );
    const node: PciNode = { parent, slot, fn, unit };
    this.#nodes.push(node);
    for (const { spec, index } of barsOf(unit)) {
      const name = `${unit.identity.name} BAR ${index}`;
      if (spec.kind === "io") this.#ports.devices.add(spec.device, name);
      else this.#map.devices.add(spec.device, name);
    }
    unit.onChange = () => {
      this.#update();
    };
    this.#update();
    return node;
  }

  /** The bus number on which a node is seen now. */
  busOf(node: PciNode): number {
    return node.parent === null ? 0 : node.parent.secondary;
  }

  /** Returns what answers configuration accesses at an address, or null. Bus 0 and buses that bridges were given. */
  at({ bus, slot, fn }: PciAddress): PciNode | null {
    return (
      this.#nodes.find(
        (node) => this.busOf(node) === bus && node.slot === slot && node.fn === fn && this.#isReachable(node),
      ) ?? null
    );
  }

  /** Behind a bridge, functions are seen only once the bridge has a secondary bus number. */
  #isReachable(node: PciNode): boolean {
    return node.parent === null || node.parent.secondary > 0;
  }

  /** Reads configuration space; nobody there: all ones. */
  readConfig(address: PciAddress, offset: number, size: number): number {
    return this.at(address)?.unit.readConfig(offset, size) ?? 2 ** (8 * size) - 1;
  }

  /** Writes configuration space; nobody there: lost. */
  writeConfig(address: PciAddress, offset: number, size: number, value: number): void {
    this.at(address)?.unit.writeConfig(offset, size, value);
  }

  /** The memory-mapped configuration space (ECAM): 1 MiB a bus, 4 KiB a function; to be claimed in the map. */
  readonly ecam: MmioDevice = {
    read: (offset, size) => {
      const register = offset & 0xfff;
      return register < 256 ? this.readConfig(ecamAddress(offset), register, size) : 2 ** (8 * size) - 1;
    },
    write: (offset, size, value) => {
      const register = offset & 0xfff;
      if (register < 256) this.writeConfig(ecamAddress(offset), register, size, value);
    },
  };

  /** PortDevice: configuration mechanism 1. */
  readPort(port: number, size: number): number {
    if (port < 0xcfc) return this.#configAddress;
    if (this.#configAddress < 0x8000_0000) return 2 ** (8 * size) - 1;
    return this.readConfig(this.#target(), (this.#configAddress & 0xfc) + (port & 3), size);
  }

  /** PortDevice: configuration mechanism 1. */
  writePort(port: number, size: number, value: number): void {
    if (port < 0xcfc) {
      if (size === 4) this.#configAddress = (value & 0x80ff_fffc) >>> 0;
    } else if (this.#configAddress >= 0x8000_0000)
      this.writeConfig(this.#target(), (this.#configAddress & 0xfc) + (port & 3), size, value);
  }

  #target(): PciAddress {
    const word = this.#configAddress;
    return { bus: (word >>> 16) & 0xff, slot: (word >>> 11) & 0x1f, fn: (word >>> 8) & 7 };
  }

  /** Brings the map and port space in line with the registers. */
  #update(): void {
    for (const node of this.#nodes) {
      if (!(node.unit instanceof PciFunction)) continue;
      for (const bar of node.unit.bars) this.#place(node, node.unit, bar);
    }
  }

  #place(node: PciNode, unit: PciFunction, bar: Bar): void {
    const address = unit.addressOf(bar);
    const wanted = unit.isDecoding(bar) && makesSense(bar, address) && this.#passes(node, bar, address);
    if (bar.spec.kind === "io") {
      this.#placePorts(unit, bar, bar.spec, wanted ? address : -1);
      return;
    }
    const now = this.#windows.get(bar);
    if (wanted && now?.offset === address) return;
    if (now !== undefined) this.#map.remove(now);
    this.#windows.delete(bar);
    if (!wanted) return;
    const traits = traitsOf("mmio", unit.identity.name, { device: bar.spec.device });
    this.#windows.set(bar, this.#map.overlay(address, address + bar.spec.size, traits, LAYER.claim));
  }

  /** Moves the ports of a BAR to `port`; −1: away. */
  #placePorts(unit: PciFunction, bar: Bar, spec: IoBarSpec, port: number): void {
    const now = this.#portRanges.get(bar);
    if ((now?.start ?? -1) === port) return;
    if (now !== undefined) this.#ports.release(now);
    this.#portRanges.delete(bar);
    if (port < 0) return;
    this.#portRanges.set(bar, this.#ports.claim(port, spec.size, unit.identity.name, spec.device, port));
  }

  /** Returns whether every bridge above `node` passes the whole window of `bar` at `address`. */
  #passes(node: PciNode, bar: Bar, address: PhysAddr): boolean {
    for (let above = this.#above(node); above !== null; above = this.#above(above)) {
      const bridge = above.unit as PciBridge;
      const kinds: readonly BridgeWindowKind[] = bar.spec.kind === "io" ? ["io"] : ["memory", "prefetchable"];
      const inside = kinds.some((kind) => {
        const window = bridge.window(kind);
        return window !== null && address >= window.start && address + bar.spec.size <= window.end;
      });
      if (!inside) return false;
    }
    return true;
  }

  #above(node: PciNode): PciNode | null {
    return node.parent === null ? null : (this.#nodes.find((one) => one.unit === node.parent) ?? null);
  }

  /** Returns whether a BAR of this function answers in memory or port space now. */
  isMapped(bar: Bar): boolean {
    return this.#windows.has(bar) || this.#portRanges.has(bar);
  }

  /** Snapshotted: configuration spaces, and where each BAR is mapped. */
  saveState(): PciState {
    const mapped = (bar: Bar): number => {
      const window = this.#windows.get(bar);
      return window === undefined ? (this.#portRanges.get(bar)?.start ?? -1) : this.#map.idOf(window);
    };
    return {
      configAddress: this.#configAddress,
      nodes: this.#nodes.map((node) => ({
        unit: describe(node),
        config: node.unit.config.save(),
        mapped: barsOf(node.unit).map(mapped),
      })),
    };
  }

  /** Snapshotted: the functions and bridges of the snapshot must be here, in the same places and order, with the same BARs. */
  mismatch(state: PciState): string | null {
    const at = state.nodes.findIndex(({ unit }, index) => {
      const here = this.#nodes[index];
      return here === undefined || describe(here) !== unit;
    });
    const there = state.nodes[at];
    if (there === undefined) return null;
    const here = this.#nodes[at];
    return `PCI function ${at} is ${here === undefined ? "nothing" : describe(here)}, in the snapshot it is ${there.unit}`;
  }

  /**
   * Snapshotted: the map is restored before, and so are the ports if they are a part (those of BARs are put back in any case).
   * Functions plugged in since are taken out. Throws `snapshot-mismatch`, changing nothing, where {@link mismatch} finds one.
   */
  restoreState(state: PciState): void {
    const reason = this.mismatch(state);
    if (reason !== null) throw new MachineError("snapshot-mismatch", reason);
    for (const { unit } of this.#nodes.splice(state.nodes.length)) unit.onChange = () => undefined;
    for (const range of this.#portRanges.values())
      if (this.#ports.rangeAt(range.start) === range) this.#ports.release(range);
    this.#windows.clear();
    this.#portRanges.clear();
    this.#configAddress = state.configAddress;
    state.nodes.forEach(({ config, mapped }, at) => {
      const unit = this.#nodes[at]?.unit;
      if (unit === undefined) return;
      unit.config.restore(config);
      barsOf(unit).forEach((bar, number) => {
        const where = mapped[number] ?? -1;
        if (where < 0) return;
        if (bar.spec.kind !== "io") this.#windows.set(bar, this.#map.nodeOf(where));
        else {
          const { size, device } = bar.spec;
          const range = this.#ports.rangeAt(where) ?? this.#ports.claim(where, size, unit.identity.name, device, where);
          this.#portRanges.set(bar, range);
        }
      });
    });
  }

  /** Throws `broken-invariant` unless every mapped BAR is where its registers say. */
  check(): void {
    for (const { unit } of this.#nodes) {
      if (!(unit instanceof PciFunction)) continue;
      for (const bar of unit.bars) {
        const at = this.#windows.get(bar)?.offset ?? this.#portRanges.get(bar)?.start ?? unit.addressOf(bar);
        invariant(at === unit.addressOf(bar), `BAR ${bar.index} of ${unit.identity.name} is where its register says`);
      }
    }
  }

  /** The bridges above a node, from the nearest up. */
  bridgesAbove(node: PciNode): PciBridge[] {
    const out: PciBridge[] = [];
    for (let above = this.#above(node); above !== null; above = this.#above(above)) out.push(above.unit as PciBridge);
    return out;
  }
}

function barsOf(unit: PciFunction | PciBridge): readonly Bar[] {
  return unit instanceof PciFunction ? unit.bars : [];
}

/** What sits where, in words that are equal for nodes that are alike. */
function describe({ unit, parent, slot, fn }: PciNode): string {
  const { name, vendor, device } = unit.identity;
  const bars = barsOf(unit).map(
    ({ spec, index }) =>
      `${index}:${spec.kind}${spec.kind !== "io" && spec.prefetchable === true ? "p" : ""}/${spec.size}`,
  );
  const id = `${vendor.toString(16)}:${device.toString(16)}`;
  return `${name} (${id}) at ${slot}.${fn} ${parent === null ? "of bus 0" : `behind ${parent.identity.name}`} with BARs ${bars.join(" ") || "none"}`;
}

function ecamAddress(offset: number): PciAddress {
  return { bus: Math.floor(offset / 2 ** 20) & 0xff, slot: (offset >>> 15) & 0x1f, fn: (offset >>> 12) & 7 };
}

/** An address at which a device would answer: not 0, no wrap, within the BAR's reach. During sizing it does not. */
function makesSense(bar: Bar, address: PhysAddr): boolean {
  if (address === 0) return false;
  const end = address + bar.spec.size;
  if (bar.spec.kind === "io") return end <= PORT_LIMIT;
  return end <= (bar.spec.kind === "memory32" ? 2 ** 32 - 1 : PHYSICAL_LIMIT);
}
