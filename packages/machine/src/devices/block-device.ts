/**
 * A block device with a queue, latency, a volatile write cache, and failures on purpose.
 *
 * Requests complete in order of their completion time on the machine's clock. A completed write is in the device's cache;
 * it is on the medium, and survives {@link BlockDevice.crash}, only after a later flush has completed. That is the contract
 * of real disks, and what a write-back protocol has to be right under.
 */
import { invariant, MachineError } from "../errors.ts";
import { isPowerOfTwo } from "../units.ts";
import { isEqual, piecesOf, restorePieces } from "../system/snapshotted.ts";
import type { Pieces, Snapshotted } from "../system/snapshotted.ts";
import type { BlockMedium } from "./block-medium.ts";
import type { Time } from "./time.ts";

/** How a request ended. `torn`: an error was reported and only a prefix of the blocks was written. */
export type BlockStatus = "done" | "read-error" | "write-error" | "full" | "torn" | "lost";

/** What a request does. */
export type BlockOperation = "read" | "write" | "flush";

/** A request in the queue or just completed. */
export interface BlockRequest {
  /** Counts up from 0. */
  readonly id: number;
  /** What it does. */
  readonly operation: BlockOperation;
  /** First block. */
  readonly block: number;
  /** Bytes to write, or the buffer to fill; a whole number of blocks. */
  readonly bytes: Uint8Array;
  /** When it completes, in ns on the machine's clock. */
  readonly due: number;
}

/** A completed request with its outcome. */
export interface BlockCompletion extends BlockRequest {
  /** How it ended. */
  readonly status: BlockStatus;
}

/**
 * Times of a block device in ns: before the first byte, and for each byte. Source: "Intel Solid-State Drive DC S3500 Series
 * (M.2), Product Specification": latency (average sequential) of reads 50 µs, of writes 65 µs; sustained sequential reads up to
 * 470 MB/s, writes 320 MB/s. The figures of reads are taken for both.
 */
export const DEFAULT_DISK: { readonly latency: number; readonly nsPerByte: number } = {
  latency: 50_000,
  nsPerByte: 1e9 / 470e6,
};

/** Shape of a {@link BlockDevice}. */
export interface BlockDeviceOptions {
  /** Bytes of a block, a power of two. Default 512. */
  readonly blockBytes?: number;
  /** Requests that may be under way at once. Default 32: what native command queuing of Serial ATA has. */
  readonly queueDepth?: number;
  /** Time of a request before its first byte, ns. Default 50,000: {@link DEFAULT_DISK}. */
  readonly latency?: number;
  /** Time of each byte, ns. Default 2.13, 470 MB/s: {@link DEFAULT_DISK}. */
  readonly nsPerByte?: number;
  /** Blocks that can be written before the device reports `full` (thin provisioning). Default: all. */
  readonly capacityBlocks?: number;
}

/** A failure that waits for the next matching request. */
export interface InjectedFailure {
  /** The request that it waits for. */
  readonly operation: BlockOperation;
  /** How that will end. */
  readonly status: Exclude<BlockStatus, "done" | "lost">;
  /** The block that it must touch. */
  readonly block: number;
}

/** A block device as plain data. */
export interface BlockDeviceState {
  /** The medium's contents. */
  readonly medium: Pieces;
  /** Requests under way. Restored, each has a buffer of its own: take the bytes from its completion. */
  readonly queue: readonly BlockRequest[];
  /** Failures that wait. */
  readonly injected: readonly InjectedFailure[];
  /** Blocks written but not flushed. */
  readonly cache: ReadonlyMap<number, Uint8Array>;
  /** Blocks ever written. */
  readonly written: ReadonlySet<number>;
  /** The number that the next request gets. */
  readonly nextId: number;
  /** When the data path is free, ns. */
  readonly freeAt: number;
}

/**
 * A disk with a queue, latency, a volatile write cache, and failures on purpose. Requests complete in order of their time on the machine's clock; what
 * was written survives {@link BlockDevice.crash} only after a later flush has completed.
 */
export class BlockDevice implements Snapshotted<BlockDeviceState> {
  /** Bytes of a block. */
  readonly blockBytes: number;
  /** Blocks of the medium. */
  readonly blocks: number;
  /** Requests that may be under way at once. */
  readonly queueDepth: number;
  readonly #medium: BlockMedium;
  readonly #time: Time;
  readonly #latency: number;
  readonly #nsPerByte: number;
  readonly #capacity: number;
  readonly #queue: BlockRequest[] = [];
  readonly #injected: InjectedFailure[] = [];
  /** Blocks written but not flushed: the volatile cache. */
  readonly #cache = new Map<number, Uint8Array>();
  readonly #written = new Set<number>();
  #nextId = 0;
  #freeAt = 0;

