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

/** A program that stores references at random, beside plain objects that say what is reachable. */
class GraphProgram {
  /** Address 0 stands for no block. */
  readonly memory = new BufferMemory(new ArrayBuffer(2 ** 20), 64);
  readonly finalized: number[] = [];
  readonly heap: CollectedHeap;
  /** By live block: what its four words point to. */
  readonly links = new Map<number, number[]>();
  readonly roots: number[] = [];
  readonly stack: number[] = [];
  readonly #random: () => number;

  constructor(seed: number, thresholdBytes: number) {
    this.#random = seeded(seed);
    this.heap = new CollectedHeap(new GeneralHeap(this.memory), {
      trace: (address, visit) => {
        for (let at = 0; at < 16; at += 4) visit(this.memory.load32(address + at));
      },
      finalize: (address) => {
        expect(this.reachable().has(address), "only what is unreachable is finalised").toBe(false);
        this.finalized.push(address);
        this.links.delete(address);
      },
      thresholdBytes,
    });
    this.heap.addRootScanner((visit) => this.stack.forEach(visit));
  }

  reachable(): Set<number> {
    const seen = new Set([...this.roots, ...this.stack]);
    for (const block of seen) for (const to of this.links.get(block) ?? []) if (to !== 0) seen.add(to);
    return seen;
  }

  #any(): number {
    const all = [...this.reachable()];
    return all[Math.floor(this.#random() * all.length)] ?? 0;
  }

  #store(from: number, to: number): void {
    const at = Math.floor(this.#random() * 4);
    this.memory.store32(from + 4 * at, to);
    const links = this.links.get(from) ?? [];
    links[at] = to;
    this.heap.wrote(to);
  }

  step(): void {
    const choice = this.#random();
    if (choice < 0.4) {
      const block = allocateZeroed(this.heap, this.memory, 16 + Math.floor(this.#random() * 100));
      expect(block).not.toBe(-1);
      this.links.set(block, [0, 0, 0, 0]);
      // A new block is held in a local variable at first, as in a program.
      if (this.stack.length > 3) this.stack.shift();
      this.stack.push(block);
      this.#store(this.#any(), block);
    } else if (choice < 0.7) this.#store(this.#any(), this.#random() < 0.5 ? 0 : this.#any());
    else if (choice < 0.78) {
      const block = this.#any();
      if (block === 0) return;
      this.heap.addRoot(block);
      this.roots.push(block);
    } else if (choice < 0.88 && this.roots.length > 0)
      this.heap.removeRoot(this.roots.splice(Math.floor(this.#random() * this.roots.length), 1)[0] ?? 0);
    else this.heap.step(1 + Math.floor(this.#random() * 40));
  }
}

test.each([[Infinity], [2000]])(
  "a collection in steps, started by hand or by a threshold of %s bytes, never takes what a naive search reaches, and takes all else in the end",
  (threshold) => {
    for (let seed = 1; seed <= 4; seed++) {
      const program = new GraphProgram(seed, threshold);
      const { heap, links } = program;
      for (let at = 0; at < 800; at++) {
        program.step();
        if (at % 100 === 0) heap.check();
      }
      for (const block of program.reachable()) expect(heap.owns(block)).toBe(true);
      heap.collect();
      const live: number[] = [];
      heap.walk((address) => live.push(address));
      expect(new Set(live)).toEqual(program.reachable());
      expect(new Set(links.keys())).toEqual(program.reachable());
      expect(heap.collections).toBeGreaterThan(1);
      heap.check();
      for (const root of program.roots) heap.removeRoot(root);
      program.roots.length = program.stack.length = 0;
      heap.collect();
      expect(heap.stats().liveBlocks).toBe(0);
    }
  },
);

test("a collection by itself ends before the heap has grown to its factor of what the last one left, in steps as long as what is allocated", () => {
  const memory = new BufferMemory(new ArrayBuffer(2 ** 24));
  let traced = 0;
  const heap = new CollectedHeap(new GeneralHeap(memory), {
    trace: (address, visit) => {
      traced++;
      visit(memory.load32(address));
    },
    thresholdBytes: 65_536,
    growth: 1.5,
  });
  const head = allocateZeroed(heap, memory, 64);
  heap.addRoot(head);
  // A list of 20,000 blocks lives on; as many are garbage again and again.
  for (let at = 0; at < 20_000; at++) {
    const block = heap.allocate(64);
    memory.store32(block, memory.load32(head));
    memory.store32(head, block);
    heap.wrote(block);
  }
  heap.collect();
  const live = heap.stats().liveBytes;
  let most = 0;
  let longest = 0;
  const before = heap.collections;
  for (let at = 0; at < 150_000; at++) {
    const from = traced;
    if (heap.allocate(64) === -1) throw new Error("no memory left");
    longest = Math.max(longest, traced - from);
    if (at % 4001 === 0) most = Math.max(most, heap.stats().liveBytes);
  }
  expect(heap.collections - before).toBeGreaterThan(10);
  // What is allocated during a collection stays until the next: a collection leaves up to 4/3 of what lives, and the heap grows to 1.5 times that.
  expect(most).toBeLessThan(2.05 * live);
  expect(longest).toBeLessThan(1000);
});

test("a root that is added twice is removed twice, moves with its block, and cannot be freed", () => {
  const { heap } = graphHeap();
  const block = heap.allocate(16);
  heap.addRoot(block);
  heap.addRoot(block);
  heap.allocate(16);
  const moved = heap.resize(block, 3000);
  expect(moved).not.toBe(block);
  expect(() => heap.free(moved)).toThrow(expect.objectContaining({ code: "bad-option" }));
  heap.removeRoot(moved);
  expect(heap.collect()).toBe(1);
  expect(heap.owns(moved)).toBe(true);
  heap.removeRoot(moved);
  expect(() => heap.removeRoot(moved)).toThrow(expect.objectContaining({ code: "wild-free" }));
  expect(heap.collect()).toBe(1);
  heap.check();
});
