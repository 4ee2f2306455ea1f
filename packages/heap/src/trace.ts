import { HeapError } from "./errors.ts";

/*
 * A record of what a program asked of its allocator. Little-endian:
 *
 *      header, 32 bytes                                   event, 12 bytes
 *       0  u32  "HTRC"                                     0  u8   0 malloc 1 calloc 2 realloc 3 memalign 4 free
 *       4  u32  version 1                                  1  u8   thread
 *       8  u32  events                                     2  u16  log2 of the alignment, of memalign
 *      12  u32  objects                                    4  u32  object, numbered in order of first allocation
 *      16  u64  largest sum of requested bytes alive       8  u32  size asked for; of free: the size at its death
 *      24  u32  threads
 *      28  u32  largest number of objects alive
 */

const MAGIC = 0x43525448;
const HEADER_BYTES = 32;
const EVENT_BYTES = 12;

/** The operations of a trace. */
export const TraceOp = { malloc: 0, calloc: 1, realloc: 2, memalign: 3, free: 4 } as const;

/** A decoded trace: one array per field, one element per event. */
export interface HeapTrace {
  /** How many events there are. */
  readonly events: number;
  /** How many objects: ids are 0 … objects − 1. */
  readonly objects: number;
  /** The largest sum of requested bytes of live objects. */
  readonly peakLiveBytes: number;
  /** How many threads: 0 … threads − 1. */
  readonly threads: number;
  /** The largest number of live objects. */
  readonly maxLiveObjects: number;
  /** One of {@link TraceOp}. */
  readonly op: Uint8Array;
  /** The thread that did it. */
  readonly thread: Uint8Array;
  /** log2 of the alignment that a memalign asked for. */
  readonly log2align: Uint8Array;
  /** The object. */
  readonly id: Uint32Array;
  /** Requested bytes; of a free the size at its death. */
  readonly size: Uint32Array;
}

/** Throws `bad-format` with a sentence where it does not hold. */
function expect(holds: boolean, subject: number, sentence: string): void {
  if (!holds) throw new HeapError("bad-format", subject, sentence);
}

/**
 * Decodes a trace and checks it: every free and realloc names a live object, every thread is one of the header's, and the header's largest numbers of
 * live bytes and live objects are those of the events. (Fewer threads than the header says may have allocated.)
 *
 * @throws HeapError `bad-format` with the sentence of what is wrong.
 */
export function decodeHeapTrace(bytes: Uint8Array): HeapTrace {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  expect(bytes.length >= HEADER_BYTES, bytes.length, "this is no allocation trace: fewer bytes than its header of 32");
  expect(
    view.getUint32(0, true) === MAGIC,
    view.getUint32(0, true),
    "this is no allocation trace: it does not start with HTRC",
  );
  expect(view.getUint32(4, true) === 1, view.getUint32(4, true), "only version 1 is known");
  const events = view.getUint32(8, true);
  const objects = view.getUint32(12, true);
  expect(
    bytes.length === HEADER_BYTES + events * EVENT_BYTES,
    bytes.length,
    "the length does not fit the number of events: truncated or corrupted",
  );
  expect(objects <= events, objects, "there are more objects than events");
  const trace = {
    events,
    objects,
    peakLiveBytes: view.getUint32(16, true) + view.getUint32(20, true) * 2 ** 32,
    threads: view.getUint32(24, true),
    maxLiveObjects: view.getUint32(28, true),
    op: new Uint8Array(events),
    thread: new Uint8Array(events),
    log2align: new Uint8Array(events),
    id: new Uint32Array(events),
    size: new Uint32Array(events),
  };
  for (let event = 0, at = HEADER_BYTES; event < events; event++, at += EVENT_BYTES) {
    trace.op[event] = view.getUint8(at);
    trace.thread[event] = view.getUint8(at + 1);
    const log = view.getUint16(at + 2, true);
    expect(log <= 30, event, "an alignment exceeds 1G");
    trace.log2align[event] = log;
    trace.id[event] = view.getUint32(at + 4, true);
    trace.size[event] = view.getUint32(at + 8, true);
  }
  checkLives(trace);
  return trace;
}

/** Throws where the header's largest number of something is not that of the events. */
function expectCount(what: string, said: number, counted: number): void {
  expect(
    said === counted,
    counted,
    `the header says ${said} as the largest number of ${what}, the events have ${counted}`,
  );
}

function checkLives(trace: HeapTrace): void {
  const { op, thread, id, size, events, objects, threads, peakLiveBytes, maxLiveObjects } = trace;
  const isLive = new Uint8Array(objects);
  const sizes = new Float64Array(objects);
  let live = 0;
  let peak = 0;
  let count = 0;
  let most = 0;
  for (let event = 0; event < events; event++) {
    const kind = op[event]!;
    const object = id[event]!;
    const bytes = size[event]!;
    expect(kind <= TraceOp.free && object < objects, event, "an event has no meaning");
    if (thread[event]! >= threads)
      expect(false, event, `an event is of thread ${thread[event]!}, the header says ${threads} threads`);
    const takes = kind !== TraceOp.realloc && kind !== TraceOp.free;
    expect(
      takes === (isLive[object] === 0),
      event,
      takes ? "a live object is allocated again" : "a dead object is used",
    );
    isLive[object] = kind === TraceOp.free ? 0 : 1;
    if (takes) count++;
    else if (kind === TraceOp.free) count--;
    if (count > most) most = count;
    live += (kind === TraceOp.free ? 0 : bytes) - sizes[object]!;
    sizes[object] = kind === TraceOp.free ? 0 : bytes;
    if (live > peak) peak = live;
  }
  expectCount("live bytes", peakLiveBytes, peak);
  expectCount("live objects", maxLiveObjects, most);
}

/** The bytes of a trace, as {@link decodeHeapTrace} reads them. */
export function encodeHeapTrace(trace: HeapTrace): Uint8Array {
  const bytes = new Uint8Array(HEADER_BYTES + trace.events * EVENT_BYTES);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, MAGIC, true);
  view.setUint32(4, 1, true);
  view.setUint32(8, trace.events, true);
  view.setUint32(12, trace.objects, true);
  view.setUint32(16, trace.peakLiveBytes >>> 0, true);
  view.setUint32(20, Math.floor(trace.peakLiveBytes / 2 ** 32), true);
  view.setUint32(24, trace.threads, true);
  view.setUint32(28, trace.maxLiveObjects, true);
  for (let event = 0, at = HEADER_BYTES; event < trace.events; event++, at += EVENT_BYTES) {
    view.setUint8(at, trace.op[event]!);
    view.setUint8(at + 1, trace.thread[event]!);
    view.setUint16(at + 2, trace.log2align[event]!, true);
    view.setUint32(at + 4, trace.id[event]!, true);
    view.setUint32(at + 8, trace.size[event]!, true);
  }
  return bytes;
}
