/** The second pass: the trace again and again with nothing but the allocator in the loop. */
import { TraceOp } from "@pagewright/heap/trace";
import type { HeapTrace } from "@pagewright/heap/trace";
import type { HeapSubject } from "./subject.ts";

/** How long the timing pass goes on at least, and how many rounds it takes. */
const WARM_UP_ROUNDS = 3;
const ROUNDS = 9;

/**
 * Returns nanoseconds of processor time per event, the loop included: the median of rounds over the whole trace, each of
 * which ends by freeing what is still live. Zeroing and copying are part of it.
 */
export function time(trace: HeapTrace, heap: HeapSubject): number {
  const addresses = new Int32Array(trace.objects);
  const samples: number[] = [];
  for (let round = 0; round < WARM_UP_ROUNDS + ROUNDS; round++) {
    const before = process.cpuUsage();
    const events = replay(trace, heap, addresses);
    const { user, system } = process.cpuUsage(before);
    if (round >= WARM_UP_ROUNDS) samples.push(((user + system) * 1000) / events);
  }
  samples.sort((a, b) => a - b);
  return samples[samples.length >>> 1] ?? 0;
}

/** Replays once. @returns how many events that were, the frees at the end included. */
function replay(trace: HeapTrace, heap: HeapSubject, addresses: Int32Array): number {
  const { op, id, size, log2align, events, objects } = trace;
  addresses.fill(-1);
  for (let event = 0; event < events; event++) {
    const kind = op[event]!;
    const object = id[event]!;
    if (kind === TraceOp.free) {
      heap.free(addresses[object]!);
      addresses[object] = -1;
    } else if (kind === TraceOp.malloc) addresses[object] = heap.allocate(size[event]!);
    else if (kind === TraceOp.realloc) addresses[object] = heap.resize(addresses[object]!, size[event]!);
    else if (kind === TraceOp.calloc) addresses[object] = heap.allocateZeroed(size[event]!);
    else addresses[object] = heap.allocate(size[event]!, 1 << log2align[event]!);
  }
  let total = events;
  for (let object = 0; object < objects; object++) {
    const address = addresses[object]!;
    if (address === -1) continue;
    heap.free(address);
    total++;
  }
  return total;
}
