/** Replays the events of one thread of a trace; events of one object wait for each other, whichever thread they belong to. */
import { parentPort, workerData } from "node:worker_threads";
import { allocateZeroed, BufferMemory } from "@pagewright/heap";
import { SharedHeap } from "@pagewright/heap/shared";
import { TraceOp } from "@pagewright/heap/trace";

/** What the workers of one replay share. Arrays are by event, but for those said to be by object. */
export interface TraceJob {
  readonly buffer: SharedArrayBuffer;
  readonly op: Uint8Array;
  readonly id: Uint32Array;
  readonly size: Uint32Array;
  readonly log2align: Uint8Array;
  /** The how manieth event of its object each event is. */
  readonly turn: Uint32Array;
  /** By object: how many of its events are done, the block's address, its size. */
  readonly done: Int32Array;
  readonly addresses: Int32Array;
  readonly sizes: Int32Array;
  /** Numbers of this worker's events. */
  readonly events: Uint32Array;
  /** By worker: the event that it is at. */
  readonly positions: Int32Array;
  /** This worker. */
  readonly me: number;
}

/** A worker is at most so many events ahead of the others: as in the program, whose threads wait for each other. */
const LEAD = 4096;
/** How often a worker looks where the others are. */
const LOOK = 64;

const { buffer, op, id, size, log2align, turn, done, addresses, sizes, events, positions, me } = workerData as TraceJob;
const heap = SharedHeap.attach(buffer);
const memory = new BufferMemory(buffer);
const { bytes } = memory;
let failures = 0;
let handedOver = 0;
const mine = new Uint8Array(done.length);

function holds(object: number, from: number, to: number): boolean {
  const address = addresses[object]!;
  for (let at = address + from; at < address + to; at++) if (bytes[at]! !== (object & 255)) return false;
  return true;
}

function slowest(): number {
  return positions.reduce((least, _, worker) => Math.min(least, Atomics.load(positions, worker)), Infinity);
}

function replay(event: number): void {
  const object = id[event]!;
  while (Atomics.load(done, object) !== turn[event]!) heap.flush();
  const kind = op[event]!;
  const before = sizes[object]!;
  const wanted = size[event]!;
  if (kind === TraceOp.free) {
    if (!holds(object, 0, before)) failures++;
    handedOver += 1 - mine[object]!;
    heap.free(addresses[object]!);
  } else {
    if (kind === TraceOp.realloc) addresses[object] = heap.resize(addresses[object]!, wanted);
    else if (kind === TraceOp.calloc) addresses[object] = allocateZeroed(heap, memory, wanted);
    else addresses[object] = heap.allocate(wanted, kind === TraceOp.memalign ? 2 ** log2align[event]! : 0);
    if (addresses[object] === -1) throw new Error(`event ${event}: no memory left`);
    if (kind === TraceOp.realloc && !holds(object, 0, Math.min(before, wanted))) failures++;
    bytes.fill(object & 255, addresses[object], addresses[object] + wanted);
    sizes[object] = wanted;
    mine[object] = 1;
  }
  Atomics.store(done, object, turn[event] + 1);
}

events.forEach((event, at) => {
  Atomics.store(positions, me, event);
  if (at % LOOK === 0) while (event - slowest() > LEAD) heap.flush();
  replay(event);
});
Atomics.store(positions, me, 2 ** 31 - 1);
heap.flush();
parentPort?.postMessage({ failures, handedOver });
parentPort?.once("message", () => {
  heap.flush();
  heap.detach();
  parentPort?.close();
});
