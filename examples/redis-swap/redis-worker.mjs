// The other side of RedisSwap: a worker thread that talks to the server through the official client, while the thread that needs a page
// waits. Every request is a message with the channel to answer on; SET and GET are repeatable, so a request that a lost connection interrupts
// is sent again until its time is over.
import { parentPort, workerData } from "node:worker_threads";

import { createClient, RESP_TYPES } from "redis";

/** Words of a channel's control part; see redis-swap.ts. */
const STATE = 0;
const OUTCOME = 1;
const DONE = 2;
const OK = 0;
const FULL = 1;
const FAILED = 2;
const PAGE_AT = 64;

const client = createClient({
  url: workerData.url,
  socket: { connectTimeout: 1000, reconnectStrategy: () => 50 },
}).withTypeMapping({ [RESP_TYPES.BLOB_STRING]: Buffer });
client.on("error", () => undefined); // A lost connection shows in the requests that it interrupts.

/** @param {number} slot */
const keyOf = (slot) => `${workerData.prefix}${slot}`;

/**
 * @param {number} deadline
 * @param {() => Promise<number>} command
 */
async function untilDone(deadline, command) {
  for (;;) {
    try {
      return await command();
    } catch (error) {
      if (String(error).includes("OOM")) return FULL;
      if (Date.now() > deadline) return FAILED;
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }
}

/** @param {{ kind: "read" | "write", slot: number, channel: SharedArrayBuffer, deadline: number }} request */
async function transfer({ kind, slot, channel, deadline }) {
  const page = new Uint8Array(channel, PAGE_AT);
  const outcome = await untilDone(deadline, async () => {
    if (kind === "write") return (await client.set(keyOf(slot), Buffer.from(page))) === null ? FAILED : OK;
    const value = await client.get(keyOf(slot));
    if (value === null || value.length !== page.length) return FAILED;
    page.set(value);
    return OK;
  });
  const control = new Int32Array(channel, 0, PAGE_AT / 4);
  Atomics.store(control, OUTCOME, outcome);
  Atomics.store(control, STATE, DONE);
  Atomics.notify(control, STATE);
}

/** @param {number[]} slots */
async function forget(slots) {
  if (slots.length > 0) await client.unlink(slots.map(keyOf)).catch(() => undefined);
}

async function open() {
  try {
    await client.connect();
    const config = await client.configGet("maxmemory-policy").catch(() => ({}));
    const policy = String(config["maxmemory-policy"] ?? "noeviction");
    if (policy !== "noeviction") throw new Error(`the server may drop keys (maxmemory-policy ${policy})`);
    parentPort.postMessage({ kind: "open" });
  } catch (error) {
    client.destroy();
    parentPort.postMessage({ kind: "refused", reason: String(error) });
  }
}

parentPort.on("message", (message) => {
  if (message.kind === "discard") void forget([message.slot]);
  else if (message.kind === "close")
    void forget(message.slots).then(() => {
      client.destroy();
      parentPort.close();
    });
  else void transfer(message);
});
void open();
