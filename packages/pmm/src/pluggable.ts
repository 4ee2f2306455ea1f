/*
 * Block-wise plug and unplug of a guest's memory, in the manner of virtio-mem: a region of equal blocks, of which the host
 * asks for so many to be plugged; the guest plugs at once and unplugs what it can empty.
 */
import { PmmError } from "./errors.ts";
import type { EvacuationRefusal, EvacuationStart } from "./evacuations.ts";
import type { FrameSpan } from "./plug.ts";
import type { FrameRange } from "./range.ts";
import { BLOCK_FRAMES } from "./units.ts";
import type { Pfn } from "./units.ts";

/** The part of an allocator that a pluggable region needs. */
export interface PluggableMemory {
  addRange(range: FrameRange): void;
  offline(range: FrameSpan): EvacuationStart | EvacuationRefusal;
}

/** A region of blocks. */
export interface PluggableOptions {
  /** First frame of the region, a multiple of the block's frames. */
  readonly start: Pfn;
  /** Blocks of the region. */
  readonly blocks: number;
  /** Frames per block: a multiple of 512 (2M). */
  readonly blockFrames: number;
  /** NUMA node of the region. */
  readonly node: number;
  /** Power rank of the region, by default 0. */
  readonly rank?: number;
}

/** Moves the frames of an evacuation away; called with what is still in the block. */
export type Migrate = (moves: readonly Pfn[]) => void;

/** A region whose blocks are plugged and unplugged one by one. */
export class PluggableRegion {
  readonly #memory: PluggableMemory;
  readonly #options: PluggableOptions;
  readonly #plugged: boolean[];

  /** Makes a region with nothing plugged. Throws `bad-argument`. */
  constructor(memory: PluggableMemory, options: PluggableOptions) {
    const { blockFrames, start, blocks } = options;
    const isSound = Number.isInteger(blockFrames / BLOCK_FRAMES) && blockFrames > 0 && blocks > 0;
    if (!isSound || !Number.isInteger(start / blockFrames) || !Number.isInteger(blocks)) {
      throw new PmmError("bad-argument", "A region is made of aligned blocks of a multiple of 2M");
    }
    this.#memory = memory;
    this.#options = options;
    this.#plugged = Array.from({ length: blocks }, () => false);
  }

  /** Frames that are plugged. */
  get pluggedFrames(): number {
    return this.#plugged.filter(Boolean).length * this.#options.blockFrames;
  }

  /**
   * Plugs or unplugs blocks until `frames` (rounded down to blocks) are plugged, low blocks first, high ones unplugged first;
   * blocks that cannot be emptied stay. Returns the frames plugged then.
   */
  resize(frames: number, migrate: Migrate = () => undefined): number {
    const wanted = Math.floor(frames / this.#options.blockFrames);
    for (let block = 0; block < this.#plugged.length && this.#count() < wanted; block += 1) this.#plug(block);
    for (let block = this.#plugged.length - 1; block >= 0 && this.#count() > wanted; block -= 1) {
      this.#unplug(block, migrate);
    }
    return this.pluggedFrames;
  }

  #count(): number {
    return this.#plugged.filter(Boolean).length;
  }

  #spanOf(block: number): FrameSpan {
    const { start, blockFrames } = this.#options;
    return { start: start + block * blockFrames, end: start + (block + 1) * blockFrames };
  }

  #plug(block: number): void {
    if (this.#plugged[block] === true) return;
    const { node, rank = 0 } = this.#options;
    this.#memory.addRange({ ...this.#spanOf(block), node, rank, hotPluggable: true, faulty: [] });
    this.#plugged[block] = true;
  }

  #unplug(block: number, migrate: Migrate): void {
    if (this.#plugged[block] !== true) return;
    const answer = this.#memory.offline(this.#spanOf(block));
    if (!answer.ok) return;
    const moves = answer.plan.begin();
    if (moves.length > 0) migrate(moves);
    if (answer.plan.commit()) this.#plugged[block] = false;
    else answer.plan.cancel();
  }
}
