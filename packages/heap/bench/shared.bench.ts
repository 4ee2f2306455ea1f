/**
 * One, then two workers on one shared heap: thread-local work, and a producer whose blocks are all freed by a consumer; beside it what handing numbers over
 * costs without a heap. Processor time of the busier worker, for each allocation or free of the pair.
 */
import { once } from "node:events";
import { spawnTs } from "@pagewright/tooling/worker";
import { SharedHeap } from "@pagewright/heap/shared";

const EVENTS = 4_000_000;

async function run(modes: readonly string[]): Promise<number[]> {
  const buffer = new SharedArrayBuffer(64 * 2 ** 20);
  const ring = new SharedArrayBuffer(8 + 65536 * 4);
  SharedHeap.create(buffer, { slots: 4 }).detach();
  const gate = new SharedArrayBuffer(8);
  const workers = modes.map((mode) =>
    spawnTs(new URL("./shared.worker.ts", import.meta.url), {
      buffer,
      ring,
      gate,
      mode,
      count: modes.length,
      events: EVENTS,
    }),
  );
  return Promise.all(workers.map(async (worker) => (await once(worker, "message"))[0] as number));
}

const [one = 0] = await run(["local"]);
const two = await run(["local", "local"]);
const [producer = 0, consumer = 0] = await run(["producer", "consumer"]);
const pair = Math.max(producer, consumer);
const [bare = 0] = await run(["bare"]);
const bareTwo = Math.max(...(await run(["bare", "bare"])));
const handOver = Math.max(...(await run(["sender", "receiver"])));
const scaling = (2 * one) / Math.max(...two);
const lines = [
  { bench: "heap/shared", metric: "local, one worker", value: one, unit: "ns/event" },
  {
    bench: "heap/shared",
    metric: "local, two workers",
    value: Math.max(...two),
    unit: "ns/event",
    ratioTo: "one worker's rate",
    ratio: scaling,
  },
  {
    bench: "heap/shared",
    metric: "two workers without a heap",
    value: bareTwo,
    unit: "ns/event",
    ratioTo: "one worker's rate",
    ratio: (2 * bare) / bareTwo,
  },
  {
    bench: "heap/shared",
    metric: "all frees remote, hand-over included",
    value: pair,
    unit: "ns/event",
    ratioTo: "local",
    ratio: pair / one,
  },
  { bench: "heap/shared", metric: "hand-over without a heap", value: handOver, unit: "ns/event" },
  {
    bench: "heap/shared",
    metric: "all frees remote",
    value: pair - handOver,
    unit: "ns/event",
    ratioTo: "local",
    ratio: (pair - handOver) / one,
  },
];
for (const line of lines) console.log(JSON.stringify(line));
