import { expect, test } from "vitest";
import type { Allocator, BufferMemory } from "@pagewright/heap";
import { GeneralHeap, OffsetAllocator, Tlsf, wasmHeapMemory, wasmImports } from "@pagewright/heap";

/** The bytes of a section, or of a function's body: how many they are, then they. */
const sized = (...bytes: number[]): number[] => [bytes.length, ...bytes];
const text = (name: string): number[] => sized(...new TextEncoder().encode(name));
const imported = (name: string, type: number): number[] => [...text("env"), ...text(name), 0, type];

/*
 * (module
 *   (import "env" "malloc" (func $malloc (param i32) (result i32)))  (import "env" "calloc" (func $calloc (param i32 i32) (result i32)))
 *   (import "env" "realloc" (func $realloc (param i32 i32) (result i32)))  (import "env" "free" (func $free (param i32)))
 *   (memory (export "memory") 1 64)  (global (export "__heap_base") i32 (i32.const 5000))
 *   (func (export "work") (param $n i32) (result i32) (local $p i32) (local $q i32)
 *     (local.set $p (call $malloc (local.get $n)))  (i32.store (local.get $p) (i32.const 7))
 *     (drop (memory.grow (i32.const 1)))
 *     (local.set $p (call $realloc (local.get $p) (i32.mul (local.get $n) (i32.const 2))))
 *     (if (i32.ne (i32.load (local.get $p)) (i32.const 7)) (then unreachable))
 *     (local.set $q (call $calloc (i32.const 3) (local.get $n)))  (if (i32.load (local.get $q)) (then unreachable))
 *     (i32.store (local.get $q) (i32.const 9))  (call $free (local.get $p))  (local.get $q)))
 */
const MODULE = Uint8Array.from([
  ...[0, 97, 115, 109, 1, 0, 0, 0],
  ...[1, ...sized(3, 96, 1, 127, 1, 127, 96, 2, 127, 127, 1, 127, 96, 1, 127, 0)],
  ...[
    2,
    ...sized(4, ...imported("malloc", 0), ...imported("calloc", 1), ...imported("realloc", 1), ...imported("free", 2)),
  ],
  ...[3, ...sized(1, 0)],
  ...[5, ...sized(1, 1, 1, 64)],
  ...[6, ...sized(1, 127, 0, 65, 0x88, 0x27, 11)],
  ...[7, ...sized(3, ...text("memory"), 2, 0, ...text("__heap_base"), 3, 0, ...text("work"), 0, 4)],
  ...[
    10,
    ...sized(
      1,
      ...sized(
        ...[1, 2, 127],
        ...[32, 0, 16, 0, 33, 1, 32, 1, 65, 7, 54, 2, 0],
        ...[65, 1, 64, 0, 26],
        ...[32, 1, 32, 0, 65, 2, 108, 16, 2, 33, 1],
        ...[32, 1, 40, 2, 0, 65, 7, 71, 4, 64, 0, 11],
        ...[65, 3, 32, 0, 16, 1, 33, 2, 32, 2, 40, 2, 0, 4, 64, 0, 11],
        ...[32, 2, 65, 9, 54, 2, 0, 32, 1, 16, 3, 32, 2, 11],
      ),
    ),
  ],
]);

/** What the module exports. */
interface Exports {
  readonly memory: WebAssembly.Memory;
  readonly __heap_base: WebAssembly.Global;
  readonly work: (bytes: number) => number;
}

test.each([
  ["the general heap", (memory: BufferMemory) => new GeneralHeap(memory)],
  ["TLSF", (memory: BufferMemory) => new Tlsf(memory)],
  ["the offset allocator", (memory: BufferMemory) => new OffsetAllocator(memory, { granule: 16 })],
])(
  "a module with a memory of its own lives on %s from its heap base on, and grows that memory itself",
  async (_name, make) => {
    const made: { memory?: BufferMemory; heap?: Allocator } = {};
    const env = wasmImports(
      () => made.heap ?? expect.unreachable("the module is there by now"),
      () => made.memory ?? expect.unreachable("the module is there by now"),
    );
    const { instance } = await WebAssembly.instantiate(MODULE, { env: { ...env } });
    const { memory: wasm, __heap_base: base, work } = instance.exports as unknown as Exports;
    const memory = (made.memory = wasmHeapMemory(wasm, base));
    const heap = (made.heap = make(memory));
    const blocks: number[] = [];
    for (let round = 0; round < 30; round++)
      for (const size of [4, 40, 500, 3000, 20_000]) {
        const block = work(size);
        expect(block).toBeGreaterThanOrEqual(5008);
        if (size * 3 >= 16) expect(block % 8).toBe(0);
        blocks.push(block);
        if (blocks.length > 8) env.free(blocks.splice(round % 8, 1)[0] ?? 0);
        heap.check();
      }
    for (const block of blocks) expect(memory.load32(block)).toBe(9);
    expect(heap.stats().liveBlocks).toBe(blocks.length);
    expect(wasm.buffer.byteLength).toBe(64 * 65536);
    for (const block of blocks) env.free(block);
    expect(heap.stats().liveBlocks).toBe(0);
  },
);

