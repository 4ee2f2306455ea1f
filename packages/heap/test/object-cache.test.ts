import { expect, test } from "vitest";
import { BufferMemory, ObjectCache } from "@pagewright/heap";

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
