import { once } from "node:events";
import { expect, test } from "vitest";
import { spawnTs } from "@pagewright/tooling/worker";
import { isHeapError, SharedHeap } from "@pagewright/heap";
import { seeded } from "../src/testing/case.ts";

test("workers that free each other's blocks corrupt nothing and lose nothing", async () => {
  const workers = 3;
  const buffer = new SharedArrayBuffer(16 * 2 ** 20);
  const rings = new SharedArrayBuffer(workers * 1026 * 4);
  const heap = SharedHeap.create(buffer, { slots: 4 });
  const crew = Array.from({ length: workers }, (_, me) =>
    spawnTs(new URL("./shared.worker.ts", import.meta.url), { buffer, rings, me, workers, rounds: 60_000 }),
  );
  const results = await Promise.all(
    crew.map(async (worker) => (await once(worker, "message"))[0] as { failures: number; slot: number }),
  );
  expect(results.map(({ failures }) => failures)).toEqual([0, 0, 0]);
  expect(new Set(results.map(({ slot }) => slot)).size).toBe(workers);
  for (const worker of crew) {
    const flushed = once(worker, "message");
    worker.postMessage("flush");
    await flushed;
  }
  for (const worker of crew) {
    const ended = once(worker, "exit");
    worker.postMessage("detach");
    await ended;
  }
  expect(heap.stats().liveBlocks).toBe(0);
  // The slots of the workers that left are taken over, with all that is in them.
  const heirs = results.map(() => SharedHeap.attach(buffer));
  for (const heir of heirs) heir.flush();
  for (const each of [heap, ...heirs]) each.check();
  for (const heir of heirs) heir.detach();
  expect(heap.allocate(15 * 2 ** 20)).not.toBe(-1);
}, 60_000);

test("a block freed by two workers is found when the second free is taken in", () => {
  const buffer = new SharedArrayBuffer(2 ** 20);
  const owner = SharedHeap.create(buffer);
  const others = [SharedHeap.attach(buffer), SharedHeap.attach(buffer)];
  const block = owner.allocate(40);
  for (const other of others) {
    other.free(block);
    other.flush();
  }
  expect(() => owner.flush()).toThrow(expect.objectContaining({ code: "double-free", subject: block }));
  owner.check();
});

test("a block freed twice by a worker that does not own it is found by its owner", () => {
  const buffer = new SharedArrayBuffer(2 ** 20);
  const owner = SharedHeap.create(buffer);
  const other = SharedHeap.attach(buffer);
  const block = owner.allocate(40);
  other.free(block);
  other.free(block);
  other.flush();
  expect(() => owner.flush()).toThrow(expect.objectContaining({ code: "double-free", subject: block }));
  expect(owner.stats().liveBlocks).toBe(0);
  owner.check();
});

test("more frees than a ring holds go through the inbox, and all arrive", () => {
  const buffer = new SharedArrayBuffer(2 ** 20);
  const owner = SharedHeap.create(buffer);
  const other = SharedHeap.attach(buffer);
  const blocks = Array.from({ length: 2000 }, () => owner.allocate(40));
  for (const block of blocks) other.free(block);
  other.flush();
  expect(owner.stats().liveBlocks).toBe(0);
  owner.flush();
  owner.check();
  const all = new Set<number>();
  for (let block = owner.allocate(40); block !== -1; block = owner.allocate(40)) all.add(block);
  expect(blocks.filter((block) => !all.has(block))).toEqual([]);
});

test("a block freed twice by far workers, through full rings, takes no other block with it", () => {
  const buffer = new SharedArrayBuffer(2 ** 21);
  const owner = SharedHeap.create(buffer);
  const others = [SharedHeap.attach(buffer), SharedHeap.attach(buffer)];
  const blocks = Array.from({ length: 6000 }, () => owner.allocate(40));
  const twice = blocks[4000] ?? 0;
  others[1]?.free(twice);
  blocks.forEach((block, at) => others[at % 2]?.free(block));
  for (const other of others) other.flush();
  expect(() => owner.flush()).toThrow(expect.objectContaining({ code: "double-free", subject: twice }));
  expect(owner.stats().liveBlocks).toBe(0);
  owner.check();
  const all = new Set<number>();
  for (let block = owner.allocate(40); block !== -1; block = owner.allocate(40)) all.add(block);
  expect(blocks.every((block) => all.has(block))).toBe(true);
});

