import { describe, expect, test } from "vitest";
import {
  Buddy,
  BufferMemory,
  DebugHeap,
  GeneralHeap,
  NumberRange,
  ObjectCache,
  OffsetAllocator,
  Pool,
  Profiler,
  Quota,
  SamplingGuard,
  SharedHeap,
  Tlsf,
  Tracer,
} from "@pagewright/heap";

const memory = (): BufferMemory => new BufferMemory(new ArrayBuffer(2 ** 18));
const general = (): GeneralHeap => new GeneralHeap(memory());
const guarded = (options: object): SamplingGuard => {
  const source = memory();
  return new SamplingGuard(new Tlsf(source), source, { protect: () => undefined }, { random: () => 0, ...options });
};
const shared = (options: object): SharedHeap => SharedHeap.create(new SharedArrayBuffer(2 ** 18), options);

/** What each option must not be, and what makes something with it. */
const refused: Readonly<Record<string, readonly [values: readonly number[], make: (value: number) => unknown]>> = {
  "slots of a pool": [[0, -1, 0.5, NaN, Infinity], (value) => new Pool(memory(), 32, value)],
  "smallest block of a buddy heap": [
    [0, -1, 0.5, 3, NaN],
    (value) => new Buddy(memory(), { bytes: 4096, minBytes: value }),
  ],
  "line of an object cache": [
    [-1, 0.5, NaN, Infinity],
    (value) => new ObjectCache(memory(), { objectBytes: 40, lineBytes: value }),
  ],
  "interval of a profiler": [
    [0, -1, NaN],
    (value) => new Profiler(general(), { random: () => 0.5, intervalBytes: value }),
  ],
  "quarantine of a debug heap": [
    [-1, 0.5, NaN, Infinity],
    (value) => new DebugHeap(general(), memory(), { quarantine: value }),
  ],
  "rate of a sampling guard": [[0, -1, NaN], (value) => guarded({ every: value })],
  "slots of a sampling guard": [[0, -1, 0.5, NaN, Infinity], (value) => guarded({ slots: value })],
  "page of a sampling guard": [[0, -8, 1.5, 100, NaN, Infinity], (value) => guarded({ pageBytes: value })],
  quota: [[-1, NaN], (value) => new Quota(general(), value)],
  "thread of a tracer": [[-1, 0.5, 256, NaN], (value) => new Tracer(general(), value)],
  "slots of a shared heap": [[0, -1, 1.5, 65, NaN], (value) => shared({ slots: value })],
  "start of a shared heap": [[-8, 0.5, 4, 2 ** 18, NaN, Infinity], (value) => shared({ start: value })],
  "end of a shared heap": [[0, -8, 2 ** 18 + 8, 2 ** 53, NaN, Infinity], (value) => shared({ end: value })],
};

describe.each(Object.entries(refused))("the %s", (_name, [values, make]) => {
  test.each(values)("is not %d", (value) => {
    expect(() => make(value)).toThrow(expect.objectContaining({ name: "HeapError" }));
  });
});

test("a shared heap is not looked for where none can start, nor opened where its end is missing", () => {
  const buffer = new SharedArrayBuffer(2 ** 18);
  SharedHeap.create(buffer);
  for (const start of [-8, 0.5, 1, 4, NaN, 2 ** 40])
    expect(() => SharedHeap.attach(buffer, start)).toThrow(expect.objectContaining({ code: "bad-format" }));
  expect(() => SharedHeap.reopen(buffer.slice(0, 2 ** 18 - 4096))).toThrow(
    expect.objectContaining({ code: "bad-format" }),
  );
  expect(SharedHeap.reopen(buffer.slice(0)).allocate(8)).not.toBe(-1);
});

test("chunks of no number of bytes are as long as what is asked for, and leave a source as it was", () => {
  for (const chunkBytes of [NaN, Infinity]) {
    const range = new NumberRange(0, 2 ** 20);
    const heap = new OffsetAllocator(range, { chunkBytes });
    expect(heap.allocate(8)).toBe(0);
    heap.check();
    heap.destroy();
    expect([range.reserve(NaN, 8), range.reserve(2 ** 20, 8)]).toEqual([-1, 0]);
  }
});
