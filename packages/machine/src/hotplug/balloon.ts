/**
 * The hypervisor's two ways of taking memory back from a machine that runs: a balloon, into which the operating system puts
 * frames of its choice, and a virtio-mem-like device, whose blocks it plugs and unplugs.
 *
 * Host memory is really released, but in one piece only: given-up frames give their host places to others at once, and
 * `PhysicalMemory.compact` hands everything that is not in use back to the host by moving the rest together. A shared host
 * buffer cannot be replaced, so there only the first half holds.
 */
import { invariant, MachineError } from "../errors.ts";
import type { MapNode } from "../map/node.ts";
import { LAYER } from "../map/physical-map.ts";
import type { PhysicalMap } from "../map/physical-map.ts";
import { traitsOf } from "../map/region.ts";
import type { PhysicalMemory } from "../memory/physical-memory.ts";
import { FRAME_BYTES, hexOf } from "../units.ts";
import type { Pfn, PhysAddr } from "../units.ts";

/** A balloon: frames in it belong to the hypervisor. */
export class Balloon {
  /** Frames that the hypervisor would like to have. */
  target = 0;
  readonly #memory: PhysicalMemory;
  readonly #held = new Set<Pfn>();

  /** Creates an empty balloon. */
  constructor(memory: PhysicalMemory) {
    this.#memory = memory;
  }

  /** Frames in the balloon. */
  get frames(): number {
    return this.#held.size;
  }

  /** Puts frames in: their contents are gone. Throws `double-claim` for a frame that is in already; then none is put in. */
  inflate(frames: readonly Pfn[]): void {
    const twice = frames.find((pfn, at) => this.#held.has(pfn) || frames.indexOf(pfn) !== at);
    if (twice !== undefined)
      throw new MachineError("double-claim", `Frame 0x${twice.toString(16)} is in the balloon already`, { pfn: twice });
    for (const pfn of frames) this.#held.add(pfn);
    this.#memory.discardMany(frames);
  }

  /** Takes frames out again: they read as zero. Throws `device-misuse` for a frame that is not in. */
  deflate(frames: readonly Pfn[]): void {
    const missing = frames.find((pfn) => !this.#held.has(pfn));
    if (missing !== undefined)
      throw new MachineError("device-misuse", `Frame 0x${missing.toString(16)} is not in the balloon`, {
        pfn: missing,
      });
    for (const pfn of frames) this.#held.delete(pfn);
  }

  /** Whether a frame is in the balloon. */
  holds(pfn: Pfn): boolean {
    return this.#held.has(pfn);
  }

  /** Throws `broken-invariant` when a frame in the balloon has bytes: somebody used it after giving it up. */
  check(): void {
    this.#memory.forEachTouched((pfn) => {
      invariant(!this.#held.has(pfn), `nobody uses frame 0x${pfn.toString(16)}, which is in the balloon`);
    });
  }
}

/** A device that offers memory in blocks of one size. */
export interface BlockMemoryOptions {
  /** First byte; a multiple of the block size. */
  readonly start: PhysAddr;
  /** Bytes of the whole region. */
  readonly bytes: number;
  /** Bytes of a block, a power of two ≥ 2 MiB. */
  readonly blockBytes: number;
  /** Its node. */
  readonly node?: number;
}

/** A virtio-mem-like device: the hypervisor says how much it may have plugged, the operating system which blocks. */
export class BlockMemoryDevice {
  /** Bytes that may be plugged at most; the hypervisor's wish. */
  requestedBytes = 0;
  readonly #map: PhysicalMap;
  readonly #memory: PhysicalMemory;
  readonly #options: BlockMemoryOptions;
  readonly #plugged = new Map<number, MapNode>();

  /** Creates a device without any block plugged; `unaligned` for odd sizes, `overlap` where something is. */
  constructor(map: PhysicalMap, memory: PhysicalMemory, options: BlockMemoryOptions) {
    const { start, bytes, blockBytes } = options;
    if (
      !Number.isInteger(Math.log2(blockBytes))
      || blockBytes < 2 ** 21
      || !Number.isInteger(start / blockBytes)
      || !Number.isInteger(bytes / blockBytes)
    )
      throw new MachineError(
        "unaligned",
        `[${hexOf(start)}, +${hexOf(bytes)}) is not made of blocks of ${hexOf(blockBytes)}`,
        {
          ...options,
        },
      );
    const other = map.overlapping(start, start + bytes).find((region) => region.kind !== "absent");
    if (other !== undefined)
      throw new MachineError(
        "overlap",
        `The memory device at ${hexOf(start)} overlaps ${other.kind} of ${other.owner} at ${hexOf(other.start)}`,
        {
          start,
          other: other.owner,
          otherStart: other.start,
        },
      );
    this.#map = map;
    this.#memory = memory;
    this.#options = options;
  }

  /** Bytes plugged. */
  get pluggedBytes(): number {
    return this.#plugged.size * this.#options.blockBytes;
  }

  #requireBlock(block: number): PhysAddr {
    const { start, bytes, blockBytes } = this.#options;
    if (!Number.isInteger(block) || block < 0 || block >= bytes / blockBytes)
      throw new MachineError("bad-argument", `There is no block ${block}, only ${bytes / blockBytes}`, { block });
    return start + block * blockBytes;
  }

  /** Plugs a block; returns whether: not, when it is plugged already or the hypervisor's wish is reached. */
  plug(block: number): boolean {
    const at = this.#requireBlock(block);
    const { blockBytes, node } = this.#options;
    if (this.#plugged.has(block) || this.pluggedBytes + blockBytes > this.requestedBytes) return false;
    const traits = traitsOf("ram", "memory device", { node: node ?? 0, hotPluggable: true });
    this.#plugged.set(block, this.#map.overlay(at, at + blockBytes, traits, LAYER.claim));
    return true;
  }

  /** Unplugs a block: its contents are gone. Returns whether it was plugged. */
  unplug(block: number): boolean {
    const at = this.#requireBlock(block);
    const node = this.#plugged.get(block);
    if (node === undefined) return false;
    this.#plugged.delete(block);
    this.#map.remove(node);
    const first = at / FRAME_BYTES;
    const count = this.#options.blockBytes / FRAME_BYTES;
    this.#memory.discardMany(Array.from({ length: count }, (_, i) => first + i));
    return true;
  }

  /** Throws `broken-invariant` unless every plugged block is RAM in the map. */
  check(): void {
    for (const block of this.#plugged.keys()) {
      const region = this.#map.find(this.#requireBlock(block));
      invariant(region?.kind === "ram", `block ${block} is RAM while it is plugged`);
    }
  }
}
