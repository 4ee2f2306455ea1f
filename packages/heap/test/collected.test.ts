import { expect, test } from "vitest";
import { allocateZeroed, BufferMemory, CollectedHeap, GeneralHeap } from "@pagewright/heap";
import { seeded } from "../src/testing/case.ts";

/** Blocks of four words, each the address of another block or 0. */
function graphHeap(threshold = Infinity): { heap: CollectedHeap; memory: BufferMemory; dead: number[] } {
  const memory = new BufferMemory(new ArrayBuffer(2 ** 20));
  const dead: number[] = [];
  const heap = new CollectedHeap(new GeneralHeap(memory), {
    trace: (address, visit) => {
      for (let at = 0; at < 16; at += 4) visit(memory.load32(address + at));
    },
    finalize: (address) => dead.push(address),
    thresholdBytes: threshold,
  });
  return { heap, memory, dead };
}

test("what a root reaches stays, in circles too; the rest is finalised and freed", () => {
  const { heap, memory, dead } = graphHeap();
  const [a, b, c, d] = [
    allocateZeroed(heap, memory, 16),
    allocateZeroed(heap, memory, 16),
    allocateZeroed(heap, memory, 16),
    allocateZeroed(heap, memory, 16),
  ];
  memory.store32(a, b);
  memory.store32(b, a);
  memory.store32(c, d);
  memory.store32(d, c);
  heap.addRoot(a);
  expect(heap.collect()).toBe(2);
  expect(dead.sort()).toEqual([c, d].sort());
  expect([a, b, c, d].map((block) => heap.owns(block))).toEqual([true, true, false, false]);
  heap.removeRoot(a);
  expect(heap.collect()).toBe(2);
  heap.check();
});

test("in steps between which the program stores references, exactly the unreachable is freed in the end", () => {
  for (let seed = 1; seed <= 6; seed++) {
    const random = seeded(seed);
    const { heap, memory } = graphHeap();
    const blocks = Array.from({ length: 100 }, () => allocateZeroed(heap, memory, 16));
    const root = blocks[0] ?? 0;
    heap.addRoot(root);
    for (let at = 0; at < 800; at++) {
      // Only what is reachable is stored and stored into, as in a program.
      const reached = [...reachable(memory, root)];
      const from = reached[Math.floor(random() * reached.length)] ?? root;
      const to =
        random() < 0.2 ? allocateZeroed(heap, memory, 16) : (reached[Math.floor(random() * reached.length)] ?? root);
      if (to === -1) break;
      memory.store32(from + 4 * Math.floor(random() * 4), to);
      heap.wrote(to);
      if (at % 3 === 0) heap.step(1 + Math.floor(random() * 4));
    }
    for (const block of reachable(memory, root)) expect(heap.owns(block)).toBe(true);
    heap.collect();
    const live: number[] = [];
    heap.walk((address) => live.push(address));
    expect(new Set(live)).toEqual(reachable(memory, root));
    heap.check();
  }
});

function reachable(memory: BufferMemory, root: number): Set<number> {
  const seen = new Set([root]);
  for (const block of seen) {
    for (let at = 0; at < 16; at += 4) {
      const to = memory.load32(block + at);
      if (to !== 0) seen.add(to);
    }
  }
  return seen;
}

test("allocation collects when it is due, and when memory has run out", () => {
  const { heap, memory } = graphHeap(10_000);
  const root = allocateZeroed(heap, memory, 16);
  heap.addRoot(root);
  for (let at = 0; at < 5000; at++) expect(allocateZeroed(heap, memory, 1000)).not.toBe(-1);
  expect(heap.collections).toBeGreaterThan(100);
  const full = graphHeap();
  for (let at = 0; at < 5000; at++) expect(allocateZeroed(full.heap, full.memory, 1000)).not.toBe(-1);
  expect(full.heap.collections).toBeGreaterThan(1);
});
