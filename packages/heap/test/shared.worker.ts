/** One worker of the shared-heap tests: allocates, checks, and hands half of its blocks to its neighbour through a ring. */
import { parentPort, workerData } from "node:worker_threads";
import { SharedHeap } from "@pagewright/heap/shared";

interface Job {
  readonly buffer: SharedArrayBuffer;
  readonly rings: SharedArrayBuffer;
  readonly me: number;
  readonly workers: number;
  readonly rounds: number;
}

const RING = 1024;
const { buffer, rings, me, workers, rounds } = workerData as Job;
const heap = SharedHeap.attach(buffer);
const words = new Int32Array(buffer);
const ring = new Int32Array(rings);
const ringOf = (worker: number): number => worker * (RING + 2);
const mine: number[] = [];
let random = me + 1;
let failures = 0;

function next(below: number): number {
  random = (Math.imul(random, 1103515245) + 12345) >>> 0;
  return (random >>> 8) % below;
}

/** Every word of a block holds its address; whoever frees it looks. */
function take(): void {
  const size = next(20) === 0 ? 1100 + next(9000) : 8 + next(600);
  const address = heap.allocate(size);
  if (address === -1) return;
  words[address >>> 2] = size;
  words.fill(address, (address >>> 2) + 1, (address + size) >>> 2);
  mine.push(address);
}

function give(address: number): void {
  const size = words[address >>> 2] ?? 0;
  for (let at = (address >>> 2) + 1; at < (address + size) >>> 2; at++) if (words[at] !== address) failures++;
  heap.free(address);
}

/** A ring of one writer and one reader: element 0 is where to write, 1 where to read. */
function send(address: number): boolean {
  const to = ringOf((me + 1) % workers);
  const write = Atomics.load(ring, to);
  if (write - Atomics.load(ring, to + 1) === RING) return false;
  ring[to + 2 + (write % RING)] = address;
  Atomics.store(ring, to, write + 1);
  return true;
}

function receive(): number {
  const from = ringOf(me);
  const read = Atomics.load(ring, from + 1);
  if (read === Atomics.load(ring, from)) return -1;
  const address = ring[from + 2 + (read % RING)] ?? -1;
  Atomics.store(ring, from + 1, read + 1);
  return address;
}

for (let round = 0; round < rounds; round++) {
  if (mine.length < 400 && next(100) < 60) take();
  else if (mine.length > 0) {
    const at = next(mine.length);
    const address = mine[at] ?? -1;
    mine[at] = mine[mine.length - 1] ?? -1;
    mine.length--;
    if (next(2) === 0 || !send(address)) give(address);
  }
  const got = receive();
  if (got !== -1) give(got);
}
for (const address of mine) give(address);
heap.flush();
parentPort?.postMessage({ failures, slot: heap.slot });
parentPort?.once("message", () => {
  for (let got = receive(); got !== -1; got = receive()) give(got);
  heap.flush();
  parentPort?.postMessage("flushed");
  parentPort?.once("message", () => {
    heap.detach();
    parentPort?.close();
  });
});
