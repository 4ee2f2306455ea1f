import { attributes, lint, Mapper, MODE_4_LEVEL, PagingState } from "@pagewright/x86-paging";
import { describe, expect, test } from "vitest";
import { CountingFrames, SparseMemory } from "./support/memory.ts";

const FIRST = 0x10;
const TABLES = 48;

/** Frames each of which is a table at every level and a page, and whose entries refer to the others: 2^36 leaves in 192 KiB. */
function knot(): SparseMemory {
  const memory = new SparseMemory();
  for (let table = 0; table < TABLES; table++) {
    const words = new Uint32Array(1024);
    for (let index = 0; index < 512; index++)
      words[index * 2] = (FIRST + ((table * 7 + index * 5) % TABLES)) * 4096 + 7;
    memory.frames.set(FIRST + table, words);
  }
  return memory;
}

describe("lint of tables without end", () => {
  test("keeps no more runs than it says, and reports how far it came", () => {
    const state = new PagingState({ mode: MODE_4_LEVEL, root: FIRST });
    const before = process.memoryUsage().heapUsed;
    const found = lint(state, knot(), { runLimit: 10_000 }).filter(({ rule }) => rule === "incomplete");
    expect(process.memoryUsage().heapUsed - before).toBeLessThan(200 * 2 ** 20);
    expect(found).toEqual([
      {
        rule: "incomplete",
        severity: "warning",
        vpn: 10_000,
        pages: 1,
        pfn: expect.any(Number) as number,
        sentence:
          "the tables at 0x0000000000010000 map more than is looked at (16777216 leaves or 10000 runs): 10000 runs were, nothing from 0x0000000002710000 on",
      },
    ]);
  });

  test("looks at no more tables than it says", () => {
    const state = new PagingState({ mode: MODE_4_LEVEL, root: FIRST });
    const found = lint(state, knot(), { leafLimit: 100, tableLimit: 20 }).filter(({ rule }) => rule === "incomplete");
    expect(found.map(({ sentence }) => sentence.split(":")[0])).toEqual([
      "the tables at 0x0000000000010000 map more than is looked at (100 leaves or 1048576 runs)",
      "there are more tables than are looked at (20 tables or references among them)",
    ]);
  });

  test("says nothing where the limits are just met", () => {
    const memory = new SparseMemory();
    const made = Mapper.create({ mode: MODE_4_LEVEL, memory, frames: new CountingFrames(memory, 0x80) });
    if (!made.ok) throw new Error("no root");
    for (const page of [1, 3, 5]) made.map(page, 1, 0x1000 + page, attributes({ global: true }));
    made.map(-1, 1, 0x2000, attributes({ global: true }));
    const state = new PagingState({ mode: MODE_4_LEVEL, root: made.root });
    expect(lint(state, memory, { runLimit: 4, leafLimit: 4 })).toEqual([]);
    const cut = lint(state, memory, { runLimit: 3 });
    expect(cut.map(({ rule, vpn }) => [rule, vpn])).toEqual([["incomplete", -1]]);
    expect(lint(state, memory, { leafLimit: 3 })).toMatchObject([{ rule: "incomplete", vpn: -1 }]);
  });
});
