import { once } from "node:events";
import { expect, test } from "vitest";
import { spawnTs } from "@pagewright/tooling/worker";
import { isHeapError, SharedHeap } from "@pagewright/heap";
import { SharedLayout } from "../src/shared-layout.ts";
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

/** A heap of 16-byte blocks without a page left, all of them freed by another worker than their owner: some find neither ring nor page. */
function overfull(): { buffer: SharedArrayBuffer; owner: SharedHeap; other: SharedHeap; blocks: number[] } {
  const buffer = new SharedArrayBuffer(2 ** 18);
  const owner = SharedHeap.create(buffer, { slots: 2 });
  const other = SharedHeap.attach(buffer);
  const blocks: number[] = [];
  for (let block = owner.allocate(16); block !== -1; block = owner.allocate(16)) blocks.push(block);
  for (const block of blocks) other.free(block);
  return { buffer, owner, other, blocks };
}

/** All blocks of 16 bytes that can be had. */
function fill(heap: SharedHeap): number[] {
  const blocks: number[] = [];
  for (let block = heap.allocate(16); block !== -1; block = heap.allocate(16)) blocks.push(block);
  return blocks.sort();
}

test("frees for which neither a ring nor a page is left wait in the memory, and go home in turns", () => {
  const { owner, other, blocks } = overfull();
  expect(blocks.length).toBeGreaterThan(5000);
  expect(owner.stats().liveBlocks).toBe(0);
  expect(() => other.free(blocks.at(-1) ?? 0)).toThrow(expect.objectContaining({ code: "double-free" }));
  owner.check();
  // A ring holds 512.
  for (let round = 0; round < blocks.length / 512; round++) {
    owner.flush();
    other.flush();
  }
  owner.check();
  expect(fill(owner)).toEqual(blocks.sort());
});