  /** Creates a device over `medium`, its times read from `time`. */
  constructor(medium: BlockMedium, time: Time, options: BlockDeviceOptions = {}) {
    this.blockBytes = options.blockBytes ?? 512;
    if (!isPowerOfTwo(this.blockBytes) || medium.size % this.blockBytes !== 0)
      throw new MachineError(
        "bad-argument",
        `${medium.size} bytes are no whole number of ${this.blockBytes}-byte blocks`,
        {
          size: medium.size,
          blockBytes: this.blockBytes,
        },
      );
    this.blocks = medium.size / this.blockBytes;
    this.queueDepth = options.queueDepth ?? 32;
    if (!(this.queueDepth >= 1) || !((options.latency ?? 0) >= 0) || !((options.nsPerByte ?? 0) >= 0))
      throw new MachineError("bad-argument", "A block device takes at least one request, and no negative time", {
        ...options,
      });
    this.#medium = medium;
    this.#time = time;
    this.#latency = options.latency ?? DEFAULT_DISK.latency;
    this.#nsPerByte = options.nsPerByte ?? DEFAULT_DISK.nsPerByte;
    this.#capacity = options.capacityBlocks ?? this.blocks;
  }

  /** Requests under way. */
  get pending(): number {
    return this.#queue.length;
  }

  /** Blocks in the volatile cache: what a crash would lose. */
  get unflushedBlocks(): number {
    return this.#cache.size;
  }

  /**
   * Puts a request into the queue and returns it, or null when the queue is full. The bytes belong to the device until
   * the request completes. Throws `bad-argument` for blocks beyond the medium or a broken length; nothing is queued.
   */
  submit(operation: BlockOperation, block = 0, bytes: Uint8Array = new Uint8Array(0)): BlockRequest | null {
    const count = bytes.length / this.blockBytes;
    const fits = Number.isInteger(block) && block >= 0 && Number.isInteger(count) && block + count <= this.blocks;
    if (!fits || (operation !== "flush" && count === 0))
      throw new MachineError(
        "bad-argument",
        `${operation} of ${bytes.length} bytes at block ${block} of ${this.blocks}`,
        {
          operation,
          block,
          length: bytes.length,
        },
      );
    if (this.#queue.length >= this.queueDepth) return null;
    const started = Math.max(this.#time.now, this.#freeAt);
    const due = started + this.#latency + bytes.length * this.#nsPerByte;
    this.#freeAt = started + bytes.length * this.#nsPerByte;
    const request: BlockRequest = { id: this.#nextId++, operation, block, bytes, due };
    this.#queue.push(request);
    return request;
  }

  /** Carries out every request whose time has come and returns them in order of completion. */
  poll(): BlockCompletion[] {
    const ready = this.#queue
      .filter((request) => request.due <= this.#time.now)
      .sort((a, b) => a.due - b.due || a.id - b.id);
    for (const request of ready) this.#queue.splice(this.#queue.indexOf(request), 1);
    return ready.map((request) => ({ ...request, status: this.#carryOut(request) }));
  }

  /** Time at which the next request completes, or Infinity: how far an idle machine may advance its clock. */
  nextDue(): number {
    return this.#queue.reduce((least, request) => Math.min(least, request.due), Infinity);
  }

  #carryOut(request: BlockRequest): BlockStatus {
    const failure = this.#takeInjected(request);
    if (request.operation === "flush") {
      if (failure !== null) return failure.status;
      this.#flush();
      return "done";
    }
    if (request.operation === "read") {
      if (failure !== null) return failure.status;
      this.#forEachBlock(request, (block, part) => {
        this.#readBlock(block, part);
      });
      return "done";
    }
    return this.#write(request, failure);
  }

  #write(request: BlockRequest, failure: InjectedFailure | null): BlockStatus {
    if (failure !== null && failure.status !== "torn") return failure.status;
    const stopBefore = failure === null ? Infinity : Math.max(failure.block, request.block);
    let status: BlockStatus = failure === null ? "done" : "torn";
    this.#forEachBlock(request, (block, part) => {
      if (block >= stopBefore || status === "full") return;
      if (!this.#written.has(block) && this.#written.size >= this.#capacity) {
        status = "full";
        return;
      }
      this.#written.add(block);
      this.#cache.set(block, part.slice());
    });
    return status;
  }

  #forEachBlock(request: BlockRequest, visit: (block: number, part: Uint8Array) => void): void {
    for (let at = 0; at < request.bytes.length; at += this.blockBytes)
      visit(request.block + at / this.blockBytes, request.bytes.subarray(at, at + this.blockBytes));
  }

