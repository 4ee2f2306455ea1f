/**
 * Swap in a Redis or Valkey server, through its official client.
 *
 * ```
 *  writeLater ── SET ─► server ── OK ─► acknowledged: the manager gives the frame back
 *  readLater  ── GET ─► server ── bytes | nothing: lost, a bus error on that page
 * ```
 * What is kept: a page is acknowledged when the server has acknowledged its SET. A server that makes acknowledged writes durable (`appendfsync
 * always`) may be killed and restarted at any moment; commands are sent again until their time limit, which is harmless: SET and GET are repeatable, and
 * the manager has one transfer of a slot at a time. A page that the server has lost is `failed`; a server that stays away rejects.
 */
import { createClient, RESP_TYPES } from "redis";

import { PAGE_SIZE, type AsyncSwapStore, type IoOutcome } from "@pagewright/vmm";

import { TimeLimit } from "./time-limit.ts";

/** Milliseconds between two attempts while the server is away. */
const RETRY_MS = 50;

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
  /** Milliseconds of this process's running time that a transfer may take, a restart of the server included. Default 10,000. */
  readonly timeoutMs?: number;
}

/** What a {@link RedisSwap} has done so far. */
export interface RedisSwapStats {
  /** Pages read. */
  readonly reads: number;
  /** Pages written. */
  readonly writes: number;
  /** Commands that a lost connection interrupted, and that were sent again. */
  readonly retries: number;
  /** Transfers that ended in an error or ran out of time. */
  readonly failures: number;
}

type Client = ReturnType<typeof clientOf>;

/** A swap store on a server. Make one with {@link RedisSwap.open}. */
export class RedisSwap implements AsyncSwapStore {
  /** See `AsyncSwapStore.slots`. */
  readonly slots: number;
  /** Milliseconds that a transfer may take from now on. */
  timeoutMs: number;
  readonly #client: Client;
  readonly #prefix: string;
  readonly #used: Set<number> = new Set();
  #reads = 0;
  #writes = 0;
  #retries = 0;
  #failures = 0;

  private constructor(client: Client, options: RedisSwapOptions) {
    this.#client = client;
    this.#prefix = options.prefix ?? "pagewright:";
    this.slots = options.slots;
    this.timeoutMs = options.timeoutMs ?? 10_000;
  }

  /** Connects. Rejects where the server cannot be reached, or is set to drop keys when memory runs out. */
  static async open(options: RedisSwapOptions): Promise<RedisSwap> {
    const client = clientOf(options.url);
    client.on("error", () => undefined); // A lost connection shows in the commands that it interrupts.
    try {
      await within(options.connectMs ?? 10_000, client.connect());
      const config = await client.configGet("maxmemory-policy").catch(() => ({}));
      const policy = Object.values(config).map(String)[0] ?? "noeviction";
      if (policy !== "noeviction") throw new Error(`the server may drop keys (maxmemory-policy ${policy})`);
      return new RedisSwap(client, options);
    } catch (error) {
      client.destroy();
      throw new Error(`no swap on ${options.url}: ${String(error)}`, { cause: error });
    }
  }

  /** See `AsyncSwapStore.writeLater`: `ok` when the server has acknowledged, `full` where its memory limit is reached. */
  async writeLater(slot: number, from: Uint8Array): Promise<IoOutcome> {
    const page = Buffer.from(from.buffer, from.byteOffset, from.length);
    const outcome = await this.#transfer(async () => {
      await this.#client.set(this.#keyOf(slot), page);
      return "ok";
    });
    if (outcome !== "ok") return outcome;
    this.#writes++;
    this.#used.add(slot);
    return "ok";
  }

  /** See `AsyncSwapStore.readLater`. */
  async readLater(slot: number, into: Uint8Array): Promise<IoOutcome> {
    const outcome = await this.#transfer(async () => {
      const page = await this.#client.get(this.#keyOf(slot));
      if (page?.length !== PAGE_SIZE) return "failed";
      into.set(page);
      return "ok";
    });
    if (outcome === "ok") this.#reads++;
    return outcome;
  }

  /** See `AsyncSwapStore.discardLater`: waits for a server that is away as long as it takes, since the slot is written again after it. */
  async discardLater(slot: number): Promise<void> {
    if (!this.#used.delete(slot)) return;
    while (this.#client.isOpen) {
      try {
        await this.#client.unlink(this.#keyOf(slot));
        return;
      } catch {
        await pause(RETRY_MS);
      }
    }
  }

  /** Counts since it was opened. */
  stats(): RedisSwapStats {
    return { reads: this.#reads, writes: this.#writes, retries: this.#retries, failures: this.#failures };
  }

  /** Deletes the pages, if the server is there, and disconnects. */
  async close(): Promise<void> {
    const keys = [...this.#used].map((slot) => this.#keyOf(slot));
    this.#used.clear();
    if (keys.length > 0 && this.#client.isReady) await within(2000, this.#client.unlink(keys)).catch(() => undefined);
    this.#client.destroy();
  }

  /** Sends a command until it is answered; rejects when its time is over: the server is away, and may have the page all the same. */
  async #transfer(command: () => Promise<IoOutcome>): Promise<IoOutcome> {
    const limit = new TimeLimit(this.timeoutMs);
    try {
      const outcome = await this.#repeated(command, limit);
      if (outcome === "failed") this.#failures++;
      return outcome;
    } catch (error) {
      this.#failures++;
      throw error;
    } finally {
      limit.end();
    }
  }

  async #repeated(command: () => Promise<IoOutcome>, limit: TimeLimit): Promise<IoOutcome> {
    while (!limit.isOver())
      try {
        return await limit.during(command());
      } catch (error) {
        if (String(error).includes("OOM")) return "full";
        if (limit.isOver()) throw error;
        this.#retries++;
        await pause(RETRY_MS);
      }
    throw new Error("the server is away");
  }

  #keyOf(slot: number): string {
    return `${this.#prefix}${slot}`;
  }
}

/** A client that answers in bytes, connects again by itself, and refuses commands while it is not connected. */
function clientOf(url: string) {
  return createClient({
    url,
    disableOfflineQueue: true,
    socket: { connectTimeout: 1000, reconnectStrategy: () => RETRY_MS },
  }).withTypeMapping({ [RESP_TYPES.BLOB_STRING]: Buffer });
}

/** Rejects if the promise takes longer. */
async function within<T>(milliseconds: number, promise: Promise<T>): Promise<T> {
  const limit = new TimeLimit(milliseconds);
  try {
    return await limit.during(promise);
  } finally {
    limit.end();
  }
}

function pause(milliseconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}