test("frees that wait in the memory are in a copy of it, too", () => {
  const { buffer, blocks } = overfull();
  const copy = new SharedArrayBuffer(buffer.byteLength);
  new Uint8Array(copy).set(new Uint8Array(buffer));
  const heap = SharedHeap.reopen(copy);
  heap.flush();
  heap.check();
  expect(fill(heap)).toEqual(blocks.sort());
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

test("of several workers that adopt a dead one, one does", () => {
  const buffer = new SharedArrayBuffer(2 ** 20);
  const heap = SharedHeap.create(buffer, { slots: 4 });
  const other = SharedHeap.attach(buffer);
  const dead = SharedHeap.attach(buffer);
  const blocks = Array.from({ length: 100 }, () => dead.allocate(64));
  heap.adopt(dead.slot);
  expect(() => other.adopt(dead.slot)).toThrow(expect.objectContaining({ code: "bad-option" }));
  expect(() => heap.adopt(3)).toThrow(expect.objectContaining({ code: "bad-option" }));
  for (const block of blocks) heap.free(block);
  heap.check();
  expect(heap.stats().liveBlocks).toBe(0);
});

test("who attaches to a slot that was taken over takes in what is sent to it, and nobody else does", () => {
  const buffer = new SharedArrayBuffer(2 ** 20);
  const heap = SharedHeap.create(buffer, { slots: 3 });
  const sender = SharedHeap.attach(buffer);
  const dead = SharedHeap.attach(buffer);
  heap.adopt(dead.slot);
  const next = SharedHeap.attach(buffer);
  expect(next.slot).toBe(dead.slot);
  const blocks = Array.from({ length: 30 }, () => next.allocate(64));
  for (const block of blocks) sender.free(block);
  sender.flush();
  heap.flush();
  heap.check();
  next.flush();
  next.check();
  expect(next.stats().liveBlocks).toBe(0);
});

test("the heir of an heir takes in what is sent to the first", () => {
  const buffer = new SharedArrayBuffer(2 ** 20);
  const heap = SharedHeap.create(buffer, { slots: 4 });
  const sender = SharedHeap.attach(buffer);
  const first = SharedHeap.attach(buffer);
  const second = SharedHeap.attach(buffer);
  const block = first.allocate(3000 / 4);
  sender.free(block);
  second.adopt(first.slot);
  heap.adopt(second.slot);
  sender.flush();
  heap.flush();
  heap.check();
  const all: number[] = [];
  for (let each = heap.allocate(750); each !== -1; each = heap.allocate(750)) all.push(each);
  expect(all).toContain(block);
});

test("what a worker had that has detached can be had by one that runs out of memory, and its slot is used again", () => {
  const pagesOf = (heap: SharedHeap): number => {
    const pages: number[] = [];
    for (let page = heap.allocate(4096); page !== -1; page = heap.allocate(4096)) pages.push(page);
    for (const page of pages) heap.free(page);
    return pages.length;
  };
  const buffer = new SharedArrayBuffer(2 ** 19);
  const heap = SharedHeap.create(buffer, { slots: 3 });
  const whole = pagesOf(heap);
  for (let round = 0; round < 5; round++) {
    const guest = SharedHeap.attach(buffer);
    const blocks = Array.from({ length: 2000 }, () => guest.allocate(100));
    expect(blocks).not.toContain(-1);
    guest.detach();
    for (const block of blocks) heap.free(block);
    heap.flush();
    expect(pagesOf(heap)).toBe(whole);
    heap.check();
    expect(heap.stats().liveBlocks).toBe(0);
  }
});

test("a worker that has detached does nothing any more", () => {
  const buffer = new SharedArrayBuffer(2 ** 20);
  const heap = SharedHeap.create(buffer);
  const block = heap.allocate(40);
  heap.detach();
  for (const use of [() => heap.free(block), () => heap.allocate(8), () => heap.resize(block, 80), () => heap.detach()])
    expect(use).toThrow(expect.objectContaining({ code: "destroyed" }));
  const next = SharedHeap.attach(buffer);
  next.free(block);
  next.check();
});

test("a WebAssembly.Memory grows with the heap, for all workers", () => {
  const memory = new WebAssembly.Memory({ initial: 4, maximum: 96, shared: true });
  const heap = SharedHeap.create(memory, { start: 1024, end: 96 * 65536, slots: 2 });
  const other = SharedHeap.attach(memory, 1024);
  const small = heap.allocate(100_000);
  const large = heap.allocate(2_000_000);
  expect(memory.buffer.byteLength).toBeGreaterThanOrEqual(large + 2_000_000);
  new Uint8Array(memory.buffer).fill(7, large, large + 2_000_000);
  expect(other.resize(large, 1_900_000)).toBe(large);
  other.free(small);
  const moved = other.resize(large, 2_010_000);
  expect(new Uint8Array(memory.buffer, moved, 2_000_000).every((byte) => byte === 7)).toBe(true);
  other.free(moved);
  const blocks = Array.from({ length: 3000 }, () => heap.allocate(1000));
  expect(blocks).not.toContain(-1);
  for (const block of blocks) other.free(block);
  expect(heap.allocate(6_000_000)).toBe(-1);
  other.flush();
  heap.flush();
  heap.check();
  expect(heap.stats().liveBlocks).toBe(0);
});

test.each([
  [20, 60],
  [3000, 60],
])("%i random bytes over the state are found by check, and nothing loops", (count, seeds) => {
  for (let seed = 1; seed <= seeds; seed++) {
    const random = seeded(seed);
    const buffer = new SharedArrayBuffer(2 ** 19);
    const heap = SharedHeap.create(buffer, { slots: 2 });
    const other = SharedHeap.attach(buffer);
    const blocks = Array.from({ length: 700 }, () => heap.allocate(Math.floor(random() * 700)));
    for (let at = 0; at < 300; at++) other.free(blocks[at] ?? 0);
    const state = new Uint8Array(buffer, 0, SharedLayout.open(buffer, 0).base);
    // Of few bytes only those that are not 0: the others mean nothing as a rule.
    const used = Array.from(state.keys()).filter((at) => count > 1000 || state[at] !== 0);
    for (let left = count; left > 0; left--) {
      const at = used[Math.floor(random() * used.length)] ?? 0;
      state[at] = state[at]! ^ (1 + Math.floor(random() * 255));
    }
    expect(() => heap.check(), `seed ${String(seed)}`).toThrow(expect.objectContaining({ code: "corrupt" }));
    const block = (): number => blocks[Math.floor(random() * blocks.length)] ?? 0;
    const works = [
      () => heap.allocate(Math.floor(random() * 9000)),
      () => heap.free(block()),
      () => other.free(block()),
      () => heap.resize(block(), Math.floor(random() * 9000)),
      () => other.flush(),
      () => heap.flush(),
      () => heap.stats(),
      () => other.allocate(Math.floor(random() * 200)),
    ];
    for (let at = 0; at < 100; at++)
      try {
        works[Math.floor(random() * works.length)]?.();
      } catch (error) {
        if (!isHeapError(error)) throw error;
      }
  }
});

test("a list of slabs that leads back to where it came from ends", () => {
  const buffer = new SharedArrayBuffer(2 ** 20);
  const heap = SharedHeap.create(buffer, { slots: 1 });
  const blocks = Array.from({ length: 300 }, () => heap.allocate(64));
  for (const block of blocks) heap.free(block);
  const { records, owners } = SharedLayout.open(buffer, 0);
  const slabs = Array.from(owners.keys()).filter((page) => owners[page] === 1);
  expect(slabs.length).toBeGreaterThan(2);
  // Word 1 of a slab's record leads to the next one.
  slabs.forEach((page, at) => (records[page * 32 + 1] = (slabs[(at + 1) % slabs.length] ?? 0) * 32));
  expect(() => heap.check()).toThrow(expect.objectContaining({ code: "corrupt" }));
  heap.allocate(900_000);
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
