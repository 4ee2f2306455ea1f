import { describe, expect, test } from "vitest";
import { BufferMemory, GeneralHeap, Hint, OffsetAllocator, Tlsf, typeHint, TypePools } from "@pagewright/heap";
import type { Allocator } from "@pagewright/heap";
import { useAtRandom } from "@pagewright/heap/testing";

const POINT = 1;
const NAME = 2;

function make(): { readonly pools: TypePools; readonly inner: GeneralHeap; readonly memory: BufferMemory } {
  const memory = new BufferMemory(new ArrayBuffer(2 ** 20));
  const inner = new GeneralHeap(memory);
  return { pools: new TypePools(inner, memory), inner, memory };
}

const pageOf = (address: number): number => Math.floor(address / 4096);

describe("a pool for each type", () => {
  test("blocks of different types, and of none, share no page, although they have one size", () => {
    const { pools } = make();
    const byType = [0, POINT, NAME].map((type) =>
      Array.from({ length: 300 }, () => pageOf(pools.allocate(24, 0, type === 0 ? 0 : typeHint(type)))),
    );
    const pages = byType.map((each) => new Set(each));
    expect(new Set(byType.flat()).size).toBe(pages.reduce((sum, { size }) => sum + size, 0));
    pools.check();
    expect(pools.stats().liveBlocks).toBe(900);
  });

  test("a freed block is taken again by its own type alone", () => {
    const { pools } = make();
    const point = pools.allocate(16, 0, typeHint(POINT));
    pools.allocate(16, 0, typeHint(NAME));
    pools.free(point);
    for (let at = 0; at < 1000; at++) expect(pools.allocate(16, 0, typeHint(NAME))).not.toBe(point);
    expect(pools.allocate(16, 0, typeHint(POINT))).toBe(point);
    expect(() => pools.free(point + 8)).toThrow(expect.objectContaining({ code: "wild-free" }));
  });

  test("all blocks of a type end at once, and their pages are there for others", () => {
    const { pools, inner } = make();
    const before = inner.stats().liveBlocks;
    const points = Array.from({ length: 2000 }, () => pools.allocate(40, 0, typeHint(POINT)));
    const name = pools.allocate(40, 0, typeHint(NAME));
    const seen: number[] = [];
    pools.walkType(POINT, (address) => seen.push(address));
    expect(seen.sort((a, b) => a - b)).toEqual(points.sort((a, b) => a - b));
    pools.endType(POINT);
    expect([pools.owns(points[5] ?? 0), pools.owns(name), pools.stats().liveBlocks]).toEqual([false, true, 1]);
    expect(inner.stats().liveBlocks).toBe(before + 1);
    pools.check();
    expect(pools.allocate(1000, 0, typeHint(POINT))).not.toBe(-1);
    pools.check();
  });

  test("types are up to 65535, and those between have pools of their own", () => {
    const { pools } = make();
    const blocks = [65535, 7, 300].map((type) => pools.allocate(8, 0, typeHint(type)));
    expect(new Set(blocks.map(pageOf)).size).toBe(3);
    expect(() => pools.allocate(8, 0, typeHint(65536))).toThrow(expect.objectContaining({ code: "bad-option" }));
    pools.endType(8);
    pools.endType(300);
    expect(blocks.map((block) => pools.owns(block))).toEqual([true, true, false]);
    pools.check();
  });

  test("what no slot holds is the allocator's: larger than the first of its type, aligned, above 1 KiB; a block that grows moves there", () => {
    const { pools, inner, memory } = make();
    const small = pools.allocate(20, 0, typeHint(POINT));
    expect(pools.usableSize(small)).toBe(24);
    const others = [
      pools.allocate(25, 0, typeHint(POINT)),
      pools.allocate(8, 64, typeHint(POINT)),
      pools.allocate(2000, 0, typeHint(NAME, Hint.longLived)),
    ];
    expect(others.map((address) => inner.owns(address))).toEqual([true, true, true]);
    memory.fill(small, 20, 7);
    expect(pools.resize(small, 24)).toBe(small);
    const moved = pools.resize(small, 500);
    expect([inner.owns(moved), memory.load32(moved + 16)]).toEqual([true, 0x07070707]);
    expect(pools.owns(small)).toBe(false);
    pools.check();
  });

  const bases: readonly [string, (memory: BufferMemory) => Allocator][] = [
    ["the general heap", (memory) => new GeneralHeap(memory)],
    ["TLSF", (memory) => new Tlsf(memory)],
    ["the offset allocator", (memory) => new OffsetAllocator(memory)],
  ];
  test.each(bases)("used at random over %s it does what an allocator does, types and all", (_name, over) => {
    for (let seed = 1; seed <= 4; seed++) {
      const memory = new BufferMemory(new ArrayBuffer(2 ** 19));
      const pools = new TypePools(over(memory), memory);
      let count = 0;
      // Each second block of a size class of its own has a type.
      const typed: Allocator = Object.assign(Object.create(pools) as Allocator, {
        allocate: (size: number, alignment = 0) =>
          pools.allocate(size, alignment, count++ % 2 === 0 ? typeHint(1 + (size % 7)) : 0),
        resize: (address: number, size: number, alignment = 0) =>
          pools.resize(address, size, alignment, typeHint(1 + (size % 7))),
        free: (address: number) => pools.free(address),
        usableSize: (address: number) => pools.usableSize(address),
        owns: (address: number) => pools.owns(address),
        walk: (visit: (address: number, bytes: number) => void) => pools.walk(visit),
        stats: () => pools.stats(),
        check: () => pools.check(),
      });
      // Pages of types whose blocks are gone stay theirs: the largest block is smaller than the memory.
      useAtRandom({ allocator: typed, memory, largest: 128 * 1024, alignment: 4096, records: true }, seed, 300);
      pools.reset();
      pools.check();
      expect(pools.stats().liveBlocks).toBe(0);
    }
  });
});
