/**
 * A recorded program (an index being built by SQLite) in 96 frames, the rest of its pages in a Redis or Valkey server
 * that is killed and started again in the middle: once with an append-only file, once without any persistence.
 * Then what it held is lost, each such page is a bus error, and pages go to the next store, here memory.
 */
import { fileURLToPath } from "node:url";

import { MemorySwap, PlainMemory, Vmm } from "@pagewright/vmm";
import { decodePageTrace, readInput } from "pagewright";

import { installedServer, LocalRedis } from "./redis-server.ts";
import { RedisSwap } from "./redis-swap.ts";
import { runTraced } from "./traced-program.ts";

/** Accesses of the trace that are run, to 363 pages; all of them take minutes on a server that syncs every write. */
const RECORDS = 600_000;
const FRAMES = 96;

const program = installedServer();
if (program === null) {
  console.log("no redis-server or valkey-server on the path");
  process.exit(0);
}
const data = new URL("data/sqlite-index.window.pgt.gz", import.meta.resolve("pagewright/package.json"));
const path = process.argv[2] ?? fileURLToPath(data);
const whole = decodePageTrace(readInput(path), path);
const trace = { ...whole, records: whole.records.subarray(0, RECORDS) };

for (const durable of [true, false]) {
  const server = await LocalRedis.start(program, durable ? [] : ["--appendonly", "no"]);
  try {
    console.log(durable ? "with an append-only file:" : "without persistence:");
    await runOn(server);
  } finally {
    await server.stop();
  }
}

/** Runs the program with its pages in a server, which is killed and restarted in the middle, and prints what that cost. */
async function runOn(server: LocalRedis): Promise<void> {
  const swap = await RedisSwap.open({ url: server.url, slots: trace.vpns.length });
  const memory = new PlainMemory(2 * FRAMES);
  const stores = [swap, new MemorySwap(trace.vpns.length)];
  const vmm = new Vmm({ frames: memory, window: memory, swap: stores, residentLimit: FRAMES });
  const space = vmm.createSpace();
  if (space === null) throw new Error("no frame for the tables");
  const half = Math.floor(trace.records.length / 2);
  let inServer = 0;
  const run = await runTraced(space, trace, (record) => {
    if (record !== half) return undefined;
    inServer = vmm.swapTiers()[0]?.used ?? 0;
    return server.restart();
  });
  await vmm.settled();
  vmm.check();
  console.log(`  killed and restarted after ${half} of ${run.records} accesses: ${run.wrong} loads were wrong`);
  const lost =
    run.lost.size === 0 ? "no page" : run.lost.size <= inServer ? "only pages that were in the server" : "more";
  console.log(`  lost: ${lost}; the server is ${vmm.swapTiers()[0]?.fenced === true ? "fenced" : "in use"}`);
  space.destroy();
  await swap.close();
}
