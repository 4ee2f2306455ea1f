/**
 * A virtio-mem-like device: memory in blocks that the operating system plugs and unplugs as the hypervisor wishes.
 *
 * The frames of an unplugged block give their host places to others at once; `PhysicalMemory.compact` hands them back to the
 * host. A shared host buffer cannot be replaced, so there only the first half holds.
 */
import { invariant, MachineError } from "../errors.ts";
import type { MapNode } from "../map/node.ts";
import { LAYER } from "../map/physical-map.ts";
import type { PhysicalMap } from "../map/physical-map.ts";
import { traitsOf } from "../map/region.ts";
import type { PhysicalMemory } from "../memory/physical-memory.ts";
import type { Snapshotted } from "../system/snapshotted.ts";
import { FRAME_BYTES, hexOf, isPowerOfTwo } from "../units.ts";
import type { PhysAddr } from "../units.ts";

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

/** A memory device as plain data. */
export interface BlockMemoryState {
  /** See {@link BlockMemoryDevice.requestedBytes}. */
  readonly requestedBytes: number;
  /** Plugged blocks with the numbers of their map nodes. */
  readonly plugged: readonly (readonly [block: number, node: number])[];
}

/** A virtio-mem-like device: the hypervisor says how much it may have plugged, the operating system which blocks. */
export class BlockMemoryDevice implements Snapshotted<BlockMemoryState> {
  /** Bytes that may be plugged at most; the hypervisor's wish. */
  requestedBytes = 0;
  readonly #map: PhysicalMap;
  readonly #memory: PhysicalMemory;
  readonly #options: BlockMemoryOptions;
  /** By block: the node that it has in the map. */
  readonly #plugged = new Map<number, MapNode>();

  /** Creates a device without any block plugged; `unaligned` for odd sizes, `overlap` where something is. */
  constructor(map: PhysicalMap, memory: PhysicalMemory, options: BlockMemoryOptions) {
    const { start, bytes, blockBytes } = options;
    if (
      !isPowerOfTwo(blockBytes)
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

  /** Snapshotted: the wish and the blocks that are plugged. */
  saveState(): BlockMemoryState {
    return {
      requestedBytes: this.requestedBytes,
      plugged: [...this.#plugged].map(([block, node]) => [block, this.#map.idOf(node)] as const),
    };
  }

  /** Snapshotted: the wish and the blocks that were plugged; the map is restored before. */
  restoreState({ requestedBytes, plugged }: BlockMemoryState): void {
    this.requestedBytes = requestedBytes;
    this.#plugged.clear();
    for (const [block, node] of plugged) this.#plugged.set(block, this.#map.nodeOf(node));
  }

  /** Throws `broken-invariant` unless every plugged block is RAM in the map. */
  check(): void {
    for (const block of this.#plugged.keys()) {
      const region = this.#map.find(this.#requireBlock(block));
      invariant(region?.kind === "ram", `block ${block} is RAM while it is plugged`);
    }
  }
}
