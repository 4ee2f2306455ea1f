/** Memory and swap are all there is, and a program stores until nothing is left: what was stored can be loaded. */
import { physicalMapFromJson, type Cpu } from "@pagewright/machine";
import { MemorySwap } from "@pagewright/vmm";
import { describe, expect, test } from "vitest";

import { audit, createStack, type Stack } from "../src/index.ts";

const PAGE = 4096;
const PAGES = 8192;

interface Filled {
  readonly stack: Stack;
  readonly cpu: Cpu;
  /** Address of a page. */
  readonly place: (page: number) => number;
  readonly stored: readonly number[];
}

test("a map whose memory is all kept for devices is refused, by the boundary that is in force", () => {
  const map = physicalMapFromJson({ entries: [{ base: 0, length: 16 * 2 ** 20, type: 1 }] });
  expect(() => createStack({ map })).toThrow(
    expect.objectContaining({ name: "StackError", code: "no-memory", facts: { low: 4096 } }),
  );
  expect(createStack({ map, pmm: { lowZoneEnd: 2048 } }).pmm.totalFrames).toBe(2048);
});

/** 24 MiB, of which a program stores to every `stride`-th page until a hundred stores were refused; those that were not. */
function fillMemory(slots: number, stride: number, lazyShootdown: boolean): Filled {
  const map = physicalMapFromJson({ entries: [{ base: 0, length: 24 * 2 ** 20, type: 1 }] });
  const swap = slots === 0 ? [] : [new MemorySwap(slots)];
  const stack = createStack({ map, cpus: lazyShootdown ? 2 : 1, swap, lazyShootdown });
  const space = stack.vmm.createSpace();
  if (space === null) throw new Error("no space");
  const at = Number(space.map({ bytes: PAGES * stride * PAGE, accounted: false }));
  const cpu = stack.enter(space);
  const place = (page: number): number => at + page * stride * PAGE;
  const stored: number[] = [];
  for (let page = 0; page < PAGES && page < stored.length + 100; page++) {
    if (cpu.store32(place(page), page + 1)) stored.push(page);
    if (page % 64 === 0) stack.vmm.background(16);
  }
  return { stack, cpu, place, stored };
}

describe.each([0, 1, 16, 200])("with %d slots of swap", (slots) => {
  test.each([
    { stride: 1, lazyShootdown: false },
    { stride: 1, lazyShootdown: true },
    { stride: 512, lazyShootdown: false },
    { stride: 512, lazyShootdown: true },
  ])("every page that was stored can be loaded ($stride, $lazyShootdown)", ({ stride, lazyShootdown }) => {
    const { stack, cpu, place, stored } = fillMemory(slots, stride, lazyShootdown);
    expect(stored.length).toBeGreaterThan(1000 + slots);
    expect(stored.length).toBeLessThan(PAGES);
    for (const order of [stored, stored.toReversed()])
      expect(order.filter((page) => cpu.load32(place(page)) !== page + 1)).toEqual([]);
    expect(audit(stack).problems).toEqual([]);
  });
});
