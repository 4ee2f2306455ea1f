import { describe, expect, test } from "vitest";
import { BufferMemory, GeneralHeap, NumberRange, OffsetAllocator, Tlsf } from "@pagewright/heap";
import type { Allocator, GrowthPolicy, RangeSource } from "@pagewright/heap";
import { SplitMemory, SplitRange } from "./memories.ts";

type Trimmed = Allocator & { trim(): void };

const heaps: Readonly<Record<string, (source: RangeSource, policy: GrowthPolicy) => Trimmed>> = {
  "the general heap": (source, policy) => new GeneralHeap(source, policy),
  "the offset allocator": (source, policy) => new OffsetAllocator(source, policy),
};
const sources: Readonly<Record<string, () => RangeSource>> = {
  "one range": () => new NumberRange(0, 2 ** 24),
  "ranges that never follow each other": () => new SplitRange(2 ** 24),
};

/** Takes 2 MB in blocks of 10,000 and frees all. */
function burst(heap: Allocator, atPeak: () => void = () => undefined): void {
  const blocks = Array.from({ length: 200 }, () => heap.allocate(10_000));
  expect(blocks).not.toContain(-1);
  atPeak();
  for (const block of blocks) heap.free(block);
}

function givesBack<Source extends RangeSource>(
  heapName: string,
  make: (source: Source, policy: GrowthPolicy) => Trimmed,
  sourcesOf: Readonly<Record<string, () => Source>>,
): void {
  for (const [sourceName, source] of Object.entries(sourcesOf))
    describe(`${heapName} over ${sourceName}`, () => {
      test("keeps what it has for a while after it last grew, then gives back what is free but for what it retains", () => {
        let now = 0;
        const heap = make(source(), { clock: { now: () => now }, retainMs: 1000, retainBytes: 131_072 });
        burst(heap);
        const { reservedBytes } = heap.stats();
        expect(reservedBytes).toBeGreaterThan(2_000_000);
        now = 999;
        burst(heap);
        expect(heap.stats().reservedBytes).toBe(reservedBytes);
        now = 1000;
        burst(heap);
        expect(heap.stats().reservedBytes).toBeLessThan(250_000);
        expect(heap.stats().reservedBytes).toBeGreaterThanOrEqual(131_072);
        heap.check();
        burst(heap, () => heap.check());
        heap.check();
      });

      test("without a clock keeps all until it is trimmed, which gives all back", () => {
        const range = source();
        const heap = make(range, {});
        burst(heap);
        burst(heap);
        expect(heap.stats().reservedBytes).toBeGreaterThan(2_000_000);
        heap.trim();
        heap.check();
        expect(heap.stats()).toMatchObject({ reservedBytes: 0, liveBlocks: 0 });
        expect(range.reserve(2 ** 22, 4096)).not.toBe(-1);
      });
    });
}

for (const [heapName, make] of Object.entries(heaps)) givesBack(heapName, make, sources);

for (const [heapName, make] of Object.entries(heaps))
  test(`${heapName} discards large free ranges between live blocks a while after it last grew, and not at each free`, () => {
    let now = 0;
    const range = new NumberRange(0, 2 ** 24);
    const discarded: [number, number][] = [];
    const source = {
      reserve: (bytes: number, alignment: number) => range.reserve(bytes, alignment),
      release: (address: number, bytes: number) => range.release(address, bytes),
      discard: (address: number, bytes: number) => discarded.push([address, bytes]),
    };
    const heap = make(source, { clock: { now: () => now }, retainMs: 1000, retainBytes: 2 ** 16 });
    const [first = -1, second = -1, last = -1] = [2 ** 20, 2 ** 20, 10_000].map((size) => heap.allocate(size));
    now = 999;
    heap.free(first);
    expect(discarded).toEqual([]);
    const { reservedBytes } = heap.stats();
    now = 1000;
    heap.free(second);
    expect(discarded).toEqual([[first, 2 ** 21]]);
    heap.free(heap.allocate(2 ** 20));
    expect(discarded.length).toBe(1);
    now = 2000;
    heap.free(heap.allocate(2 ** 20));
    expect(discarded.length).toBe(2);
    expect(heap.usableSize(last)).toBeGreaterThanOrEqual(10_000);
    expect(heap.stats().reservedBytes).toBeLessThanOrEqual(reservedBytes);
    heap.check();
  });

givesBack<BufferMemory>("TLSF", (source, policy) => new Tlsf(source, policy), {
  "one range": () => new BufferMemory(new ArrayBuffer(2 ** 23)),
  "ranges that never follow each other": () => new SplitMemory(2 ** 23),
});

test("TLSF gives the ends of all its chunks back", () => {
  const memory = new BufferMemory(new ArrayBuffer(2 ** 23));
  let now = 0;
  const heap = new Tlsf(memory, { clock: { now: () => now }, retainMs: 10, retainBytes: 65_536 });
  const blocks: number[] = [];
  for (let at = 0; at < 200; at++) {
    blocks.push(heap.allocate(10_000));
    // Ranges of others keep chunks from following each other.
    if (at % 20 === 0) memory.reserve(64, 8);
  }
  const kept = blocks.splice(100, 1);
  now = 10;
  for (const block of blocks) heap.free(block);
  heap.check();
  expect(heap.stats().reservedBytes).toBeLessThan(1_000_000);
  heap.trim();
  heap.check();
  // The chunk of the block that is kept stays, up to its end.
  expect(heap.stats().reservedBytes).toBeLessThan(250_000);
  expect(heap.usableSize(kept[0] ?? 0)).toBeGreaterThanOrEqual(10_000);
});

test("TLSF keeps nothing back for a number of bytes below 0, and stays whole", () => {
  let now = 0;
  const heap = new Tlsf(new BufferMemory(new ArrayBuffer(2 ** 20)), { clock: { now: () => now }, retainBytes: -100 });
  const kept = heap.allocate(10_000);
  const last = heap.allocate(10_000);
  now = 1000;
  heap.free(last);
  heap.check();
  expect(heap.stats().reservedBytes).toBeLessThan(20_000);
  const [first, second] = [heap.allocate(16), heap.allocate(16)];
  now = 2000;
  heap.free(first);
  heap.free(second);
  heap.check();
  expect(heap.owns(kept)).toBe(true);
});