  #readBlock(block: number, into: Uint8Array): void {
    const cached = this.#cache.get(block);
    if (cached === undefined) this.#medium.read(block * this.blockBytes, into);
    else into.set(cached);
  }

  #flush(): void {
    for (const [block, bytes] of this.#cache) this.#medium.write(block * this.blockBytes, bytes);
    this.#cache.clear();
    this.#medium.sync();
  }

  #takeInjected(request: BlockRequest): InjectedFailure | null {
    const end = request.block + Math.max(request.bytes.length / this.blockBytes, 1);
    const at = this.#injected.findIndex(
      (one) =>
        one.operation === request.operation
        && (one.operation === "flush" || (one.block >= request.block && one.block < end)),
    );
    return at < 0 ? null : (this.#injected.splice(at, 1)[0] ?? null);
  }

  /**
   * Makes the next `operation` that touches `block` fail: `read-error`, `write-error` and `full` change nothing, `torn`
   * writes the blocks before `block` and reports the error.
   */
  fail(operation: BlockOperation, status: "read-error" | "write-error" | "full" | "torn", block = 0): void {
    if (status === "torn" && operation !== "write")
      throw new MachineError("bad-argument", `Only a write can be torn, not a ${operation}`, { operation, status });
    this.#injected.push({ operation, status, block });
  }

  /**
   * Power goes: requests under way are lost, and so is every write that no flush has covered, except those that `survives`
   * keeps (a real cache may have written any subset, in any order). Returns the requests that were lost.
   */
  crash(survives: (block: number) => boolean = () => false): BlockCompletion[] {
    const lost = this.#queue.map((request) => ({ ...request, status: "lost" as const }));
    this.#queue.length = 0;
    for (const [block, bytes] of this.#cache) if (survives(block)) this.#medium.write(block * this.blockBytes, bytes);
    this.#cache.clear();
    this.#freeAt = this.#time.now;
    return lost;
  }

  /** Snapshotted: medium, cache, queue and failures. Cost: reads the whole medium. */
  saveState(before?: BlockDeviceState): BlockDeviceState {
    const read = (offset: number, into: Uint8Array): void => {
      this.#medium.read(offset, into);
    };
    return {
      medium: piecesOf(this.#medium.size, read, before?.medium),
      queue: this.#queue.map((request) => ({ ...request, bytes: request.bytes.slice() })),
      injected: [...this.#injected],
      cache: new Map(this.#cache),
      written: new Set(this.#written),
      nextId: this.#nextId,
      freeAt: this.#freeAt,
    };
  }

  /** Snapshotted: medium, cache, queue and failures. Writes what differs on the medium, a real file too. */
  restoreState(state: BlockDeviceState): void {
    restorePieces(this.#medium.size, state.medium, (offset, bytes) => {
      const now = new Uint8Array(bytes.length);
      this.#medium.read(offset, now);
      if (!isEqual(now, bytes)) this.#medium.write(offset, bytes);
    });
    this.#queue.length = 0;
    for (const request of state.queue) this.#queue.push({ ...request, bytes: request.bytes.slice() });
    this.#injected.length = 0;
    this.#injected.push(...state.injected);
    this.#cache.clear();
    for (const [block, bytes] of state.cache) this.#cache.set(block, bytes);
    this.#written.clear();
    for (const block of state.written) this.#written.add(block);
    this.#nextId = state.nextId;
    this.#freeAt = state.freeAt;
  }

  /** Throws `broken-invariant` unless the queue and the cache are within their bounds. */
  check(): void {
    invariant(this.#queue.length <= this.queueDepth, "no more requests are under way than the queue is deep");
    for (const [block, bytes] of this.#cache) {
      invariant(block >= 0 && block < this.blocks, `cached block ${block} exists`);
      invariant(bytes.length === this.blockBytes, `cached block ${block} is whole`);
    }
    invariant(this.#written.size <= this.#capacity, "no more blocks are written than there is capacity");
  }
}
