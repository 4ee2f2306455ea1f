import { expect, test } from "vitest";
import type { BufferMemory } from "@pagewright/heap";
import { GeneralHeap, Tlsf, wasmHeapMemory, wasmImports } from "@pagewright/heap";

/**
 * (module (import "env" "memory" (memory 1)) (import "env" "malloc" (func $malloc (param i32) (result i32))) (import "env" "free" (func $free (param i32)))
 *   (func (export "run") (param i32) (result i32) (local i32)
 *     local.get 0  call $malloc  local.tee 1  i32.const 7  i32.store  local.get 1))
 */
const MODULE = Uint8Array.from([
  0, 97, 115, 109, 1, 0, 0, 0, 1, 10, 2, 96, 1, 127, 1, 127, 96, 1, 127, 0, 2, 39, 3, 3, 101, 110, 118, 6, 109, 101,
  109, 111, 114, 121, 2, 0, 1, 3, 101, 110, 118, 6, 109, 97, 108, 108, 111, 99, 0, 0, 3, 101, 110, 118, 4, 102, 114,
  101, 101, 0, 1, 3, 2, 1, 0, 7, 7, 1, 3, 114, 117, 110, 0, 2, 10, 19, 1, 17, 1, 1, 127, 32, 0, 16, 0, 34, 1, 65, 7, 54,
  2, 0, 32, 1, 11,
]);

test("a module allocates through its imports, above its heap base, and the memory grows", async () => {
  const wasm = new WebAssembly.Memory({ initial: 1, maximum: 16 });
  const memory = wasmHeapMemory(wasm, { value: 5000 });
  const heap = new GeneralHeap(memory);
  const env = {
    memory: wasm,
    ...wasmImports(
      () => heap,
      () => memory,
    ),
  };
  const { instance } = await WebAssembly.instantiate(MODULE, { env });
  const { run } = instance.exports as unknown as { run: (size: number) => number };
  const blocks = [100, 20_000, 200_000].map((size) => run(size));
  for (const block of blocks) {
    expect(block).toBeGreaterThanOrEqual(5008);
    expect(block % 16).toBe(0);
    expect(memory.load32(block)).toBe(7);
    env.free(block);
  }
  expect(wasm.buffer.byteLength).toBeGreaterThan(65536);
  expect(heap.stats().liveBlocks).toBe(0);
});

test("the C functions answer as C says", () => {
  for (const make of [
    (memory: BufferMemory) => new GeneralHeap(memory),
    (memory: BufferMemory) => new Tlsf(memory, { granule: 16 }),
  ]) {
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
      const block = c.realloc(zeroed === 0 ? 0 : c.malloc(size), size * 2);
      expect(block % 16).toBe(0);
      expect(c.malloc_usable_size(block)).toBeGreaterThanOrEqual(size * 2);
      c.free(block);
    }
    expect(c.aligned_alloc(256, 10) % 256).toBe(0);
    expect(c.realloc(0, 8)).not.toBe(0);
    heap.check();
  }
});
