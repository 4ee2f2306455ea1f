import { describe, expect, test } from "vitest";
import type { BlockMemory, RangeSource, WordMemory } from "@pagewright/heap";
import { BufferMemory, DebugHeap, GeneralHeap, OffsetAllocator, Pool, Tlsf } from "@pagewright/heap";
import { countingWords } from "@pagewright/heap/testing";
import { FarMemory } from "./memories.ts";

type Memory = RangeSource & BlockMemory & Partial<WordMemory>;

/** Memory whose words are in reach, and memory that is reached a word at a time. */
const memories: readonly [string, (kib: number) => Memory][] = [
  ["a buffer", (kib) => new BufferMemory(new ArrayBuffer(kib * 1024))],
  ["far memory", (kib) => new FarMemory(kib * 1024, -(2 ** 47))],
];

/** Changes the lowest bit of a byte. */
function flip(memory: BlockMemory, address: number): void {
  const at = Math.floor(address / 4) * 4;
  memory.store32(at, memory.load32(at) ^ (1 << ((address - at) * 8)));
}

describe.each(memories)("the debug heap over %s", (_kind, memoryOf) => {
  const make = (): { heap: DebugHeap; memory: Memory } => {
    const memory = memoryOf(256);
    let site = 0;
    return {
      heap: new DebugHeap(new GeneralHeap(memory), memory, {
        quarantine: 4,
        callSite: () => `site ${String(site++ & 1)}`,
      }),
      memory,
    };
  };

  test.each([1, 2, 3, 4, 13, 100])("a write one byte after a block of %i bytes is found", (size) => {
    const { heap, memory } = make();
    const block = heap.allocate(size);
    memory.fill(block, size, 0x11);
    heap.check();
    flip(memory, block + size);
    expect(() => heap.check()).toThrow(expect.objectContaining({ code: "corrupt", subject: block }));
    expect(() => heap.free(block)).toThrow(expect.objectContaining({ code: "corrupt" }));
  });

  test("a write before a block is found", () => {
    const { heap, memory } = make();
    const block = heap.allocate(8, 64);
    flip(memory, block - 1);
    expect(() => heap.free(block)).toThrow(expect.objectContaining({ code: "corrupt" }));
  });

  test.each([
    ["a byte before the record", 64, 0, -14],
    ["in the alignment's room", 64, 256, -50],
    ["the seal", 64, 0, -1],
    ["the first byte before", 5, 32, -1],
  ])("a write before a block is found by check and by free: %s", (_where, size, alignment, offset) => {
    const { heap, memory } = make();
    const block = heap.allocate(size, alignment);
    heap.allocate(8);
    flip(memory, block + offset);
    expect(() => heap.check()).toThrow(expect.objectContaining({ code: "corrupt" }));
    expect(() => heap.free(block)).toThrow(expect.objectContaining({ code: "corrupt", subject: block }));
  });

  test.each([
    ["its last byte", 3, 2],
    ["beyond its first word", 64, 30],
    ["the byte after it", 8, 8],
  ])("a write into a freed block is found by check, and when it leaves the quarantine: %s", (_where, size, offset) => {
    const { heap, memory } = make();
    const block = heap.allocate(size);
    heap.free(block);
    flip(memory, block + offset);
    expect(() => heap.check()).toThrow(expect.objectContaining({ code: "use-after-free", subject: block }));
    expect(() => heap.reset()).toThrow(expect.objectContaining({ code: "use-after-free", subject: block }));
    heap.check();
  });

  test("a second free is told as one after the quarantine, too", () => {
    const memory = memoryOf(64);
    const heap = new DebugHeap(new GeneralHeap(memory), memory, { quarantine: 0 });
    const block = heap.allocate(20);
    heap.free(block);
    expect(() => heap.free(block)).toThrow(expect.objectContaining({ code: "double-free", subject: block }));
    heap.check();
  });

  test("it owns live blocks, and no others", () => {
    const { heap } = make();
    const blocks = [heap.allocate(5), heap.allocate(5, 128), heap.allocate(3000)];
    heap.free(blocks[2] ?? 0);
    expect(blocks.map((block) => heap.owns(block))).toEqual([true, true, false]);
    expect([4, 1, -4, 2 ** 40, NaN].map((by) => heap.owns((blocks[0] ?? 0) + by))).not.toContain(true);
  });

  test("a write into a freed block is found when it leaves the quarantine", () => {
    const { heap, memory } = make();
    const block = heap.allocate(32);
    heap.free(block);
    flip(memory, block + 5);
    const churn = (): void => {
      for (let at = 0; at < 4; at++) heap.free(heap.allocate(32));
    };
    expect(churn).toThrow(expect.objectContaining({ code: "use-after-free", subject: block }));
    heap.check();
  });

  test("a double free is told from a wild one, and a wrong size from both", () => {
    const { heap } = make();
    const block = heap.allocate(32);
    expect(() => heap.freeSized(block, 33)).toThrow(expect.objectContaining({ code: "size-mismatch" }));
    heap.freeSized(block, 32);
    expect(() => heap.free(block)).toThrow(expect.objectContaining({ code: "double-free" }));
    expect(() => heap.free(block + 4)).toThrow(expect.objectContaining({ code: "wild-free" }));
  });

  test("a pointer from before a reset is told from a live block, also where its bytes lie as they were", () => {
    const { heap } = make();
    const block = heap.allocate(32);
    heap.reset();
    expect(() => heap.free(block)).toThrow(expect.objectContaining({ code: "wild-free", subject: block }));
    expect(heap.allocate(32)).toBe(block);
    heap.free(block);
    heap.check();
  });

  test("the quarantine keeps no more bytes than it may, and no block that is larger", () => {
    const memory = memoryOf(256);
    const inner = new GeneralHeap(memory);
    const heap = new DebugHeap(inner, memory, { quarantineBytes: 1000 });
    const blocks = Array.from({ length: 5 }, () => heap.allocate(300));
    const large = heap.allocate(1001);
    for (const block of blocks) heap.free(block);
    expect(inner.stats().liveBlocks).toBe(4);
    heap.free(large);
    expect(inner.stats().liveBlocks).toBe(3);
    heap.check();
  });

  test("leaks are grouped by call site, most bytes first", () => {
    const { heap } = make();
    for (let at = 0; at < 6; at++) heap.allocate(at % 2 === 0 ? 10 : 100);
    expect(heap.leaks()).toEqual([
      { site: "site 1", blocks: 3, bytes: 300 },
      { site: "site 0", blocks: 3, bytes: 30 },
    ]);
    expect(() => heap.requireNoLeaks()).toThrow(/3 blocks are live, allocated at site 1/);
  });
});

