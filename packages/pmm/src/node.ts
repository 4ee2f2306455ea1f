/* Allocators on worker threads of Node: hands the shared state over and recovers what a dead worker held. */
import { Worker } from "node:worker_threads";
import type { WorkerOptions } from "node:worker_threads";

import type { Pmm } from "./pmm.ts";
import { PmmError } from "./errors.ts";
import type { PmmAttachment } from "./pmm.ts";

/** What a worker started by `PmmWorkers` finds in `workerData`. */
export interface PmmWorkerData {
  /** Hand this to `new Pmm`. */
  readonly pmm: PmmAttachment;
  /** What the starter gave. */
  readonly data: unknown;
}

/** Starts worker threads on one allocator, gives each a number of its own, and recovers the frames of those that end. */
export class PmmWorkers {
  readonly #pmm: Pmm;
  readonly #workers = new Map<number, Worker>();

  /** Throws `bad-argument` unless the allocator was made with `shared: true`. */
  constructor(pmm: Pmm) {
    if (!(pmm.share.buffer instanceof SharedArrayBuffer)) {
      throw new PmmError("bad-argument", "Worker threads need an allocator made with `shared: true`");
    }
    this.#pmm = pmm;
  }

  /** Workers that run now. */
  get running(): number {
    return this.#workers.size;
  }

  /** Starts a thread on `module`. Throws `bad-argument` where all worker numbers are in use. */
  start(module: URL, data?: unknown, options: WorkerOptions = {}): Worker {
    const worker = this.#freeNumber();
    const workerData: PmmWorkerData = { pmm: { share: this.#pmm.share, worker }, data };
    const thread = new Worker(module, { ...options, workerData });
    this.#workers.set(worker, thread);
    thread.once("exit", () => {
      this.#workers.delete(worker);
      this.#pmm.recover(worker);
    });
    return thread;
  }

  #freeNumber(): number {
    const { workers } = this.#pmm.share.layout.geometry;
    for (let worker = 0; worker < workers; worker += 1) {
      if (worker !== this.#pmm.worker && !this.#workers.has(worker)) return worker;
    }
    throw new PmmError("bad-argument", `All ${workers} worker numbers are in use`);
  }
}
