/** A worker that allocates, frees, and hands blocks to others through mail boxes, until it is ended. */
import { parentPort, workerData } from "node:worker_threads";
import { SharedHeap } from "@pagewright/heap/shared";

interface Job {
  readonly buffer: SharedArrayBuffer;
  /** 1024 boxes for each worker: an address, or 0. */
  readonly mail: SharedArrayBuffer;
  readonly me: number;
}

const { buffer, mail, me } = workerData as Job;
const heap = SharedHeap.attach(buffer);
const boxes = new Int32Array(mail);
const mine: number[] = [];
let random = me + 1;

function next(below: number): number {
  random = (Math.imul(random, 1103515245) + 12345) >>> 0;
  return (random >>> 8) % below;
}

function post(to: number, address: number): void {
  const before = Atomics.exchange(boxes, to * 1024 + next(1024), address);
  if (before !== 0) heap.free(before);
}

parentPort?.postMessage(heap.slot);
for (;;) {
  if (mine.length < 300 && next(100) < 55) {
    const address = heap.allocate(next(10) === 0 ? 1100 + next(30_000) : 8 + next(900));
    if (address !== -1) mine.push(address);
  } else if (mine.length > 0) {
    const at = next(mine.length);
    const address = mine[at] ?? 0;
    mine[at] = mine[mine.length - 1] ?? 0;
    mine.length--;
    if (next(2) === 0) heap.free(address);
    else post((me + 1 + next(2)) % 3, address);
  }
  post(me, 0);
  if (next(2000) === 0) heap.flush();
}
