/**
 * Memory modules that come and go while the machine runs. Inserting one makes RAM of an address range; removal is asked of
 * the operating system, which frees the frames first; pulling one out without asking is a failure: its bytes are gone and
 * reads give all ones.
 */
import { invariant, MachineError } from "../errors.ts";
import { LAYER } from "../map/physical-map.ts";
import type { PhysicalMap } from "../map/physical-map.ts";
import type { MapNode } from "../map/node.ts";
import { traitsOf } from "../map/region.ts";
import type { PhysicalMemory } from "../memory/physical-memory.ts";
import type { Snapshotted } from "../system/snapshotted.ts";
import { FRAME_BYTES, hexOf, MIB } from "../units.ts";
import type { Pfn, PhysAddr } from "../units.ts";

/** Modules come in multiples of this: a memory block of common operating systems (128 MiB on x86-64 Linux). */
export const DIMM_GRANULE: number = 128 * MIB;

/** A module in its slot. */
export interface Dimm {
  /** What messages call it. */
  readonly name: string;
  /** First byte. */
  readonly start: PhysAddr;
  /** One past the last byte. */
  readonly end: PhysAddr;
  /** Its node. */
  readonly node: number;
}

/** What an operating system is asked. */
export interface HotplugHandler {
  /** A module was inserted: its frames may be used from now on. */
  inserted(dimm: Dimm): void;
  /** A module is to be removed: returns whether all its frames are free now. It need not decide at once: false, and ask later. */
  mayRemove(dimm: Dimm): boolean;
  /** A module is gone without having been asked for: its contents are lost. */
  lost(dimm: Dimm): void;
}

function* framesOf(dimm: Dimm): Generator<Pfn> {
  for (let pfn = dimm.start / FRAME_BYTES; pfn < dimm.end / FRAME_BYTES; pfn++) yield pfn;
}

/** The modules present with the numbers of their map nodes. */
export type DimmSlotsState = readonly (readonly [dimm: Dimm, node: number])[];

interface Slot {
  readonly dimm: Dimm;
  readonly node: MapNode;
}

/** The slots of a machine. A module goes by its name and place: an equal {@link Dimm} is as good as the one returned. */
export class DimmSlots implements Snapshotted<DimmSlotsState> {
  /** Who is told; null: nobody, removals are granted. */
  handler: HotplugHandler | null = null;
  readonly #map: PhysicalMap;
  readonly #memory: PhysicalMemory;
  #slots: Slot[] = [];

  /** Creates empty slots. */
  constructor(map: PhysicalMap, memory: PhysicalMemory) {
    this.#map = map;
    this.#memory = memory;
  }

  /** The modules present, in order of insertion. */
  get dimms(): readonly Dimm[] {
    return this.#slots.map(({ dimm }) => dimm);
  }

  /**
   * Inserts a module at `start`. Throws `unaligned` unless start and size are multiples of 128 MiB, and `overlap` naming both
   * parties where anything but an absent hot-plug place is there.
   */
  insert(name: string, start: PhysAddr, bytes: number, node = 0): Dimm {
    if (
      Math.floor(start / DIMM_GRANULE) * DIMM_GRANULE !== start
      || !Number.isInteger(bytes / DIMM_GRANULE)
      || bytes <= 0
    )
      throw new MachineError(
        "unaligned",
        `${name} at ${hexOf(start)} of ${hexOf(bytes)} bytes is not a multiple of 128 MiB`,
        {
          name,
          start,
          bytes,
        },
      );
    const end = start + bytes;
    const other = this.#map.overlapping(start, end).find((region) => region.kind !== "absent");
    if (other !== undefined)
      throw new MachineError(
        "overlap",
        `${name} at [${hexOf(start)}, ${hexOf(end)}) overlaps ${other.kind} of ${other.owner} at [${hexOf(other.start)}, ${hexOf(other.end)})`,
        { name, start, end, other: other.owner, otherKind: other.kind, otherStart: other.start, otherEnd: other.end },
      );
    const dimm: Dimm = { name, start, end, node };
    const traits = traitsOf("ram", name, { node, hotPluggable: true });
    this.#slots.push({ dimm, node: this.#map.overlay(start, end, traits, LAYER.claim) });
    this.handler?.inserted(dimm);
    return dimm;
  }

  #slotOf({ name, start, end }: Dimm): Slot {
    const slot = this.#slots.find(({ dimm }) => dimm.name === name && dimm.start === start && dimm.end === end);
    if (slot === undefined) throw new MachineError("device-misuse", `${name} is not in a slot`, { name, start });
    return slot;
  }

  /** Asks for a module to be removed. Returns whether it was: not, when the operating system still uses it. */
  remove(dimm: Dimm): boolean {
    const slot = this.#slotOf(dimm);
    if (this.handler?.mayRemove(dimm) === false) return false;
    this.#take(slot);
    return true;
  }

  /** Pulls a module out without asking: a failure. */
  surpriseRemove(dimm: Dimm): void {
    this.#take(this.#slotOf(dimm));
    this.handler?.lost(dimm);
  }

  #take(slot: Slot): void {
    const { dimm } = slot;
    this.#map.remove(slot.node);
    this.#slots = this.#slots.filter((one) => one !== slot);
    const touched: Pfn[] = [];
    this.#memory.forEachTouched((pfn) => {
      if (pfn >= dimm.start / FRAME_BYTES && pfn < dimm.end / FRAME_BYTES) touched.push(pfn);
    });
    this.#memory.discardMany(touched);
  }

  /** Snapshotted: which modules are in. */
  saveState(): DimmSlotsState {
    return this.#slots.map(({ dimm, node }) => [dimm, this.#map.idOf(node)] as const);
  }

  /** Snapshotted: which modules were in; the map is restored before. The handler is not told. */
  restoreState(state: DimmSlotsState): void {
    this.#slots = state.map(([dimm, node]) => ({ dimm, node: this.#map.nodeOf(node) }));
  }

  /** Throws `broken-invariant` unless every module present is RAM, or a fault over it, from end to end. */
  check(): void {
    for (const { name, start, end } of this.dimms) {
      const parts = this.#map.overlapping(start, end);
      const covered = parts.reduce((sum, part) => sum + Math.min(part.end, end) - Math.max(part.start, start), 0);
      invariant(
        covered === end - start && parts.every((part) => part.kind === "ram" || part.kind === "faulty"),
        `${name} is memory while it is in its slot`,
      );
    }
  }

  /** Returns the frames of a module, ascending. */
  framesOf(dimm: Dimm): Iterable<Pfn> {
    return framesOf(dimm);
  }
}
