/** Frames in a row that belong to the object: DMA buffers. They are wired, zeroed when taken, and given back when the object goes. */
import type { Core } from "../core.ts";
import { zeroRun } from "../frames/zeroing.ts";
import type { SpecialFrames } from "../ports.ts";
import type { MemoryType } from "../rights.ts";
import { PAGE_SIZE, type Pfn, type PhysAddr } from "../units.ts";
import { DeviceObject } from "./device-object.ts";

/** A contiguous buffer. Mapped like a device range, with the memory type it was made for. */
export class BufferObject extends DeviceObject {
  /** The memory type that every mapping has. */
  readonly type: MemoryType;
  readonly #source: SpecialFrames;

  /** The buffer of a granted run. */
  constructor(core: Core, source: SpecialFrames, start: Pfn, frames: number, type: MemoryType) {
    super(core, start, frames);
    this.#source = source;
    this.type = type;
    zeroRun(core.window, start, frames);
  }

  /** Physical address of the first byte: what a device is told. */
  get address(): PhysAddr {
    return this.start * PAGE_SIZE;
  }

  protected override closing(): void {
    this.#source.release(this.start, this.frames);
  }
}
