import { expect, test } from "vitest";
import { allocateZeroed, BufferMemory, CollectedHeap, GeneralHeap, NumberRange, Tlsf } from "@pagewright/heap";
import type { CollectorOptions } from "@pagewright/heap";
import { seeded } from "../src/testing/case.ts";

interface Subject {
  readonly heap: CollectedHeap;
  readonly memory: BufferMemory;
  /** A zeroed block of four words, each the address of another block or 0. */
  readonly make: () => number;
}

/** A heap whose callbacks can use it. */
function subject(callbacks: (subject: () => Subject) => Partial<CollectorOptions>): Subject {
  const memory = new BufferMemory(new ArrayBuffer(2 ** 20));
  const made: { subject?: Subject } = {};
  const heap = new CollectedHeap(new GeneralHeap(memory), {
    trace: (address, visit) => traceWords(memory, address, visit),
    ...callbacks(() => made.subject ?? expect.unreachable("callbacks run later")),
  });
  made.subject = { heap, memory, make: () => allocateZeroed(heap, memory, 16) };
  return made.subject;
}

function traceWords(memory: BufferMemory, address: number, visit: (reference: number) => void): void {
  for (let at = 0; at < 16; at += 4) visit(memory.load32(address + at));
}

const wildFree: unknown = expect.objectContaining({ code: "wild-free" });
const badOption: unknown = expect.objectContaining({ code: "bad-option" });
const inCallback: unknown = expect.objectContaining({ code: "in-callback" });

test("what a tracing callback that throws did not get to name is not lost", () => {
  let isBroken = true;
  const { heap, memory, make } = subject((self) => ({
    trace: (address, visit) => {
      if (isBroken) throw new Error("broken");
      traceWords(self().memory, address, visit);
    },
  }));
  const [a, b] = [make(), make()];
  memory.store32(a, b);
  heap.addRoot(a);
  expect(() => heap.collect()).toThrow("broken");
  expect(heap.phase).toBe("mark");
  isBroken = false;
  while (!heap.step(1));
  expect([heap.owns(a), heap.owns(b)]).toEqual([true, true]);
  heap.check();
});

test("a block whose finaliser throws is freed all the same, and finalised once", () => {
  const finalized: number[] = [];
  const { heap, make } = subject(() => ({
    finalize: (address) => {
      finalized.push(address);
      throw new Error("broken");
    },
  }));
  const blocks = Array.from({ length: 50 }, make);
  for (let round = 0; round < 200 && heap.stats().liveBlocks > 0; round++)
    expect(() => heap.collect()).toThrow("broken");
  expect(heap.stats().liveBlocks).toBe(0);
  expect(finalized.sort((x, y) => x - y)).toEqual(blocks.sort((x, y) => x - y));
  heap.check();
});

test("a finaliser brings nothing back that nothing reaches", () => {
  const refused: string[] = [];
  const { heap, make } = subject((self) => ({
    finalize: (address) => {
      expect(() => self().heap.addRoot(address)).toThrow(wildFree);
      expect(() => self().heap.wrote(address)).toThrow(wildFree);
      refused.push("both");
    },
  }));
  make();
  const kept = make();
  heap.addRoot(kept);
  expect(heap.collect()).toBe(1);
  expect(refused).toEqual(["both"]);
  heap.check();
  expect(heap.stats().liveBlocks).toBe(1);
});

test("a finaliser may free what its block owned, before or after that would be swept", () => {
  for (const order of [0, 1]) {
    const { heap, memory, make } = subject((self) => ({
      finalize: (address) => {
        const owned = self().memory.load32(address);
        if (owned !== 0 && self().heap.owns(owned)) self().heap.free(owned);
      },
    }));
    const pair = [make(), make()];
    memory.store32(pair[order] ?? 0, pair[1 - order] ?? 0);
    heap.collect();
    expect(heap.stats().liveBlocks).toBe(0);
    heap.check();
  }
});

test("callbacks may allocate, in full memory too, and nothing is collected meanwhile", () => {
  const { heap, memory, make } = subject((self) => ({
    thresholdBytes: 4000,
    trace: (address, visit) => {
      self().heap.allocate(600);
      expect(() => self().heap.collect()).toThrow(inCallback);
      traceWords(self().memory, address, visit);
    },
    finalize: () => {
      self().heap.allocate(3000);
      expect(() => self().heap.step(1)).toThrow(inCallback);
    },
  }));
  const list = [make()];
  heap.addRoot(list[0] ?? 0);
  for (let at = 0; at < 120; at++) {
    const block = make();
    memory.store32(list.at(-1) ?? 0, block);
    heap.wrote(block);
    list.push(block);
    heap.allocate(1000);
  }
  for (const block of list) expect(heap.owns(block)).toBe(true);
  heap.check();
});

