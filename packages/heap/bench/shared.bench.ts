/**
 * One, then two workers on one shared heap: thread-local work, and a producer whose blocks are all freed by a consumer; beside it what handing numbers over
 * costs without a heap. Processor time of the busier worker, for each allocation or free of the pair.
 */
import { once } from "node:events";
import { spawnTs } from "@pagewright/tooling/worker";
import { SharedHeap } from "@pagewright/heap/shared";
import { HAND_OVER_BYTES } from "./hand-over.ts";

/** Allocations and frees in a round: the processor time of a thread is known to a few milliseconds, of about 60. */
const EVENTS = 10_000_000;
const ROUNDS = 7;
/** Runs of everything, by turns: what else the machine does slows single workers down for seconds. The best round of all counts. */
const RUNS = 3;

/** What the busier worker takes for an event, in the best of some rounds, which all workers begin together. */
async function run(modes: readonly string[]): Promise<number> {
  const buffer = new SharedArrayBuffer(64 * 2 ** 20);
  const ring = new SharedArrayBuffer(HAND_OVER_BYTES);
  SharedHeap.create(buffer, { slots: 4 }).detach();
  const gate = new SharedArrayBuffer(8);
  const shared = { buffer, ring, gate, count: modes.length, events: EVENTS, rounds: ROUNDS };
  const workers = modes.map((mode) => spawnTs(new URL("./shared.worker.ts", import.meta.url), { ...shared, mode }));
  const figures = await Promise.all(workers.map(async (worker) => (await once(worker, "message"))[0] as number[]));
  return Math.min(
    ...Array.from({ length: ROUNDS }, (_, round) => Math.max(...figures.map((each) => each[round] ?? 0))),
  );
}

const WORK = [
  ["local"],
  ["local", "local"],
  ["producer", "consumer"],
  ["bare"],
  ["bare", "bare"],
  ["sender", "receiver"],
] as const;
const best: number[] = WORK.map(() => Infinity);
for (let turn = 0; turn < RUNS; turn++)
  for (const [at, modes] of WORK.entries()) best[at] = Math.min(best[at] ?? Infinity, await run(modes));
const [one = 0, two = 0, pair = 0, bare = 0, bareTwo = 0, handOver = 0] = best;
const scaling = (2 * one) / two;
const lines = [
  { bench: "heap/shared", metric: "local, one worker", value: one, unit: "ns/event" },
  {
    bench: "heap/shared",
    metric: "local, two workers",
    value: two,
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
];
for (const line of lines) console.log(JSON.stringify(line));
