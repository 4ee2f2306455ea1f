/** The second pass: the trace again and again with nothing but the allocator in the loop. */
import { TraceOp } from "@pagewright/heap/trace";
import type { HeapTrace } from "@pagewright/heap/trace";
import type { Bench, HeapSubject } from "./subject.ts";

/**
 * Samples before and while time is taken, at least; of short traces as many more as have so many events. Of git-log the sixth round still
 * takes 1.7 times the tenth, and the tenth of python-json 1.1 times the twentieth, as slow paths are compiled one by one, on processor time that counts.
 */
const WARM_UP_ROUNDS = 20;
const ROUNDS = 9;
const LEAST_EVENTS = 4_000_000;

/** Repeating ends after so much processor time before, and as much while time is taken: few events that move large blocks say little more then. */
const ENOUGH_MICROSECONDS = 4_000_000;
/** Samples before and while time is taken however long they take. */
const FEWEST_ROUNDS = 3;

/** A sample repeats a short trace until it takes so long: the clock counts microseconds, and to ask it takes some. */
const LEAST_SAMPLE_MICROSECONDS = 2000;

/** Processor time of this process in microseconds. */
function processorTime(): number {
  const { user, system } = process.cpuUsage();
  return user + system;
}

/**
 * Returns nanoseconds of processor time per event, the loop included: the median of samples, each of one or, of short traces, more
 * rounds over the whole trace, which end by freeing what is still live. Zeroing and copying are part of it. Of no events it is 0.
 *
 * @param hints - The hint of each object, or null: then none is passed at all.
 * @param now - Microseconds of processor time so far.
 */
export function time(
  trace: HeapTrace,
  bench: Bench,
  hints: Uint32Array | null,
  now: () => number = processorTime,
): number {
  if (trace.events === 0) return 0;
  const addresses = new Int32Array(trace.objects);
  const list = eventsOf(trace, hints);
  const least = Math.ceil(LEAST_EVENTS / trace.events);
  let rounds = 1;
  const samplesOf = (most: number): number[] => {
    const samples: number[] = [];
    let spent = 0;
    while (samples.length < most && (samples.length < FEWEST_ROUNDS || spent < ENOUGH_MICROSECONDS)) {
      let events = 0;
      const before = now();
      for (let round = 0; round < rounds; round++) events += replay(trace, list, bench, addresses);
      const taken = now() - before;
      spent += taken;
      samples.push((taken * 1000) / events);
      if (taken < LEAST_SAMPLE_MICROSECONDS) rounds = Math.min(rounds * 2, least);
    }
    return samples;
  };
  samplesOf(Math.min(Math.max(WARM_UP_ROUNDS, least), 99));
  const samples = samplesOf(Math.min(Math.max(ROUNDS, least), 99)).sort((a, b) => a - b);
  return samples[samples.length >>> 1] ?? 0;
}

/** The events as arrays of small integers, which are what a loop passes on fastest. */
interface Events {
  readonly op: Int32Array;
  readonly id: Int32Array;
  readonly size: Int32Array | Float64Array;
  readonly alignment: Int32Array;
  /** The hint of the event's object; empty without hints. */
  readonly hint: Int32Array;
}

function eventsOf({ op, id, size, log2align }: HeapTrace, hints: Uint32Array | null): Events {
  const isHuge = size.some((bytes) => bytes >= 2 ** 31);
  return {
    op: Int32Array.from(op),
    id: Int32Array.from(id),
    size: isHuge ? Float64Array.from(size) : Int32Array.from(size),
    alignment: Int32Array.from(log2align, (log) => 1 << log),
    hint: hints === null ? new Int32Array(0) : Int32Array.from(id, (object) => hints[object]!),
  };
}

/** Replays once. @returns how many events that were, the frees at the end included. */
function replay(trace: HeapTrace, list: Events, bench: Bench, addresses: Int32Array): number {
  const { heap, endRound } = bench;
  addresses.fill(-1);
  const replayNext = list.hint.length === 0 ? replayStretch : replayHinted;
  // In stretches: a function that is entered often is optimised as a whole, not only its running loop.
  for (let from = 0; from < trace.events; from += STRETCH)
    replayNext(list, bench, addresses, from, Math.min(from + STRETCH, trace.events));
  if (endRound !== undefined) {
    endRound();
    return trace.events;
  }
  let left = 0;
  for (let from = 0; from < trace.objects; from += STRETCH)
    left += freeStretch(heap, addresses, from, Math.min(from + STRETCH, trace.objects));
  return trace.events + left;
}

const STRETCH = 4096;

function replayStretch(
  list: Events,
  { heap, allocateZeroed }: Bench,
  addresses: Int32Array,
  from: number,
  to: number,
): void {
  const { op, id, size, alignment } = list;
  for (let event = from; event < to; event++) {
    const kind = op[event]!;
    const object = id[event]!;
    if (kind === TraceOp.free) {
      heap.free(addresses[object]!);
      addresses[object] = -1;
    } else if (kind === TraceOp.malloc) addresses[object] = heap.allocate(size[event]!);
    else if (kind === TraceOp.realloc) addresses[object] = heap.resize(addresses[object]!, size[event]!);
    else if (kind === TraceOp.calloc) addresses[object] = allocateZeroed(size[event]!);
    else addresses[object] = heap.allocate(size[event]!, alignment[event]);
  }
}

/** The same with hints: an argument more in one loop would cost the other. */
function replayHinted(
  list: Events,
  { heap, allocateZeroed }: Bench,
  addresses: Int32Array,
  from: number,
  to: number,
): void {
  const { op, id, size, alignment, hint } = list;
  for (let event = from; event < to; event++) {
    const kind = op[event]!;
    const object = id[event]!;
    if (kind === TraceOp.free) {
      heap.free(addresses[object]!);
      addresses[object] = -1;
    } else if (kind === TraceOp.malloc) addresses[object] = heap.allocate(size[event]!, 0, hint[event]);
    else if (kind === TraceOp.realloc) addresses[object] = heap.resize(addresses[object]!, size[event]!);
    else if (kind === TraceOp.calloc) addresses[object] = allocateZeroed(size[event]!, 0, hint[event]);
    else addresses[object] = heap.allocate(size[event]!, alignment[event], hint[event]);
  }
}

function freeStretch(heap: HeapSubject, addresses: Int32Array, from: number, to: number): number {
  let count = 0;
  for (let object = from; object < to; object++) {
    const address = addresses[object]!;
    if (address === -1) continue;
    heap.free(address);
    count++;
  }
  return count;
}
