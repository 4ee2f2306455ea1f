/** A range of physical addresses that is no RAM of the manager's: device registers, framebuffers. Its frames are never taken or given. */
import type { Core } from "../core.ts";
import { VmmError } from "../errors.ts";
import { PAGE_SIZE, type Pfn } from "../units.ts";
import { MemoryObject, SUPPLY_BUS } from "./object.ts";

/** Frames in a row that exist by themselves. */
export class DeviceObject extends MemoryObject {
  readonly kind = "device";
  /** The first frame. */
  readonly start: Pfn;
  /** Frames of the range. */
  readonly frames: number;

  /** The range `[start, start + frames)`. */
  constructor(core: Core, start: Pfn, frames: number) {
    super(core);
    if (!Number.isSafeInteger(start) || start < 0 || !Number.isSafeInteger(frames) || frames < 1)
      throw new VmmError("out-of-range", "A device range has a first frame and at least one frame.", { start, frames });
    this.start = start;
    this.frames = frames;
  }

  /** Bytes of the range. */
  get size(): number {
    return this.frames * PAGE_SIZE;
  }

  /** The frame at an index within the range. */
  frameAt(index: number): Pfn {
    return this.start + index;
  }

  /** Nothing can be punched out of a device: `failed`, and nothing has changed. */
  override punch(): "failed" {
    return "failed";
  }

  /** Never has pages: translations lead to the device itself. */
  supply(_index: number): number {
    return SUPPLY_BUS;
  }
}
