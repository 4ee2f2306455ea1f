import { describe, expect, test } from "vitest";
import {
  allocateMany,
  Arena,
  Buddy,
  BufferMemory,
  CollectedHeap,
  freeMany,
  GeneralHeap,
  NO_ADDRESS,
  NumberRange,
  ObjectCache,
  OffsetAllocator,
  Pool,
  Tlsf,
} from "@pagewright/heap";
import type { Allocator, HeapSource } from "@pagewright/heap";

import { wideMemory } from "./memories.ts";

const BYTES = 2 ** 18;

const ResizableBuffer = ArrayBuffer as unknown as new (bytes: number, options: object) => ArrayBuffer;
const GrowableBuffer = SharedArrayBuffer as unknown as new (bytes: number, options: object) => SharedArrayBuffer;

const memories: Readonly<Record<string, () => BufferMemory>> = {
  ArrayBuffer: () => new BufferMemory(new ArrayBuffer(BYTES)),
  "resizable ArrayBuffer": () => new BufferMemory(new ResizableBuffer(4096, { maxByteLength: BYTES })),
  SharedArrayBuffer: () => new BufferMemory(new SharedArrayBuffer(BYTES)),
  "growable SharedArrayBuffer": () => new BufferMemory(new GrowableBuffer(4096, { maxByteLength: BYTES })),
  "WebAssembly.Memory": () => new BufferMemory(new WebAssembly.Memory({ initial: 1, maximum: 4 })),
  "shared WebAssembly.Memory": () => new BufferMemory(new WebAssembly.Memory({ initial: 1, maximum: 4, shared: true })),
};

/** Every block is a root until it is freed, which leaves it to the collector. */
class RootedHeap extends CollectedHeap {
  override allocate(size: number, alignment = 0, hint = 0): number {
    const block = super.allocate(size, alignment, hint);
    if (block !== NO_ADDRESS) this.addRoot(block);
    return block;
  }
  override free(address: number): void {
    this.removeRoot(address);
  }
}

type Makers<Source> = Readonly<Record<string, (source: Source, bytes: number) => Allocator>>;

const overAnything: Makers<HeapSource> = {
  Arena: (source) => new Arena(source),
  Pool: (source) => new Pool(source, 64),
  ObjectCache: (source) => new ObjectCache(source, { objectBytes: 64 }),
  Buddy: (source, bytes) => new Buddy(source, { bytes, minBytes: Math.max(32, bytes / 2 ** 20) }),
  OffsetAllocator: (source) => new OffsetAllocator(source),
  GeneralHeap: (source) => new GeneralHeap(source),
  CollectedHeap: (source) => new RootedHeap(new GeneralHeap(source), { trace: () => undefined }),
};
const overWords: Makers<BufferMemory> = { ...overAnything, Tlsf: (memory) => new Tlsf(memory) };

/** Takes blocks until there is no memory left. */
function fill(heap: Allocator, into: Float64Array): number {
  const count = allocateMany(heap, into, into.length, 64);
  expect(heap.allocate(64)).toBe(-1);
  heap.check();
  return count;
}

function exhaust<Source extends NumberRange>(kind: string, memoryOf: () => Source, makers: Makers<Source>): void {
  describe(`in ${kind}`, () => {
    test.each(Object.entries(makers))(
      "%s says by a value that memory has run out, has all of it again when it is freed, and gives all back",
      (name, make) => {
        const memory = memoryOf();
        const heap = make(memory, BYTES);
        const blocks = new Float64Array(BYTES / 64);
        const count = fill(heap, blocks);
        expect(count * 64).toBeGreaterThan(BYTES * 0.85);
        if (name === "Arena") heap.reset();
        else freeMany(heap, blocks, count);
        expect(fill(heap, blocks)).toBeGreaterThanOrEqual(count);
        heap.destroy();
        expect(memory.top).toBe(memory.start);
      },
    );
  });
}

for (const [kind, memoryOf] of Object.entries(memories)) exhaust(kind, memoryOf, overWords);
exhaust("a range of numbers", () => new NumberRange(2 ** 40, 2 ** 40 + BYTES), overAnything);

test("Tlsf aligns to every power of two up to 1 GiB", () => {
  for (let alignment = 1; alignment <= 2 ** 30; alignment *= 2) {
    const heap = new Tlsf(wideMemory());
    heap.allocate(8);
    const block = heap.allocate(100, alignment);
    expect(block).toBeGreaterThan(0);
    expect(block % alignment).toBe(0);
    heap.check();
    heap.destroy();
  }
});

test.each(Object.entries(overAnything).filter(([name]) => name !== "Pool" && name !== "ObjectCache"))(
  "%s aligns to every power of two up to 1 GiB",
  (_, make) => {
    for (let alignment = 1; alignment <= 2 ** 30; alignment *= 2) {
      const heap = make(new NumberRange(0, 2 ** 33), 2 ** 33);
      heap.allocate(8);
      const block = heap.allocate(100, alignment);
      expect(block).toBeGreaterThan(0);
      expect(block % alignment).toBe(0);
      heap.check();
    }
  },
);
