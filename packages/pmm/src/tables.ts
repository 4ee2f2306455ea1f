/*
 * Optional facts about frames in use, each a table of its own beside the state: owner (2 bytes per frame) and count
 * (4 bytes per frame). They say nothing about free frames. With the owners goes the traffic of clients: frames taken and given,
 * 16 bytes per client number and worker (1 MiB per worker, committed by the engine as far as it is used).
 */
import { PmmError } from "./errors.ts";
import { GROUP_FRAMES } from "./units.ts";

/** Most clients: owners are 16 bits. */
export const CLIENT_LIMIT = 65_535;
/** Numbers of one worker's traffic: taken and given per client number, 0 (nobody in particular) included. */
const TRAFFIC_NUMBERS: number = 2 * (CLIENT_LIMIT + 1);

/** Which tables to keep. */
export interface TableOptions {
  /** Remember which client owns each frame, and count what clients take and give: 2 bytes per frame, 1 MiB per worker. */
  readonly owners?: boolean;
  /** Count the users of each frame: 4 bytes per frame. */
  readonly counts?: boolean;
}

/** The buffers of the tables, null for those that are not kept; they travel to workers. */
export interface TableBuffers {
  readonly owners: ArrayBufferLike | null;
  readonly counts: ArrayBufferLike | null;
  /** Frames taken and given per client and worker; kept with the owners. */
  readonly traffic: ArrayBufferLike | null;
}

/** Makes the buffers for `groups` dense groups and as many `workers`. */
export function tableBuffers(groups: number, workers: number, shared: boolean, options: TableOptions): TableBuffers {
  const make = (bytes: number): ArrayBufferLike => (shared ? new SharedArrayBuffer(bytes) : new ArrayBuffer(bytes));
  return {
    owners: options.owners === true ? make(groups * GROUP_FRAMES * 2) : null,
    counts: options.counts === true ? make(groups * GROUP_FRAMES * 4) : null,
    traffic: options.owners === true ? make(workers * TRAFFIC_NUMBERS * 8) : null,
  };
}

/** Owner and count of frames in use, by dense frame. */
export class FrameTables {
  readonly #owners: Uint16Array | null;
  readonly #counts: Int32Array | null;

  /** Every worker's numbers, and where this worker's begin: each changes only its own, without atomics. */
  readonly #traffic: Float64Array | null;
  readonly #own: number;

  constructor(buffers: TableBuffers, worker: number) {
    this.#owners = buffers.owners === null ? null : new Uint16Array(buffers.owners);
    this.#counts = buffers.counts === null ? null : new Int32Array(buffers.counts);
    this.#traffic = buffers.traffic === null ? null : new Float64Array(buffers.traffic);
    this.#own = worker * TRAFFIC_NUMBERS;
  }

  /** True when the owner table is kept. */
  get hasOwners(): boolean {
    return this.#owners !== null;
  }

  /** True when any table is kept. */
  get any(): boolean {
    return this.#owners !== null || this.#counts !== null;
  }

  /** Bytes of all tables. */
  get bytes(): number {
    return (this.#owners?.byteLength ?? 0) + (this.#counts?.byteLength ?? 0) + (this.#traffic?.byteLength ?? 0);
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

  /** Counts frames that a client took. */
  countTaken(client: number, frames: number): void {
    if (this.#traffic !== null) this.#traffic[this.#own + client * 2]! += frames;
  }

  /** Counts frames given back that a client owned. */
  countGiven(client: number, frames: number): void {
    if (this.#traffic !== null) this.#traffic[this.#own + client * 2 + 1]! += frames;
  }

  /** Frames that a client took, frames of it that were given back, by all workers. */
  trafficOf(client: number): [taken: number, given: number] {
    let taken = 0;
    let given = 0;
    for (let at = client * 2; this.#traffic !== null && at < this.#traffic.length; at += TRAFFIC_NUMBERS) {
      taken += this.#traffic[at]!;
      given += this.#traffic[at + 1]!;
    }
    return [taken, given];
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