test("where memory has run out malloc, calloc and realloc answer 0 and the block stays", () => {
  const memory = wasmHeapMemory(new WebAssembly.Memory({ initial: 1, maximum: 1 }), 1024);
  const heap = new GeneralHeap(memory, { chunkBytes: 4096 });
  const c = wasmImports(
    () => heap,
    () => memory,
  );
  const block = c.malloc(300);
  memory.fill(block, 300, 5);
  while (c.malloc(16) !== 0);
  while (c.malloc(4) !== 0);
  expect(c.calloc(10, 10)).toBe(0);
  expect(c.realloc(block, 900)).toBe(0);
  expect(c.realloc(block, 5000)).toBe(0);
  expect(memory.load32(block + 296)).toBe(0x05050505);
  expect(c.realloc(block, 20)).toBe(block);
  c.free(block);
  expect(c.malloc(300)).toBe(block);
});

test.each([
  ["TLSF, whose blocks are aligned to 8", (memory: BufferMemory) => new Tlsf(memory, { chunkBytes: 4096 })],
  ["the general heap", (memory: BufferMemory) => new GeneralHeap(memory, { chunkBytes: 4096 })],
  ["the offset allocator", (memory: BufferMemory) => new OffsetAllocator(memory, { granule: 8, chunkBytes: 4096 })],
])(
  "over %s realloc answers an aligned block that begins as the old one did, or 0 and the old block is as it was",
  (_name, make) => {
    const memory = wasmHeapMemory(new WebAssembly.Memory({ initial: 1, maximum: 1 }), 1024);
    const heap = make(memory);
    const c = wasmImports(
      () => heap,
      () => memory,
    );
    let state = 1;
    const random = (below: number): number => (state = (state * 48271) % 2147483647) % below;
    const blocks: { address: number; size: number; stamp: number }[] = [];
    const holds = ({ address, size, stamp }: (typeof blocks)[number]): boolean =>
      memory.bytes.subarray(address, address + size).every((byte) => byte === stamp);
    let refusals = 0;
    for (let step = 0; step < 3000; step++) {
      const block = blocks[random(blocks.length || 1)];
      const size = random(3) === 0 ? random(40) : 1000 + random(5000);
      if (block === undefined || random(4) === 0) {
        const address = c.malloc(size);
        if (address === 0) c.free(blocks.shift()?.address ?? 0);
        else blocks.push({ address, size, stamp: step & 255 });
      } else {
        const to = c.realloc(block.address, size);
        if (to === 0) refusals++;
        else {
          if (size >= 16) expect(to % 16).toBe(0);
          expect(holds({ address: to, size: Math.min(size, block.size), stamp: block.stamp })).toBe(true);
          Object.assign(block, { address: to, size });
        }
      }
      const last = blocks.at(-1);
      if (last !== undefined) memory.fill(last.address, last.size, last.stamp);
      if (block !== undefined && blocks.includes(block)) memory.fill(block.address, block.size, block.stamp);
      expect(blocks.every(holds)).toBe(true);
    }
    expect(refusals).toBeGreaterThan(50);
    heap.check();
  },
);

test("the C functions answer as C says", () => {
  for (const make of [(memory: BufferMemory) => new GeneralHeap(memory), (memory: BufferMemory) => new Tlsf(memory)]) {
    const memory = wasmHeapMemory(new WebAssembly.Memory({ initial: 1, maximum: 4 }), 1024);
    const heap = make(memory);
    const c = wasmImports(
      () => heap,
      () => memory,
    );
    expect(c.malloc(-1)).toBe(0);
    c.free(0);
    const zeroed = c.calloc(10, 10);
    expect(memory.bytes.subarray(zeroed, zeroed + 100).every((byte) => byte === 0)).toBe(true);
    memory.fill(zeroed, 100, 9);
    for (const size of [40, 120, 250, 1100, 5000, 33]) {
      const small = c.malloc(size);
      memory.fill(small, size, size & 255);
      const block = c.realloc(small, size * 2);
      expect(memory.bytes.subarray(block, block + size).every((byte) => byte === (size & 255))).toBe(true);
      expect(block % 16).toBe(0);
      expect(c.malloc_usable_size(block)).toBeGreaterThanOrEqual(size * 2);
      c.free(block);
    }
    expect(c.aligned_alloc(256, 10) % 256).toBe(0);
    expect(c.realloc(0, 8)).not.toBe(0);
    heap.check();
  }
});
