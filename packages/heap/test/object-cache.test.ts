import { expect, test } from "vitest";
import { BufferMemory, NumberRange, ObjectCache } from "@pagewright/heap";
import { SplitRange } from "./memories.ts";

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
    chunkBytes: 8192,
    construct: (address) => {
      if (left-- === 0) throw new Error("broken");
      made.add(address);
    },
    destruct: (address) => made.delete(address),
  });
  const objects = Array.from({ length: 64 }, () => cache.allocate());
  for (let round = 0; round < 3; round++) {
    expect(() => cache.allocate()).toThrow("broken");
    left = 20;
    cache.check();
    expect(cache.stats()).toMatchObject({ liveBlocks: 64, reservedBytes: 8192, sourceCalls: 1 });
    expect(made).toEqual(new Set(objects));
  }
  left = Infinity;
  expect(cache.allocate()).not.toBe(-1);
  cache.destroy();
  expect(made.size).toBe(0);
  expect(range.top).toBe(0);
});

test("memory is taken in growing chunks: a million objects take no more than 50 calls to the source", () => {
  const cache = new ObjectCache(new NumberRange(0, 2 ** 30), { objectBytes: 64 });
  for (let at = 0; at < 1e6; at++) cache.allocate();
  const { sourceCalls, reservedBytes } = cache.stats();
  expect(sourceCalls).toBeLessThan(51);
  expect(reservedBytes).toBeLessThan(1e6 * 64 * 1.13);
});

test("slabs at the end of a chunk are given back, others are kept without contents and constructed anew", () => {
  const range = new SplitRange(2 ** 18);
  const made = new Set<number>();
  const cache = new ObjectCache(range, {
    objectBytes: 512,
    chunkBytes: 16384,
    lineBytes: 0,
    construct: (address) => void made.add(address),
    destruct: (address) => void made.delete(address),
  });
  const objects = Array.from({ length: 160 }, () => cache.allocate());
  const full = cache.stats().reservedBytes;
  expect(full).toBeGreaterThanOrEqual(160 * 512);
  // One object stays in the middle of each chunk.
  const stay = objects.filter((address) => address % 16384 === 4096);
  for (const object of objects) if (!stay.includes(object)) cache.free(object);
  expect(cache.reap()).toBe(20 - stay.length);
  cache.check();
  // Of each chunk its slabs up to the object's are left: the first of those that start at 4096, and the second of those that start at 2^33.
  const left = stay.reduce((sum, address) => sum + (address >= 2 ** 33 ? 8192 : 4096), 0);
  expect(cache.stats().reservedBytes).toBe(left);
  expect(cache.stats().reservedBytes).toBeLessThan(full);
  expect(made.size).toBe(stay.length * 8);
  expect(() => cache.free((stay[0] ?? 0) - 4096)).toThrow(expect.objectContaining({ code: "wild-free" }));
  const again = Array.from({ length: 160 }, () => cache.allocate());
  expect(new Set([...again, ...stay]).size).toBe(160 + stay.length);
  for (const object of again) expect(made.has(object)).toBe(true);
  cache.check();
  cache.destroy();
  expect(made.size).toBe(0);
});

test("objects of several CPUs stay apart through frees elsewhere, reaping and exhaustion", () => {
  let state = 7;
  const random = (below: number): number => (state = (state * 48271) % 2147483647) % below;
  for (const magazine of [1, 3, 32]) {
    const made = new Set<number>();
    const cache = new ObjectCache(new SplitRange(2 ** 17), {
      objectBytes: 200,
      magazine,
      cpus: 3,
      chunkBytes: 8192,
      construct: (address) => void made.add(address),
      destruct: (address) => void made.delete(address),
    });
    const live = new Set<number>();
    for (let step = 0; step < 4000; step++) {
      const cpu = random(3);
      if (random(1000) === 0) cache.reap();
      if (random(100) < (step % 1000 < 500 ? 70 : 30)) {
        const object = cache.allocate(200, 0, cpu);
        if (object === -1) continue;
        expect(live.has(object)).toBe(false);
        expect(made.has(object)).toBe(true);
        live.add(object);
      } else {
        const object = [...live][random(live.size || 1)];
        if (object === undefined) continue;
        cache.free(object, cpu);
        live.delete(object);
      }
      if (step % 50 === 0) cache.check();
    }
    expect(cache.stats().liveBlocks).toBe(live.size);
    for (const object of live) cache.free(object);
    cache.reap();
    expect(cache.stats()).toMatchObject({ reservedBytes: 0, liveBlocks: 0 });
    expect(made.size).toBe(0);
  }
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
