import { describe, expect, test } from "vitest";
import { BufferMemory, NumberRange } from "@pagewright/heap";
import type { RangeSource } from "@pagewright/heap";
import { blockMemorySuite, rangeSourceSuite } from "@pagewright/heap/testing";
import { FarMemory, SplitRange } from "./memories.ts";

const MIB = 2 ** 20;

const ResizableBuffer = ArrayBuffer as unknown as new (
  bytes: number,
  options: { maxByteLength: number },
) => ArrayBuffer;
const GrowableBuffer = SharedArrayBuffer as unknown as new (
  bytes: number,
  options: { maxByteLength: number },
) => SharedArrayBuffer;

const memories: Record<string, () => BufferMemory> = {
  ArrayBuffer: () => new BufferMemory(new ArrayBuffer(MIB)),
  "resizable ArrayBuffer": () => new BufferMemory(new ResizableBuffer(4096, { maxByteLength: MIB })),
  SharedArrayBuffer: () => new BufferMemory(new SharedArrayBuffer(MIB)),
  "growable SharedArrayBuffer": () => new BufferMemory(new GrowableBuffer(4096, { maxByteLength: MIB })),
  "WebAssembly.Memory": () => new BufferMemory(new WebAssembly.Memory({ initial: 1, maximum: 16 })),
  "shared WebAssembly.Memory": () =>
    new BufferMemory(new WebAssembly.Memory({ initial: 1, maximum: 16, shared: true })),
};
const sources: Record<string, () => RangeSource> = {
  ...memories,
  NumberRange: () => new NumberRange(4096, 4096 + MIB),
  FarMemory: () => new FarMemory(MIB, 2 ** 40),
  SplitRange: () => new SplitRange(2 * MIB),
};

for (const [name, make] of Object.entries(sources)) {
  describe(name, () => {
    for (const { name: claim, run } of rangeSourceSuite) test(claim, () => run(make));
  });
}
for (const [name, make] of Object.entries(memories)) {
  describe(name, () => {
    for (const { name: claim, run } of blockMemorySuite) {
      test(claim, () =>
        run(() => {
          const memory = make();
          memory.reserve(131072, 8);
          return memory;
        }),
      );
    }
  });
}

test("a view says that it is stale after a WebAssembly.Memory has grown", () => {
  const memory = new BufferMemory(new WebAssembly.Memory({ initial: 1, maximum: 4 }));
  const address = memory.reserve(64, 8);
  const view = memory.view(address, Float32Array, 4);
  view[0] = 1.5;
  expect(memory.isStale(view)).toBe(false);
  memory.reserve(100_000, 8);
  expect(memory.isStale(view)).toBe(true);
  expect(memory.view(address, Float32Array, 4)[0]).toBe(1.5);
});

test("a memory grown by someone else is noticed", () => {
  const wasm = new WebAssembly.Memory({ initial: 1, maximum: 4 });
  const memory = new BufferMemory(wasm);
  wasm.grow(1);
  expect(memory.refresh()).toBe(true);
  expect(memory.words.length).toBe(32768);
  expect(() => memory.view(2, Float32Array, 1)).toThrow(expect.objectContaining({ code: "bad-alignment" }));
});

test("a released range that was never reserved is refused", () => {
  const range = new NumberRange(0, 100);
  range.reserve(50, 1);
  range.release(10, 10);
  expect(() => range.release(10, 10)).toThrow(expect.objectContaining({ code: "double-free" }));
  expect(() => range.release(40, 20)).toThrow(expect.objectContaining({ code: "wild-free" }));
});
