/**
 * Swap in a Redis or Valkey server, through its official client.
 *
 * The client answers later, the swap port answers now: the client lives in a worker thread, and the thread that needs a page sleeps until the
 * worker wakes it.
 *
 * ```
 *  SwapStore.write ─ postMessage ─► worker ─ SET ─► server          channel (shared): state, outcome, 4096 bytes
 *        └─ Atomics.wait ◄──────── notify ◄─ OK ────────┘
 * ```
 * What is kept: a page is written when the server has acknowledged its SET. A server that makes acknowledged writes durable (`appendfsync
 * always`) may be killed and restarted at any moment; requests wait for it up to the time limit. A page that the server has lost is `failed` on
 * read: the manager ends that one access as a bus error.
 */
import { Worker } from "node:worker_threads";

import { PAGE_SIZE, type IoOutcome, type SwapStore } from "@pagewright/vmm";

/** Words of a channel's control part. */
const STATE = 0;
const OUTCOME = 1;
const BUSY = 1;
/** Offset of the page within a channel. */
const PAGE_AT = 64;
const OUTCOMES: readonly IoOutcome[] = ["ok", "full", "failed"];

/** Where the pages go. */
export interface RedisSwapOptions {
  /** The server: `redis://…`, `rediss://…`. */
  readonly url: string;
  /** Pages it may hold. */
  readonly slots: number;
  /** Begins every key; two stores on one server need different ones. Default `pagewright:`. */
  readonly prefix?: string;
  /** Milliseconds that connecting may take. Default 10,000. */
  readonly connectMs?: number;
  /** Milliseconds that a transfer may take, a restart of the server included. Default 10,000. */
  readonly timeoutMs?: number;
}

/** What a {@link RedisSwap} has done so far. */
export interface RedisSwapStats {
  /** Pages read. */
  readonly reads: number;
  /** Pages written. */
  readonly writes: number;
  /** Transfers that ended in an error or ran out of time. */
  readonly failures: number;
}

/** A swap store on a server. Make one with {@link RedisSwap.open}. */
export class RedisSwap implements SwapStore {
  /** See `SwapStore.slots`. */
  readonly slots: number;
  /** Milliseconds that a transfer may take from now on. */
  timeoutMs: number;
  readonly #worker: Worker;
  readonly #used: Set<number> = new Set();
  #channel: SharedArrayBuffer = new SharedArrayBuffer(PAGE_AT + PAGE_SIZE);
  #reads = 0;
  #writes = 0;
  #failures = 0;

  private constructor(worker: Worker, options: RedisSwapOptions) {
    this.#worker = worker;
    this.slots = options.slots;
    this.timeoutMs = options.timeoutMs ?? 10_000;
  }

  /** Connects. Rejects where the server cannot be reached, or is set to drop keys when memory runs out. */
  static async open(options: RedisSwapOptions): Promise<RedisSwap> {
    const worker = new Worker(new URL("redis-worker.mjs", import.meta.url), {
      workerData: { url: options.url, prefix: options.prefix ?? "pagewright:" },
      execArgv: [],
    });
    const answer = await new Promise<{ kind: string; reason?: string }>((resolve, reject) => {
      worker.once("message", resolve);
      worker.once("error", reject);
      setTimeout(() => {
        resolve({ kind: "refused", reason: "no answer in time" });
      }, options.connectMs ?? 10_000).unref();
    });
    if (answer.kind !== "open") {
      await worker.terminate();
      throw new Error(`no swap on ${options.url}: ${answer.reason ?? "unknown"}`);
    }
    worker.unref();
    return new RedisSwap(worker, options);
  }

  /** See `SwapStore.write`: `ok` when the server has acknowledged, `full` where its memory limit is reached. */
  write(slot: number, from: Uint8Array): IoOutcome {
    new Uint8Array(this.#channel, PAGE_AT).set(from);
    const outcome = this.#transfer("write", slot);
    if (outcome === "ok") {
      this.#writes++;
      this.#used.add(slot);
    }
    return outcome;
  }

  /** See `SwapStore.read`. */
  read(slot: number, into: Uint8Array): IoOutcome {
    const outcome = this.#transfer("read", slot);
    if (outcome === "ok") {
      this.#reads++;
      into.set(new Uint8Array(this.#channel, PAGE_AT));
    }
    return outcome;
  }

  /** See `SwapStore.discard`: nobody waits for it. */
  discard(slot: number): void {
    if (this.#used.delete(slot)) this.#worker.postMessage({ kind: "discard", slot });
  }

  /** Pages read, written and failed so far. */
  stats(): RedisSwapStats {
    return { reads: this.#reads, writes: this.#writes, failures: this.#failures };
  }

  /** Deletes the pages and disconnects. */
  async close(): Promise<void> {
    const ended = new Promise((resolve) => this.#worker.once("exit", resolve));
    this.#worker.ref();
    this.#worker.postMessage({ kind: "close", slots: [...this.#used] });
    this.#used.clear();
    await Promise.race([ended, new Promise((resolve) => setTimeout(resolve, 2000))]);
    await this.#worker.terminate();
  }

  #transfer(kind: "read" | "write", slot: number): IoOutcome {
    const channel = this.#channel;
    const control = new Int32Array(channel, 0, PAGE_AT / 4);
    Atomics.store(control, STATE, BUSY);
    this.#worker.postMessage({ kind, slot, channel, deadline: Date.now() + this.timeoutMs });
    const waited = Atomics.wait(control, STATE, BUSY, this.timeoutMs);
    let outcome: IoOutcome = OUTCOMES[Atomics.load(control, OUTCOME)] ?? "failed";
    if (waited === "timed-out") {
      // The worker may still answer on this channel: the next transfer gets another one.
      this.#channel = new SharedArrayBuffer(PAGE_AT + PAGE_SIZE);
      outcome = "failed";
    }
    if (outcome === "failed") this.#failures++;
    return outcome;
  }
}
