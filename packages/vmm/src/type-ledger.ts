/** Which memory types frames are mapped with: no frame with two at once. */
import type { Core } from "./core.ts";
import { BufferObject } from "./objects/buffer-object.ts";
import { DeviceObject } from "./objects/device-object.ts";
import type { MemoryObject } from "./objects/object.ts";
import type { MemoryTypes } from "./ports.ts";
import { WRITE_BACK, type MemoryType } from "./rights.ts";
import type { Pfn } from "./units.ts";

/** Enforces one memory type per frame of device ranges, and one per object of ordinary memory. */
export class TypeLedger {
  readonly #core: Core;
  readonly #types: MemoryTypes | null;

  /** A ledger over a core's objects; without the port, any type is taken as effective. */
  constructor(core: Core, types: MemoryTypes | null) {
    this.#core = core;
    this.#types = types;
  }

  /**
   * Whether frames `[first, first + frames)` of a device range may be mapped with a type: none of them is mapped with another, and the processor has one
   * type for all of them. O(device objects + their regions + frames).
   */
  allows(object: DeviceObject, type: MemoryType, first = 0, frames: number = object.frames - first): boolean {
    const start = object.start + first;
    const end = Math.min(start + frames, object.start + object.frames);
    if (end <= start) return true;
    if (object instanceof BufferObject && object.type !== type) return false;
    for (const other of this.#core.objects.values())
      if (other instanceof DeviceObject && hasOtherType(other, start, end, type)) return false;
    for (let pfn = start; pfn < end; pfn++) if (this.#typeOfPage(pfn, type) !== type) return false;
    return this.effective(start, end - start, type) !== -1;
  }

  /**
   * Whether pages `[first, first + count)` of any object may be mapped with a type: of a device as {@link allows} says; of ordinary memory if the
   * regions of the object, which all have one type, have this one. O(1), or as {@link allows}.
   */
  allowsObject(object: MemoryObject, type: MemoryType, first: number, count: number): boolean {
    if (object instanceof DeviceObject) return this.allows(object, type, first, count);
    const { value: region } = object.regions.keys().next();
    return region === undefined || region.type === type;
  }

  /** Whether pages for which `changes` holds may get a type: no device region maps one of their frames with another. O(frames of device regions). */
  allowsChange(type: MemoryType, changes: (page: number) => boolean): boolean {
    const { frameMap, objects } = this.#core;
    for (const device of objects.values()) {
      if (!(device instanceof DeviceObject)) continue;
      for (const region of device.regions.keys()) {
        if (region.type === type) continue;
        const start = device.start + region.offset;
        const end = Math.min(start + region.pages, device.start + device.frames); // The region may go on beyond the device.
        for (let pfn = start; pfn < end; pfn++) {
          const page = frameMap.pageAt(pfn);
          if (page >= 0 && changes(page)) return false;
        }
      }
    }
    return true;
  }

  /** The type that accesses of frames mapped with `type` have; −1 where they have no single one. */
  effective(start: Pfn, frames: number, type: MemoryType): MemoryType | -1 {
    return this.#types === null ? type : this.#types.effective(start, frames, type);
  }

  /** The type with which a frame that holds a page is mapped: ordinary memory, which has one for all its aliases; `otherwise` for other frames. */
  #typeOfPage(pfn: Pfn, otherwise: MemoryType): MemoryType {
    const { frameMap, mappings, sheets } = this.#core;
    const page = frameMap.pageAt(pfn);
    if (page < 0) return otherwise;
    const mapping = mappings.first(page);
    if (mapping < 0) return WRITE_BACK;
    const { space, base } = sheets.get(mappings.sheetOf(mapping));
    return space.regions.find(base + mappings.entryOf(mapping))?.type ?? WRITE_BACK;
  }
}

/** Whether a region maps frames of `[start, end)` of a device with another type. */
function hasOtherType(device: DeviceObject, start: Pfn, end: Pfn, type: MemoryType): boolean {
  if (device.start >= end || device.start + device.frames <= start) return false;
  for (const region of device.regions.keys()) {
    const first = device.start + region.offset;
    if (region.type !== type && first < end && first + region.pages > start) return true;
  }
  return false;
}
