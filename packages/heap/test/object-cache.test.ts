import { expect, test } from "vitest";
import { BufferMemory, NumberRange, ObjectCache } from "@pagewright/heap";

test("objects are constructed once, keep their state while free, and are destructed when reaped", () => {
  const memory = new BufferMemory(new ArrayBuffer(2 ** 16));
  let constructed = 0;
  let destructed = 0;
  const cache = new ObjectCache(memory, {
    objectBytes: 100,
    construct: (address) => {
      constructed++;
      memory.store32(address, 7);
    },
    destruct: () => destructed++,
  });
  for (let round = 0; round < 1000; round++) {
    const object = cache.allocate();
    expect(memory.load32(object)).toBe(7);
    cache.free(object);
  }
  expect(constructed).toBe(39);
  expect(cache.reap()).toBe(1);
  expect(destructed).toBe(39);
  expect(cache.stats().reservedBytes).toBe(0);
  cache.check();
});

test("slabs start their objects at different cache lines", () => {
  const memory = new BufferMemory(new ArrayBuffer(2 ** 16));
  const cache = new ObjectCache(memory, { objectBytes: 600, slabBytes: 4096 });
  const starts = new Set<number>();
  for (let at = 0; at < 60; at++) starts.add((cache.allocate() % 4096) % 600);
  expect([...starts].sort((a, b) => a - b)).toEqual([0, 64, 128, 192, 256, 320, 384, 448]);
});

test("each CPU has magazines of its own, and full ones go through the depot", () => {
  const memory = new BufferMemory(new ArrayBuffer(2 ** 20));
  const cache = new ObjectCache(memory, { objectBytes: 64, cpus: 2, magazine: 8 });
  const objects = Array.from({ length: 500 }, () => cache.allocate(64, 0, 0));
  for (const object of objects) cache.free(object, 1);
  const calls = cache.stats().sourceCalls;
  const again = Array.from({ length: 500 }, () => cache.allocate(64, 0, 1));
  expect(new Set(again)).toEqual(new Set(objects));
  expect(cache.stats().sourceCalls).toBe(calls);
  cache.check();
  expect(() => cache.allocate(64, 0, 2)).toThrow(expect.objectContaining({ code: "bad-option" }));
});

test("a constructor that throws costs no memory, and what it had constructed is destructed", () => {
  const range = new NumberRange(0, 2 ** 16);
  const made = new Set<number>();
  let left = 100;
  const cache = new ObjectCache(range, {
    objectBytes: 64,
    construct: (address) => {
      if (left-- === 0) throw new Error("broken");
      made.add(address);
    },
    destruct: (address) => made.delete(address),
  });
  const objects = Array.from({ length: 64 }, () => cache.allocate());
  expect(() => cache.allocate()).toThrow("broken");
  cache.check();
  expect(cache.stats()).toMatchObject({ liveBlocks: 64, reservedBytes: 4096 });
  expect(range.top).toBe(4096);
  expect(made).toEqual(new Set(objects));
  left = Infinity;
  expect(cache.allocate()).not.toBe(-1);
  cache.destroy();
  expect(made.size).toBe(0);
  expect(range.top).toBe(0);
});

test("objects are aligned whatever the cache line, and options that make no cache are refused", () => {
  for (const lineBytes of [0, 8, 48, 100])
    for (const alignment of [1, 32, 64]) {
      const cache = new ObjectCache(new NumberRange(0, 2 ** 20), { objectBytes: 600, alignment, lineBytes });
      for (let at = 0; at < 100; at++) expect(cache.allocate() % alignment).toBe(0);
      cache.check();
    }
  for (const wrong of [{ cpus: 0 }, { magazine: 0 }, { cpus: 1.5 }, { magazine: NaN }, { slabBytes: 3000 }])
    expect(() => new ObjectCache(new NumberRange(0, 2 ** 20), { objectBytes: 64, ...wrong })).toThrow(
      expect.objectContaining({ code: "bad-option" }),
    );
});

test("what sits in the magazines of other CPUs is found when memory has run out", () => {
  const cache = new ObjectCache(new NumberRange(0, 8192), { objectBytes: 64, cpus: 3, magazine: 16 });
  const objects: number[] = [];
  for (let at = cache.allocate(); at !== -1; at = cache.allocate()) objects.push(at);
  expect(objects.length).toBe(128);
  objects.forEach((object, at) => cache.free(object, at % 2));
  for (let at = 0; at < 128; at++) expect(cache.allocate(64, 0, 2)).not.toBe(-1);
  expect(cache.allocate(64, 0, 2)).toBe(-1);
  cache.check();
});
