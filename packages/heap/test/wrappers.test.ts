import { describe, expect, test } from "vitest";
import {
  BufferMemory,
  DebugHeap,
  GeneralHeap,
  NumberRange,
  OffsetAllocator,
  Quota,
  SamplingGuard,
  Statistics,
  Tlsf,
  Tracer,
} from "@pagewright/heap";
import { decodeHeapTrace, encodeHeapTrace, replayTrace } from "@pagewright/heap";
import { seeded } from "../src/testing/case.ts";

function memoryOf(kib: number): BufferMemory {
  return new BufferMemory(new ArrayBuffer(kib * 1024));
}

describe("the sampling guard", () => {
  test("a freed block's page is taken away, and a fault there is explained", () => {
    const memory = memoryOf(256);
    const away = new Set<number>();
    const guard = {
      protect: (address: number, bytes: number, access: string): void => {
        for (let page = address; page < address + bytes; page += 4096) {
          if (access === "none") away.add(page);
          else away.delete(page);
        }
      },
    };
    const heap = new SamplingGuard(new Tlsf(memory), memory, guard, { every: 1, random: () => 0, slots: 2 });
    const block = heap.allocate(100);
    const page = Math.floor(block / 4096) * 4096;
    expect([away.has(page - 4096), away.has(page), away.has(page + 4096)]).toEqual([true, false, true]);
    expect(heap.explain(page + 4096)).toEqual({ block, kind: "overflow" });
    expect(heap.explain(page - 1)).toEqual({ block, kind: "underflow" });
    heap.free(block);
    expect(away.has(page)).toBe(true);
    expect(heap.explain(block + 4)).toEqual({ block, kind: "use-after-free" });
    expect(() => heap.free(block)).toThrow(expect.objectContaining({ code: "double-free" }));
  });
});

test("a guard that was destroyed refuses use, and its check finds what does not fit", () => {
  const memory = memoryOf(256);
  const heap = new SamplingGuard(new Tlsf(memory), memory, { protect: () => undefined }, { every: 1, random: () => 0 });
  const blocks = Array.from({ length: 20 }, (_, at) => heap.allocate(at * 100));
  heap.check();
  for (const block of blocks) heap.free(block);
  heap.check();
  heap.destroy();
  expect(() => heap.allocate(8)).toThrow(expect.objectContaining({ code: "destroyed" }));
  expect(heap.owns(blocks[0] ?? 0)).toBe(false);
});

test("a sampling guard guards one block in so many, whatever the program does", () => {
  const memory = memoryOf(1024);
  let state = 1;
  const random = (): number => (state = (state * 16807) % 2147483647) / 2147483647;
  let guarded = 0;
  const guard = {
    protect: (_at: number, _bytes: number, access: string) => void (guarded += access === "none" ? 0 : 1),
  };
  const heap = new SamplingGuard(new Tlsf(memory), memory, guard, { every: 100, random });
  for (let at = 0; at < 200_000; at++) heap.free(heap.allocate(at % 300));
  // 2000 on average; distances are spread evenly between 1 and 200, so four deviations are about 104.
  expect(Math.abs(guarded - 2000)).toBeLessThan(104);
});

test("guarded blocks are aligned as others are, so that a debug heap can have them", () => {
  const memory = memoryOf(256);
  const guard = { protect: () => undefined };
  const heap = new DebugHeap(new SamplingGuard(new Tlsf(memory), memory, guard, { every: 1, random: () => 0 }), memory);
  for (const alignment of [1, 2, 4, 8, 64]) heap.free(heap.allocate(21, alignment));
  heap.check();
  heap.reset();
  heap.check();
});

test("a quota refuses what exceeds it and admits it after a free", () => {
  const heap = new Quota(new GeneralHeap(memoryOf(256)), 1000);
  const block = heap.allocate(600);
  expect(heap.allocate(600)).toBe(-1);
  expect(heap.resize(block, 2000)).toBe(-1);
  heap.free(block);
  expect(heap.used).toBe(0);
  expect(heap.allocate(600)).not.toBe(-1);
  heap.check();
});

test("a quota is kept to the byte, resizes that fail change nothing, and foreign blocks do not count", () => {
  const inner = new GeneralHeap(memoryOf(256));
  const heap = new Quota(inner, 1000);
  const block = heap.allocate(100);
  expect(heap.resize(block, 1001)).toBe(-1);
  expect([heap.used, heap.usableSize(block) >= 100]).toEqual([100, true]);
  const grown = heap.resize(block, 1000);
  expect([heap.used, heap.allocate(1)]).toEqual([1000, -1]);
  expect(heap.allocate(0)).not.toBe(-1);
  heap.check();
  heap.free(inner.allocate(50));
  expect(heap.used).toBe(1000);
  expect(heap.resize(grown, 10)).not.toBe(-1);
  expect([heap.used, heap.allocate(990) === -1]).toEqual([10, false]);
  heap.check();
  const small = new Quota(new Tlsf(memoryOf(4)), 10_000);
  const all = small.allocate(3000);
  expect([small.resize(all, 5000), small.used, small.allocate(5000), small.used]).toEqual([-1, 3000, -1, 3000]);
  small.check();
});

