import { readFileSync } from "node:fs";
import { parentPort, workerData } from "node:worker_threads";
import { SharedHeap } from "@pagewright/heap/shared";

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
const slots = new Int32Array(ring);
const start = new Int32Array(gate);
const blocks = new Int32Array(256);

function local(n: number): void {
  for (let at = 0; at < n; at += 2) {
    const slot = (at >>> 1) & 255;
    if (blocks[slot]! !== 0) heap.free(blocks[slot]!);
    blocks[slot] = heap.allocate(24 + (at & 127));
  }
}
/** Blocks on their way from the producer to the consumer at most. */
const ROOM = 2048;
/** Words of the two counters, how many were sent and received, and of the first block: each in a cache line of its own. */
const SENT = 0;
const RECEIVED = 16;
const FIRST = 32;
const BATCH = 256;
let position = 0;
let seen = 0;

/** Says how far this side is, and waits until the other one is at `goal`. */
function meet(own: number, other: number, goal: number): number {
  Atomics.store(slots, own, position);
  Atomics.notify(slots, own);
  for (let at = Atomics.load(slots, other); ; at = Atomics.load(slots, other)) {
    if (at >= goal) return at;
    Atomics.wait(slots, other, at, 1);
  }
}
function send(address: number): void {
  if (position - seen >= ROOM) seen = meet(SENT, RECEIVED, position - ROOM + BATCH);
  slots[FIRST + (position++ & (ROOM - 1))] = address;
  if ((position & (BATCH - 1)) === 0) Atomics.store(slots, SENT, position);
}
function receive(n: number, left: number): number {
  if (position >= seen) seen = meet(RECEIVED, SENT, position + Math.min(BATCH, left));
  const address = slots[FIRST + (position++ & (ROOM - 1))]!;
  if ((position & (BATCH - 1)) === 0) Atomics.store(slots, RECEIVED, position);
  return n + address;
}
function finish(own: number): void {
  Atomics.store(slots, own, position);
  Atomics.notify(slots, own);
}
function produce(n: number): void {
  for (let at = 0; at < n; at++) {
    let address = heap.allocate(24 + (at & 127));
    while (address === -1) {
      heap.flush();
      address = heap.allocate(24 + (at & 127));
    }
    send(address);
  }
  finish(SENT);
}
function consume(n: number): void {
  for (let at = 0; at < n; at++) heap.free(receive(0, n - at));
  finish(RECEIVED);
}
// The same without a heap: what handing a number from one worker to another costs.
function sendOnly(n: number): void {
  for (let at = 0; at < n; at++) send(24 + (at & 127));
  finish(SENT);
}
let sum = 0;
function receiveOnly(n: number): void {
  for (let at = 0; at < n; at++) sum = receive(sum & 255, n - at);
  finish(RECEIVED);
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
