import { tableFramesSuite, tableMemorySuite } from "@pagewright/x86-paging/testing";
import { ABSENT_FRAME } from "@pagewright/x86-paging";
import { describe, test } from "vitest";
import { CountingFrames, SparseMemory } from "./support/memory.ts";

describe("TableMemory", () => {
  const flat = new Uint32Array(16 * 1024);
  for (const one of tableMemorySuite) {
    test(`one array: ${one.name}`, async () => {
      const memory = {
        words: (pfn: number) => (pfn < 16 ? flat : ABSENT_FRAME),
        base: (pfn: number) => (pfn < 16 ? pfn * 1024 : 0),
      };
      await one.run(() => ({ memory, firstFrame: 4 }));
    });
    test(`an array per frame: ${one.name}`, async () => {
      await one.run(() => {
        const memory = new SparseMemory();
        for (let pfn = 0; pfn < 8; pfn++) memory.make(pfn);
        return { memory, firstFrame: 0 };
      });
    });
  }
});

describe("TableFrames", () => {
  for (const one of tableFramesSuite) {
    test(one.name, async () => {
      await one.run(() => {
        const memory = new SparseMemory();
        const frames = new CountingFrames(memory, 7);
        frames.left = 5;
        return { frames, memory, capacity: 5 };
      });
    });
  }
});
