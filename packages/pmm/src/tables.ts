/*
 * Optional facts about frames in use, each a table of its own beside the state: owner (2 bytes per frame) and count
 * (4 bytes per frame). They say nothing about free frames.
 */
import { PmmError } from "./errors.ts";
import { GROUP_FRAMES } from "./units.ts";

/** Which tables to keep. */
export interface TableOptions {
  /** Remember which client owns each frame: 2 bytes per frame. */
  readonly owners?: boolean;
  /** Count the users of each frame: 4 bytes per frame. */
  readonly counts?: boolean;
}

/** The buffers of the tables, null for those that are not kept; they travel to workers. */
export interface TableBuffers {
  readonly owners: ArrayBufferLike | null;
  readonly counts: ArrayBufferLike | null;
}

/** Makes the buffers for `groups` dense groups. */
export function tableBuffers(groups: number, shared: boolean, options: TableOptions): TableBuffers {
  const make = (bytes: number): ArrayBufferLike => (shared ? new SharedArrayBuffer(bytes) : new ArrayBuffer(bytes));
  return {
    owners: options.owners === true ? make(groups * GROUP_FRAMES * 2) : null,
    counts: options.counts === true ? make(groups * GROUP_FRAMES * 4) : null,
  };
}

/** Owner and count of frames in use, by dense frame. */
export class FrameTables {
  readonly #owners: Uint16Array | null;
  readonly #counts: Int32Array | null;

  constructor(buffers: TableBuffers) {
    this.#owners = buffers.owners === null ? null : new Uint16Array(buffers.owners);
    this.#counts = buffers.counts === null ? null : new Int32Array(buffers.counts);
  }

  /** True when the owner table is kept. */
  get hasOwners(): boolean {
    return this.#owners !== null;
  }

  /** True when any table is kept. */
  get any(): boolean {
    return this.#owners !== null || this.#counts !== null;
  }

  /** Bytes of both tables. */
  get bytes(): number {
    return (this.#owners?.byteLength ?? 0) + (this.#counts?.byteLength ?? 0);
  }

  /** Notes a frame that was just taken: one user, this owner. */
  taken(frame: number, owner: number): void {
    if (this.#owners !== null) this.#owners[frame] = owner;
    if (this.#counts !== null) Atomics.store(this.#counts, frame, 1);
  }

  /** The client that owns the frame, 0 for nobody in particular or where no table is kept. */
  ownerOf(frame: number): number {
    return this.#owners === null ? 0 : this.#owners[frame]!;
  }

  /** Hands a frame over to another client. */
  setOwner(frame: number, owner: number): void {
    if (this.#owners === null) throw new PmmError("no-table", "The allocator keeps no owner table");
    this.#owners[frame] = owner;
  }

  /** Users of the frame; 1 where no table is kept. */
  countOf(frame: number): number {
    return this.#counts === null ? 1 : Atomics.load(this.#counts, frame);
  }

  /** Adds users (or, negative, takes them away); returns how many are left. Never goes below 1. */
  addCount(frame: number, users: number): number {
    const counts = this.#counts;
    if (counts === null) throw new PmmError("no-table", "The allocator keeps no count table");
    for (;;) {
      const old = Atomics.load(counts, frame);
      if (old + users < 1) throw new PmmError("counted", `The frame has ${old} users; its last one gives it back`);
      if (Atomics.compareExchange(counts, frame, old, old + users) === old) return old + users;
    }
  }
}