test("a block of a memory that has grown since is looked at where it is now", () => {
  const wasm = new WebAssembly.Memory({ initial: 1, maximum: 16 });
  const memory = new BufferMemory(wasm);
  const heap = new DebugHeap(new Tlsf(memory), memory, { quarantine: 2 });
  const first = heap.allocate(100, 64);
  wasm.grow(1);
  const second = heap.allocate(5);
  expect([heap.usableSize(first), heap.usableSize(second)]).toEqual([100, 5]);
  const large = heap.allocate(200_000, 32);
  heap.free(large);
  heap.check();
  expect(memory.load32(large)).toBe(0xdfdfdfdf | 0);
  heap.free(first);
  wasm.grow(1);
  heap.free(second);
  heap.check();
  heap.reset();
});

test.each([0, 1, 7, 8, 30, 33, Infinity])(
  "a block is poisoned up to %s bytes, in whole words, and no byte behind it",
  (poisonBytes) => {
    for (const [, memoryOf] of memories)
      for (const size of [0, 1, 4, 7, 8, 9, 30, 32, 35, 100]) {
        const memory = memoryOf(64);
        const heap = new DebugHeap(new GeneralHeap(memory), memory, { poisonBytes });
        const block = heap.allocate(size);
        memory.fill(block, size, 0x55);
        heap.free(block);
        heap.check();
        const poisoned = Math.min(size, Math.ceil(poisonBytes / 4) * 4);
        for (let at = 0; at < size; at++) {
          const word = memory.load32(Math.floor((block + at) / 4) * 4);
          expect((word >>> ((at % 4) * 8)) & 255).toBe(at < poisoned ? 0xdf : 0x55);
        }
        for (const at of [-16, -1, size, size + 7]) {
          flip(memory, block + at);
          expect(() => heap.check()).toThrow(expect.objectContaining({ code: "use-after-free", subject: block }));
          flip(memory, block + at);
        }
        heap.reset();
      }
  },
);

test("over an allocator whose blocks are aligned to less than a word its blocks are aligned to one", () => {
  const memory = new BufferMemory(new ArrayBuffer(65536));
  const heap = new DebugHeap(new OffsetAllocator(memory, { granule: 1 }), memory);
  const blocks = Array.from({ length: 50 }, (_, at) => heap.allocate(at));
  expect(blocks.filter((block) => block % 4 !== 0 || block === -1)).toEqual([]);
  for (const block of blocks) heap.free(block);
  heap.check();
  const odd = new DebugHeap(new Pool(memory, 50), memory);
  for (let at = 0; at < 5; at++) expect(odd.allocate(20) % 4).not.toBe(2);
  odd.check();
});

test("a freed block whose size was written over is not looked through for its poison", () => {
  const counter = { steps: 0 };
  const bytes = new BufferMemory(new ArrayBuffer(65536));
  const { words } = countingWords(bytes.words, counter);
  const memory: BlockMemory & Pick<WordMemory, "words"> = {
    fill: (address, length, value) => bytes.fill(address, length, value),
    copy: (from, to, length) => bytes.copy(from, to, length),
    load32: (address) => bytes.load32(address),
    store32: (address, value) => bytes.store32(address, value),
    words,
  };
  const heap = new DebugHeap(new GeneralHeap(bytes), memory, { poisonBytes: Infinity });
  const block = heap.allocate(100);
  heap.free(block);
  bytes.store32(block - 8, 2 ** 31 - 1);
  counter.steps = 0;
  expect(() => heap.check()).toThrow(expect.objectContaining({ code: "use-after-free", subject: block }));
  expect(counter.steps).toBeLessThan(20);
});
