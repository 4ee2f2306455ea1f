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

test("a view of shared or resizable memory stays valid when that has grown", () => {
  const targets = [
    new WebAssembly.Memory({ initial: 1, maximum: 4, shared: true }),
    new GrowableBuffer(4096, { maxByteLength: MIB }),
    new ResizableBuffer(4096, { maxByteLength: MIB }),
  ];
  for (const target of targets) {
    const memory = new BufferMemory(target);
    const address = memory.reserve(64, 8);
    const view = memory.view(address, Float32Array, 4);
    memory.reserve(100_000, 8);
    memory.view(address, Float32Array, 4)[1] = 2.5;
    expect(memory.isStale(view)).toBe(false);
    expect(view[1]).toBe(2.5);
  }
});

test("bytes are read and written where they are though someone else has grown the memory", () => {
  for (const shared of [false, true]) {
    const wasm = new WebAssembly.Memory({ initial: 1, maximum: 9, shared });
    const memory = new BufferMemory(wasm);
    memory.store32(64, 1);
    wasm.grow(1);
    expect(memory.load32(64)).toBe(1);
    wasm.grow(1);
    memory.store32(65536 + 64, 2);
    wasm.grow(1);
    memory.fill(68, 8, 3);
    wasm.grow(1);
    memory.copy(65536 + 64, 80, 4);
    wasm.grow(1);
    expect([...new Int32Array(wasm.buffer, 64, 5)]).toEqual([1, 0x03030303, 0x03030303, 0, 2]);
    memory.refresh();
    expect([memory.words.length, memory.bytes.length]).toEqual([6 * 16384, 6 * 65536]);
  }
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