test("a block that grows counts as allocated, and one that finds no memory to grow into has the heap collected", () => {
  const { heap, memory, make } = subject(() => ({ thresholdBytes: 10_000 }));
  let block = make();
  memory.fill(block, 16, 7);
  heap.addRoot(block);
  for (let at = 0; at < 100; at++) {
    make();
    block = heap.resize(block, 16 + (at % 2) * 2000);
  }
  expect(heap.collections).toBeGreaterThan(1);
  const full = subject(() => ({}));
  const held = full.make();
  full.memory.fill(held, 16, 7);
  while (full.heap.stats().liveBytes < 900_000) full.heap.allocate(3000);
  // Nothing reaches it but the caller: it is kept while it is resized.
  const moved = full.heap.resize(held, 300_000);
  expect(moved).not.toBe(-1);
  expect(full.memory.load32(moved + 12)).toBe(0x07070707);
  expect(full.heap.stats().liveBlocks).toBe(1);
  full.heap.check();
  expect(full.heap.collect()).toBe(1);
});

test("a threshold or a growth that would never or always collect is refused, and an address off the granule costs no block", () => {
  const range = new NumberRange(0, 2 ** 20);
  for (const options of [{ thresholdBytes: 0 }, { thresholdBytes: -5 }, { thresholdBytes: NaN }, { growth: 1 }])
    expect(() => new CollectedHeap(new GeneralHeap(range), { trace: () => undefined, ...options })).toThrow(badOption);
  const inner = new Tlsf(new BufferMemory(new ArrayBuffer(2 ** 16)));
  const heap = new CollectedHeap(inner, { trace: () => undefined, granule: 1024 });
  expect(() => {
    for (;;) heap.allocate(8);
  }).toThrow(badOption);
  expect(inner.stats().liveBlocks).toBeLessThanOrEqual(1);
  heap.check();
});

test("a destroyed heap has no roots, no blocks and nothing to collect", () => {
  const { heap, make } = subject(() => ({}));
  heap.addRoot(make());
  make();
  heap.destroy();
  heap.check();
  expect(heap.collect()).toBe(0);
  expect(() => heap.allocate(8)).toThrow(expect.objectContaining({ code: "destroyed" }));
});

test("callbacks that throw, free and allocate at random lose nothing that is reachable", () => {
  for (let seed = 1; seed <= 10; seed++) {
    const random = seeded(seed);
    const links = new Map<number, number>();
    const own = new Set<number>();
    const { heap, memory, make } = subject((self) => ({
      thresholdBytes: 3000,
      trace: (address, visit) => {
        if (random() < 0.05) throw new Error("broken");
        if (random() < 0.1) own.add(self().heap.allocate(8));
        if (!own.has(address)) visit(self().memory.load32(address));
      },
      finalize: (address) => {
        if (!own.delete(address)) links.delete(address);
        if (random() < 0.1) own.add(self().heap.allocate(8));
        if (random() < 0.05) throw new Error("broken");
      },
    }));
    const root = make();
    heap.addRoot(root);
    links.set(root, 0);
    const attempt = <T>(work: () => T): T | undefined => {
      try {
        return work();
      } catch (error) {
        expect(error).toMatchObject({ message: "broken" });
        return undefined;
      }
    };
    for (let at = 0; at < 800; at++) {
      // A list from the root, cut off at random places.
      const list = [root];
      for (let next = links.get(root) ?? 0; next !== 0; next = links.get(next) ?? 0) list.push(next);
      for (const block of list) expect(heap.owns(block)).toBe(true);
      const from = list[Math.floor(random() * list.length)] ?? root;
      const block = random() < 0.7 ? (attempt(make) ?? 0) : 0;
      if (block === -1) break;
      if (block !== 0) links.set(block, random() < 0.8 ? (links.get(from) ?? 0) : 0);
      if (block !== 0) memory.store32(block, links.get(block) ?? 0);
      heap.wrote(links.get(block) ?? 0);
      links.set(from, block);
      memory.store32(from, block);
      heap.wrote(block);
      if (at % 50 === 0) heap.check();
    }
  }
});

test("what a finaliser allocates in the place of what it has freed is kept", () => {
  const fresh: number[] = [];
  const { heap, memory, make } = subject((self) => ({
    finalize: (address) => {
      const owned = self().memory.load32(address);
      self().heap.free(address);
      if (owned !== 0 && self().heap.owns(owned)) self().heap.free(owned);
      fresh.push(self().make(), self().make());
    },
  }));
  const pair = [make(), make()];
  memory.store32(pair[0] ?? 0, pair[1] ?? 0);
  memory.store32(pair[1] ?? 0, pair[0] ?? 0);
  heap.collect();
  expect(fresh.length).toBe(2);
  expect([...fresh].sort((a, b) => a - b)).toEqual(pair);
  for (const block of fresh) expect(heap.owns(block)).toBe(true);
  heap.check();
});