test("frees for which neither a ring nor a page is left wait in the worker", () => {
  const buffer = new SharedArrayBuffer(2 ** 18);
  const owner = SharedHeap.create(buffer, { slots: 2 });
  const other = SharedHeap.attach(buffer);
  const blocks: number[] = [];
  for (let block = owner.allocate(16); block !== -1; block = owner.allocate(16)) blocks.push(block);
  expect(blocks.length).toBeGreaterThan(5000);
  for (const block of blocks) other.free(block);
  expect(other.stats().liveBlocks).toBe(0);
  let rounds = 0;
  for (; owner.stats().liveBlocks > 0; rounds++) {
    owner.flush();
    other.flush();
  }
  expect(rounds).toBeGreaterThan(0);
  owner.check();
  expect(Array.from({ length: blocks.length }, () => owner.allocate(16)).sort()).toEqual(blocks.sort());
});

test("a dead worker's slabs are adopted, and frees on their way to it arrive", () => {
  const buffer = new SharedArrayBuffer(2 ** 20);
  const heap = SharedHeap.create(buffer);
  const dead = SharedHeap.attach(buffer);
  const blocks = Array.from({ length: 500 }, () => dead.allocate(64));
  for (const block of blocks.slice(0, 100)) heap.free(block);
  const own = heap.allocate(64);
  dead.free(own);
  heap.adopt(dead.slot);
  for (const block of blocks.slice(100)) heap.free(block);
  heap.flush();
  heap.check();
  expect(heap.stats().liveBlocks).toBe(0);
});

test("the lock of a worker that died with it is released when it is adopted", () => {
  const buffer = new SharedArrayBuffer(2 ** 20);
  const heap = SharedHeap.create(buffer);
  const dead = SharedHeap.attach(buffer);
  // As the worker would have left it: word 4 of the header says who changes pages.
  new Int32Array(buffer)[4] = dead.slot + 1;
  heap.adopt(dead.slot);
  expect(heap.allocate(100_000)).not.toBe(-1);
  heap.check();
});

test("random bytes over the state are found by check, and nothing loops", () => {
  for (let seed = 1; seed <= 60; seed++) {
    const random = seeded(seed);
    const buffer = new SharedArrayBuffer(2 ** 19);
    const heap = SharedHeap.create(buffer, { slots: 2 });
    const other = SharedHeap.attach(buffer);
    const blocks = Array.from({ length: 700 }, () => heap.allocate(Math.floor(random() * 700)));
    for (let at = 0; at < 300; at++) other.free(blocks[at] ?? 0);
    const state = new Uint8Array(buffer, 0, Math.min(...blocks) - 4096);
    for (let at = 0; at < 3000; at++) state[Math.floor(random() * state.length)] = Math.floor(random() * 256);
    expect(() => heap.check(), `seed ${String(seed)}`).toThrow(expect.objectContaining({ code: "corrupt" }));
    const works = [
      () => heap.allocate(Math.floor(random() * 9000)),
      () => heap.free(blocks[Math.floor(random() * blocks.length)] ?? 0),
      () => other.free(blocks[Math.floor(random() * blocks.length)] ?? 0),
      () => heap.resize(blocks[Math.floor(random() * blocks.length)] ?? 0, Math.floor(random() * 9000)),
      () => other.flush(),
      () => heap.flush(),
      () => heap.stats(),
    ];
    for (let at = 0; at < 100; at++)
      try {
        works[Math.floor(random() * works.length)]?.();
      } catch (error) {
        if (!isHeapError(error)) throw error;
      }
  }
});

test("a copy of the bytes is a copy of the heap", () => {
  const buffer = new SharedArrayBuffer(2 ** 20);
  const heap = SharedHeap.create(buffer);
  const blocks = [heap.allocate(10), heap.allocate(1000), heap.allocate(10_000)];
  heap.detach();
  const copy = new SharedArrayBuffer(2 ** 20);
  new Uint8Array(copy).set(new Uint8Array(buffer));
  const other = SharedHeap.attach(copy);
  for (const block of blocks) other.free(block);
  expect(other.stats().liveBlocks).toBe(0);
  expect(heap.stats().liveBlocks).toBe(3);
  other.check();
});

test("a worker too many, and a buffer without a heap, are refused", () => {
  const buffer = new SharedArrayBuffer(2 ** 18);
  expect(() => SharedHeap.attach(buffer)).toThrow(expect.objectContaining({ code: "bad-format" }));
  SharedHeap.create(buffer, { slots: 1 });
  expect(() => SharedHeap.attach(buffer)).toThrow(expect.objectContaining({ code: "bad-option" }));
});