test.each([
  ["in granules of 1 from 0 on", 0, 1],
  ["in granules of 12", 2 ** 20, 12],
  ["across 2^31", 2 ** 31 - 4096, 8],
  ["beyond 2^40, of 1 GiB each", 2 ** 40 + 2 ** 25, 2 ** 30],
])("a quota and a tracer know their blocks wherever they lie: %s", (_name, start, granule) => {
  const random = seeded(11);
  const quota = new Quota(
    new OffsetAllocator(new NumberRange(start, start + granule * 600), { granule }),
    granule * 300,
  );
  const heap = new Tracer(quota);
  const sizes = new Map<number, number>();
  const peak = { blocks: 0, bytes: 0 };
  const note = (): void => {
    const used = [...sizes.values()].reduce((sum, size) => sum + size, 0);
    expect(quota.used).toBe(used);
    peak.blocks = Math.max(peak.blocks, sizes.size);
    peak.bytes = Math.max(peak.bytes, used);
  };
  for (let step = 0; step < 3000; step++) {
    const size = Math.floor(random() * 5 * granule);
    const block = heap.allocate(size);
    if (block !== -1) sizes.set(block, size);
    note();
    const [some = -1] = [...sizes.keys()].slice(Math.floor(random() * sizes.size));
    if (random() < 0.5) {
      const to = heap.resize(some, size);
      if (to === some) sizes.set(some, size);
    } else {
      heap.free(some);
      sizes.delete(some);
    }
    note();
    if (step % 100 === 0) heap.check();
  }
  const noted = granule < 2 ** 30 ? heap.trace() : null;
  if (noted !== null) expect([noted.maxLiveObjects, noted.peakLiveBytes]).toEqual([peak.blocks, peak.bytes]);
  else expect(() => heap.trace()).toThrow(expect.objectContaining({ code: "bad-size" }));
  heap.reset();
  expect([quota.used, heap.allocate(granule * 301), heap.allocate(granule * 200) === -1]).toEqual([0, -1, false]);
});

test("blocks that a reset ended are not live to statistics", () => {
  const heap = new Statistics(new GeneralHeap(memoryOf(64)));
  for (let at = 0; at < 10; at++) heap.allocate(8);
  heap.reset();
  for (let at = 0; at < 11; at++) heap.allocate(8);
  expect(heap.counts()).toMatchObject({ allocations: 21, frees: 10, peakBlocks: 11 });
});

test("statistics count what goes through", () => {
  const heap = new Statistics(new GeneralHeap(memoryOf(64)));
  const block = heap.allocate(100);
  heap.free(heap.allocate(7));
  heap.resize(block, 5000);
  heap.allocate(1e6);
  expect(heap.counts()).toMatchObject({
    allocations: 2,
    frees: 1,
    resizes: 1,
    moves: 1,
    refusals: 1,
    requestedBytes: 107,
    peakBlocks: 2,
  });
  expect(heap.counts().bySize[7]).toBe(1);
});

test("what a tracer records replays on another allocator, byte for byte through the file format", () => {
  const memory = memoryOf(256);
  const tracer = new Tracer(new GeneralHeap(memory));
  const blocks = [tracer.allocate(10), tracer.allocateZeroed(memory, 100), tracer.allocate(64, 256)];
  blocks[0] = tracer.resize(blocks[0] ?? 0, 5000);
  tracer.free(blocks[1] ?? 0);
  const trace = tracer.trace();
  expect(trace).toMatchObject({ events: 5, objects: 3, peakLiveBytes: 5164, maxLiveObjects: 3 });
  const bytes = encodeHeapTrace(trace);
  const decoded = decodeHeapTrace(bytes);
  expect(encodeHeapTrace(decoded)).toEqual(bytes);
  const otherMemory = memoryOf(256);
  const other = new Tlsf(otherMemory);
  const addresses = replayTrace(decoded, other, otherMemory);
  expect(addresses?.filter((address) => address !== -1).length).toBe(2);
  expect(other.stats().liveBlocks).toBe(2);
  other.check();
});

test.each([
  ["cut short", (bytes: Uint8Array) => bytes.subarray(0, bytes.length - 1)],
  ["of another kind", (bytes: Uint8Array) => bytes.map((byte, at) => (at === 0 ? 0 : byte))],
  ["that frees twice", (bytes: Uint8Array) => bytes.map((byte, at) => (at === bytes.length - 12 ? 4 : byte))],
])("a trace %s is refused", (_name, damage) => {
  const tracer = new Tracer(new Tlsf(memoryOf(64)));
  tracer.free(tracer.allocate(8));
  tracer.allocate(9);
  expect(() => decodeHeapTrace(damage(encodeHeapTrace(tracer.trace())))).toThrow(
    expect.objectContaining({ code: "bad-format" }),
  );
});
