/** Which memory types frames are mapped with: no frame with two at once. */
import type { Core } from "./core.ts";
import { BufferObject } from "./objects/buffer-object.ts";
import { DeviceObject } from "./objects/device-object.ts";
import type { MemoryTypes } from "./ports.ts";
import type { MemoryType } from "./rights.ts";

/** Enforces one memory type per frame over all mappings of device ranges. */
export class TypeLedger {
  readonly #core: Core;
  readonly #types: MemoryTypes | null;

  /** A ledger over a core's objects; without the port, any type is taken as effective. */
  constructor(core: Core, types: MemoryTypes | null) {
    this.#core = core;
    this.#types = types;
  }

  /** Whether a range may be mapped with a type: no overlapping range is mapped with another, and the processor has one type for all of it. */
  allows(object: DeviceObject, type: MemoryType): boolean {
    for (const other of this.#core.objects.values()) {
      if (!(other instanceof DeviceObject)) continue;
      if (other.start >= object.start + object.frames || object.start >= other.start + other.frames) continue;
      for (const region of other.regions.keys()) if (region.type !== type) return false;
    }
    if (object instanceof BufferObject && object.type !== type) return false;
    return this.effective(object, type) !== -1;
  }

  /** The type that accesses through such a mapping have; −1 where the range has no single one. */
  effective(object: DeviceObject, type: MemoryType): MemoryType | -1 {
    if (this.#types === null) return type;
    return this.#types.effective(object.start, object.frames, type);
  }
}
