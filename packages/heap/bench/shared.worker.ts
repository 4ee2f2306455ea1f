import { readFileSync } from "node:fs";
import { parentPort, workerData } from "node:worker_threads";
import { SharedHeap } from "@pagewright/heap/shared";
import { HandOver } from "./hand-over.ts";

/** What a worker of the bench is told. */
interface Job {
  readonly buffer: SharedArrayBuffer;
  readonly ring: SharedArrayBuffer;
  readonly gate: SharedArrayBuffer;
  readonly mode: "local" | "producer" | "consumer" | "sender" | "receiver" | "bare";
  readonly count: number;
  readonly events: number;
  readonly rounds: number;
}

const { buffer, ring, gate, mode, count, events, rounds } = workerData as Job;
const heap = SharedHeap.attach(buffer);
const handOver = new HandOver(ring);
const start = new Int32Array(gate);
const blocks = new Int32Array(256);

function local(n: number): void {
  for (let at = 0; at < n; at += 2) {
    const slot = (at >>> 1) & 255;
    if (blocks[slot]! !== 0) heap.free(blocks[slot]!);
    blocks[slot] = heap.allocate(24 + (at & 127));
  }
}
function produce(n: number): void {
  for (let at = 0; at < n; at++) {
    let address = heap.allocate(24 + (at & 127));
    while (address === -1) {
      heap.flush();
      address = heap.allocate(24 + (at & 127));
    }
    handOver.send(address);
  }
  handOver.flush();
}
function consume(n: number): void {
  for (let at = 0; at < n; at++) heap.free(handOver.receive(n - at));
}
// The same without a heap: what handing a number from one worker to another costs.
function sendOnly(n: number): void {
  for (let at = 0; at < n; at++) handOver.send(24 + (at & 127));
  handOver.flush();
}
let sum = 0;
function receiveOnly(n: number): void {
  for (let at = 0; at < n; at++) sum = (sum + handOver.receive(n - at)) & 255;
}
/** Work of the same kind on a private array: how far the machine itself scales. */
function bare(n: number): void {
  for (let at = 0; at < n; at++) {
    const slot = (at * 7) & 255;
    blocks[slot] = (blocks[slot]! ^ at) + blocks[(at * 13) & 255]!;
  }
}
const work = {
  local,
  bare,
  producer: (n: number) => produce(n / 2),
  consumer: (n: number) => consume(n / 2),
  sender: (n: number) => sendOnly(n / 2),
  receiver: (n: number) => receiveOnly(n / 2),
}[mode];
/** Waits until all workers are here for the n-th time. */
function gather(nth: number): void {
  Atomics.add(start, 0, 1);
  while (Atomics.load(start, 0) < count * nth) continue;
}
/** Nanoseconds that this thread has had a processor: what the machine does besides does not count. */
const onProcessor = (): number => Number(readFileSync("/proc/thread-self/schedstat", "utf8").split(" ")[0]);
for (let at = 0; at < 20; at++) work(20_000);
const figures: number[] = [];
for (let round = 1; round <= rounds; round++) {
  gather(round);
  const from = onProcessor();
  work(events);
  figures.push((onProcessor() - from) / events);
}
parentPort?.postMessage(figures);
