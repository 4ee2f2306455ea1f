/** Listings of tables that map more leaves than are looked at: what is listed is right, and where it ends is said. */
import {
  attributes,
  compareTables,
  jsonRuns,
  linuxPageTables,
  Mapper,
  MODE_4_LEVEL,
  PagingState,
  qemuMem,
  qemuTlb,
  runs,
  type LeafBound,
  type Vpn,
} from "@pagewright/x86-paging";
import { describe, expect, test } from "vitest";
import { CountingFrames, SparseMemory } from "./support/memory.ts";

/** The pages 1, 3, 5 and −1 of a space, or others, as many leaves. */
function four(pages: readonly Vpn[] = [1, 3, 5, -1]): { state: PagingState; memory: SparseMemory } {
  const memory = new SparseMemory();
  const made = Mapper.create({ mode: MODE_4_LEVEL, memory, frames: new CountingFrames(memory, 0x80) });
  if (!made.ok) throw new Error("no root");
  for (const page of pages) made.map(page, 1, 0x1000 + Math.abs(page), attributes({}));
  return { state: new PagingState({ mode: MODE_4_LEVEL, root: made.root }), memory };
}

const LISTINGS: readonly [string, (bound: LeafBound) => Iterable<unknown>][] = [
  ["runs", (bound) => runs(four().state, four().memory, bound)],
  ["qemuTlb", (bound) => qemuTlb(four().state, four().memory, bound)],
  ["qemuMem", (bound) => qemuMem(four().state, four().memory, bound)],
  ["jsonRuns", (bound) => jsonRuns(four().state, four().memory, bound)],
  ["jsonRuns of leaves", (bound) => jsonRuns(four().state, four().memory, { leaves: true, ...bound })],
];

describe.each(LISTINGS)("%s", (_name, list) => {
  const whole = [...list({})];

  test.each([
    [0, 1],
    [1, 3],
    [3, -1],
  ])("of %i leaves is the beginning of all, and says which page is the first left out", (leafLimit, first) => {
    const cuts: Vpn[] = [];
    expect([...list({ leafLimit, onCut: (vpn) => cuts.push(vpn) })]).toEqual(whole.slice(0, leafLimit));
    expect(cuts).toEqual([first]);
  });

  test("says nothing where the limit is just met", () => {
    const cuts: Vpn[] = [];
    expect([...list({ leafLimit: 4, onCut: (vpn) => cuts.push(vpn) })]).toEqual(whole);
    expect(cuts).toEqual([]);
  });
});

test("a dump in Linux's style ends before the first page left out, which it does not call empty", () => {
  const { state, memory } = four();
  const cuts: Vpn[] = [];
  const lines = [...linuxPageTables(state, memory, [], 2, (vpn) => cuts.push(vpn))];
  const all = [...linuxPageTables(state, memory, [])];
  expect([lines, cuts]).toEqual([all.slice(0, lines.length), [5]]);
  expect(lines.at(-1)).toMatch(/^0x0000000000004000-0x0000000000005000 /);
});

test("a comparison ends where either side is cut off: nothing is called mapped or unmapped for it", () => {
  const cuts: Vpn[] = [];
  const compare = (leafLimit: number, before: readonly Vpn[], after: readonly Vpn[]): unknown[] => {
    const [one, other] = [four(before), four(after)];
    const bound = { leafLimit, onCut: (vpn: Vpn) => cuts.push(vpn) };
    return [...compareTables(one.state, one.memory, other.state, other.memory, bound)];
  };
  const mapped = { kind: "mapped", vpn: 0, pages: 1 };
  expect([compare(2, [1, 3, 5], [1, 3, 5]), compare(3, [1, 3, 5], [1, 3, 5]), cuts]).toEqual([[], [], [5]]);
  // The left side is cut off at page 5, the right one at page 3.
  expect(compare(2, [1, 3, 5], [0, 1, 3, 5])).toMatchObject([mapped]);
  expect(compare(2, [0, 1, 3, 5], [1, 3, 5])).toMatchObject([{ ...mapped, kind: "unmapped" }]);
  expect(cuts).toEqual([5, 3, 3]);
  expect(compare(1, [1, 3, 5], [])).toMatchObject([{ kind: "unmapped", vpn: 1, pages: 1 }]);
  expect(cuts.at(-1)).toBe(3);
});
