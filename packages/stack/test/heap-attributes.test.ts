/** Heaps whose memory is asked of a stack with attributes: a memory type, a NUMA node; and what guards blocks on a real processor. */
import { describe, expect, test } from "vitest";

import { GeneralHeap, SamplingGuard, SpaceSource } from "@pagewright/heap";
import { physicalMapFromJson } from "@pagewright/machine";
import { audit, createStack, type Stack } from "@pagewright/stack";
import {
  SpaceMemory,
  UNCACHED,
  WRITE_BACK,
  WRITE_COMBINING,
  type AddressSpace,
  type MapRequest,
} from "@pagewright/vmm";

const BYTES = 64 * 2 ** 20;

interface Subject {
  readonly stack: Stack;
  readonly space: AddressSpace;
  readonly sourceWith: (request: Partial<MapRequest>) => SpaceSource<Partial<MapRequest>>;
}

/** A machine with two nodes of 32 MiB. */
function subject(): Subject {
  const map = physicalMapFromJson({
    entries: [{ base: 0, length: BYTES, type: 1 }],
    srat: [
      { base: 0, length: BYTES / 2, node: 0 },
      { base: BYTES / 2, length: BYTES / 2, node: 1 },
    ],
  });
  const stack = createStack({ map, cpus: 1 });
  const space = stack.vmm.createSpace();
  if (space === null) throw new Error("no memory");
  return {
    stack,
    space,
    sourceWith: (request) => new SpaceSource(space, new SpaceMemory(space), { search: "bottom-up", ...request }),
  };
}

describe("a heap's memory with attributes", () => {
  test.each([
    ["uncached", UNCACHED],
    ["write-combining", WRITE_COMBINING],
    ["write-back", WRITE_BACK],
  ])("blocks are %s as asked, on the processor", (_name, type) => {
    const { stack, space, sourceWith } = subject();
    const source = sourceWith({ type });
    const heap = new GeneralHeap(source);
    const blocks = Array.from({ length: 40 }, (_, at) => heap.allocate(at * 300));
    for (const block of blocks) source.store32(block, 7);
    for (const block of blocks) expect(space.memoryType(block)).toBe(type);
    const cpu = stack.enter(space, 0);
    expect(cpu.load32(blocks[3] ?? 0)).toBe(7);
    heap.destroy();
    expect(space.regions.count).toBe(0);
    audit(stack);
  });

  test.each([0, 1])("blocks lie on node %i as asked", (node) => {
    const { stack, space, sourceWith } = subject();
    const source = sourceWith({ frames: { policy: "bind", nodes: [node] } });
    const heap = new GeneralHeap(source);
    const blocks = Array.from({ length: 40 }, (_, at) => heap.allocate(at * 300));
    for (const block of blocks) source.store32(block, 7);
    for (const block of blocks) {
      expect(space.tables.query(Math.floor(block / 4096))).not.toBe(0);
      expect(Math.floor((space.tables.frame * 4096) / (BYTES / 2))).toBe(node);
    }
    audit(stack);
  });
});

test("an overflow and a use after free of a guarded block fault at the access of the processor", () => {
  const { stack, space, sourceWith } = subject();
  const source = sourceWith({});
  const heap = new SamplingGuard(new GeneralHeap(source), source, source, { every: 1, random: () => 0, slots: 8 });
  const cpu = stack.enter(space, 0);
  const block = heap.allocate(64);
  expect([cpu.store32(block + 60, 1), cpu.load32(block + 60)]).toEqual([true, 1]);
  expect(cpu.store32(block + 64, 1)).toBe(false);
  expect(heap.explain(block + 64)).toEqual({ block, kind: "overflow" });
  heap.free(block);
  expect([cpu.load32(block), cpu.store32(block, 1)]).toEqual([-1, false]);
  expect(heap.explain(block)).toEqual({ block, kind: "use-after-free" });
  heap.check();
  audit(stack);
});
