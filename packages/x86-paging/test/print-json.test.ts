import {
  attributes,
  compareTables,
  jsonDifference,
  jsonRuns,
  Mapper,
  MODE_4_LEVEL,
  PagingState,
} from "@pagewright/x86-paging";
import { expect, test } from "vitest";
import { CountingFrames, SparseMemory } from "./support/memory.ts";

function space(): { mapper: Mapper; state: PagingState; memory: SparseMemory } {
  const memory = new SparseMemory();
  const mapper = Mapper.create({ mode: MODE_4_LEVEL, memory, frames: new CountingFrames(memory, 0x80) });
  if (!mapper.ok) throw new Error("no root");
  return { mapper, state: new PagingState({ mode: MODE_4_LEVEL, root: mapper.root }), memory };
}

const run = {
  start: "0x1000",
  end: "0x3000",
  physical: "0x5000",
  pages: 2,
  page: "4K",
  rights: "rw-u",
  global: false,
  memoryType: 0,
  key: 0,
  software: 0,
  encrypted: false,
};

test("neighbours are merged, leaves are not, and both survive JSON", () => {
  const { mapper, state, memory } = space();
  mapper.map(1, 2, 5, attributes({ write: true, user: true }));
  mapper.map(-1, 1, 0xff_ffff_ffff, attributes({ global: true, execute: true }));
  const top = {
    ...run,
    start: "0xfffffffffffff000",
    end: "0x10000000000000000",
    physical: "0xffffffffff000",
    pages: 1,
    rights: "r-x-",
    global: true,
  };
  const merged = [...jsonRuns(state, memory)];
  expect(merged).toEqual([run, top]);
  expect(JSON.parse(JSON.stringify(merged))).toEqual(merged);
  const first = { ...run, end: "0x2000", pages: 1 };
  const second = { ...run, start: "0x2000", physical: "0x6000", pages: 1 };
  expect([...jsonRuns(state, memory, { leaves: true })]).toEqual([first, second, top]);
  expect([...jsonRuns(state, memory, { leaves: true, leafLimit: 1 })]).toEqual([first]);
  expect([...jsonRuns(state, memory, { vpn: 2, pages: 4 })]).toEqual([second]);
});

test("a difference has the sides it has", () => {
  const before = space();
  const after = space();
  after.mapper.map(1, 2, 5, attributes({ write: true, user: true }));
  const [one] = compareTables(before.state, before.memory, after.state, after.memory);
  if (one === undefined) throw new Error("no difference");
  const document = jsonDifference(MODE_4_LEVEL, one);
  expect(document).toMatchObject({ kind: "mapped", start: "0x1000", end: "0x3000", pages: 2 });
  expect("before" in document).toBe(false);
  expect(document.after).toMatchObject({ physical: "0x5000", rights: "rw-u", page: "4K" });
});
