import { readFileSync } from "node:fs";
import { parentPort, workerData } from "node:worker_threads";
import { SharedHeap } from "@pagewright/heap/shared";

/** What a worker of the bench is told. */
interface Job {
  readonly buffer: SharedArrayBuffer;
  readonly ring: SharedArrayBuffer;
  readonly gate: SharedArrayBuffer;
  readonly mode: "local" | "producer" | "consumer";
  readonly count: number;
  readonly events: number;
}

const { buffer, ring, gate, mode, count, events } = workerData as Job;
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
const MASK = 2047;
let position = 0;
// The other side's counter is looked at only when what was seen of it is used up.
function produce(n: number): void {
  let room = Atomics.load(slots, 1) + MASK;
  for (let at = 0; at < n; at++, position++) {
    if ((position & 63) === 0) Atomics.store(slots, 0, position);
    while (position >= room) {
      Atomics.store(slots, 0, position);
      Atomics.wait(slots, 1, room - MASK, 1);
      room = Atomics.load(slots, 1) + MASK;
    }
    let address = heap.allocate(24 + (at & 127));
    while (address === -1) {
      heap.flush();
      address = heap.allocate(24 + (at & 127));
    }
    slots[2 + (position & MASK)] = address;
  }
  Atomics.store(slots, 0, position);
}
function consume(n: number): void {
  let ready = Atomics.load(slots, 0);
  for (let at = 0; at < n; at++, position++) {
    if ((position & 63) === 0) Atomics.store(slots, 1, position);
    while (position >= ready) {
      Atomics.store(slots, 1, position);
      Atomics.wait(slots, 0, ready, 1);
      ready = Atomics.load(slots, 0);
    }
    heap.free(slots[2 + (position & MASK)]!);
  }
  Atomics.store(slots, 1, position);
}
const work = { local, producer: (n: number) => produce(n / 2), consumer: (n: number) => consume(n / 2) }[mode];
for (let at = 0; at < 20; at++) work(20_000);
Atomics.add(start, 0, 1);
while (Atomics.load(start, 0) < count) Atomics.wait(start, 0, 1, 1);
/** Nanoseconds that this thread has had a processor: what the machine does besides does not count. */
const onProcessor = (): number => Number(readFileSync("/proc/thread-self/schedstat", "utf8").split(" ")[0]);
const from = onProcessor();
work(events);
const ns = (onProcessor() - from) / events;
parentPort?.postMessage(ns);
