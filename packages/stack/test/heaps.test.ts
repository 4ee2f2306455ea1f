/** Heaps in the spaces of a stack: a space as the source of an allocator's memory, and pools for each processor of the machine. */
import { describe, expect, test } from "vitest";

import { Buddy, GeneralHeap, ObjectCache, OffsetAllocator, SpaceSource } from "@pagewright/heap";
import type { Allocator, BlockMemory, RangeSource } from "@pagewright/heap";
import { blockMemorySuite, rangeSourceSuite, useAtRandom } from "@pagewright/heap/testing";
import { physicalMapFromJson } from "@pagewright/machine";
import { audit, createStack, type Stack } from "@pagewright/stack";
import { SpaceMemory, type AddressSpace, type GapSearch } from "@pagewright/vmm";

const CPUS = 4;

interface Subject {
  readonly stack: Stack;
  readonly space: AddressSpace;
  readonly source: SpaceSource<{ readonly search: GapSearch }>;
}

function subject(search: GapSearch = "bottom-up"): Subject {
  const map = physicalMapFromJson({ entries: [{ base: 0, length: 32 * 2 ** 20, type: 1 }] });
  const stack = createStack({ map, cpus: CPUS });
  const space = stack.vmm.createSpace();
  if (space === null) throw new Error("no memory");
  return { stack, space, source: new SpaceSource(space, new SpaceMemory(space), { search }) };
}

/** So much of a space, which by itself never runs out. */
function limited(source: Subject["source"], most: number): RangeSource & BlockMemory {
  let left = most;
  return {
    reserve: (bytes, alignment) => {
      const address = bytes > left ? -1 : source.reserve(bytes, alignment);
      if (address !== -1) left -= bytes;
      return address;
    },
    release: (address, bytes) => {
      left += bytes;
      source.release(address, bytes);
    },
    discard: (address, bytes) => source.discard(address, bytes),
    fill: (address, bytes, value) => source.fill(address, bytes, value),
    copy: (from, to, bytes) => source.copy(from, to, bytes),
    load32: (address) => source.load32(address),
    store32: (address, value) => source.store32(address, value),
  };
}

describe("a space as the source of a heap", () => {
  for (const { name, run } of rangeSourceSuite) test(name, () => run(() => subject().source));
  for (const { name, run } of blockMemorySuite)
    test(name, () =>
      run(() => {
        const { source } = subject();
        const start = source.reserve(2 ** 18, 4096);
        // The suite's addresses count from the start of a memory.
        return {
          fill: (address, bytes, value) => source.fill(start + address, bytes, value),
          copy: (from, to, bytes) => source.copy(start + from, start + to, bytes),
          load32: (address) => source.load32(start + address),
          store32: (address, value) => source.store32(start + address, value),
        };
      }),
    );
});

const heaps: Readonly<Record<string, (source: RangeSource & BlockMemory) => Allocator>> = {
  "the general heap": (source) => new GeneralHeap(source),
  "the buddy heap": (source) => new Buddy(source, { bytes: 2 ** 18 }),
  "the offset allocator": (source) => new OffsetAllocator(source),
};

describe("heaps in a space", () => {
  for (const search of ["bottom-up", "top-down"] as const)
    for (const [name, make] of Object.entries(heaps))
      test(`${name} keeps its promises in regions found ${search}, and gives them all back`, () => {
        const { stack, space, source } = subject(search);
        const memory = limited(source, 2 ** 19);
        const allocator = make(memory);
        useAtRandom({ allocator, memory, largest: 9000, alignment: 4096, records: true }, 1, 150);
        allocator.destroy();
        expect(space.regions.count).toBe(0);
        audit(stack);
      });

  test("trimming gives the frames of what is free back, between live blocks too", () => {
    const { stack, source } = subject();
    const heap = new GeneralHeap(source);
    const blocks = Array.from({ length: 30 }, () => heap.allocate(2 ** 17));
    for (const block of blocks) source.fill(block, 2 ** 17, 1);
    const { freeFrames } = stack.pmm;
    const kept = blocks.splice(15, 1);
    for (const block of blocks) heap.free(block);
    heap.trim();
    heap.check();
    expect(stack.pmm.freeFrames - freeFrames).toBeGreaterThan(28 * 32);
    expect(source.load32(kept[0] ?? 0)).toBe(0x01010101);
    audit(stack);
  });
});

describe("pools for each processor of the machine", () => {
  test("what a processor frees it has again, what one takes and another frees comes round, and bytes stay whole", () => {
    const { stack, space, source } = subject();
    const cache = new ObjectCache(source, { objectBytes: 192, cpus: CPUS, magazine: 8 });
    const cpus = Array.from({ length: CPUS }, (_, number) => stack.enter(space, number));
    // Each processor works on objects of its own magazines.
    const own = cpus.map((_, number) => Array.from({ length: 20 }, () => cache.allocate(192, 0, number)));
    expect(new Set(own.flat()).size).toBe(20 * CPUS);
    own.forEach((objects, number) => objects.slice(0, 8).forEach((object) => cache.free(object, number)));
    own.forEach((objects, number) => {
      const again = Array.from({ length: 8 }, () => cache.allocate(192, 0, number));
      expect(new Set(again)).toEqual(new Set(objects.slice(0, 8)));
    });
    // Processor n stores into its objects; the next one reads them and frees them.
    own.forEach((objects, number) => {
      for (const object of objects) expect(cpus[number]?.store32(object, object ^ number)).toBe(true);
    });
    own.forEach((objects, number) => {
      const next = (number + 1) % CPUS;
      for (const object of objects) {
        expect(cpus[next]?.load32(object)).toBe((object ^ number) >>> 0);
        cache.free(object, next);
      }
    });
    cache.check();
    const { sourceCalls } = cache.stats();
    for (let number = 0; number < CPUS; number++)
      for (let at = 0; at < 20; at++) expect(cache.allocate(192, 0, number)).not.toBe(-1);
    expect(cache.stats()).toMatchObject({ sourceCalls, liveBlocks: 20 * CPUS });
    cache.reset();
    cache.reap();
    cache.check();
    expect(cache.stats().reservedBytes).toBe(0);
    audit(stack);
  });
});
