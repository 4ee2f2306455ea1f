import {
  ACCESS_FETCH,
  ACCESS_READ,
  ACCESS_USER,
  ACCESS_WRITE,
  ATTR_ACCESSED,
  ATTR_DIRTY,
  attributes,
  EPT_MISCONFIGURATION,
  EPT_VIOLATION,
  Mapper,
  MODE_4_LEVEL,
  MODE_EPT,
  MODE_EPT_5_LEVEL,
  MODE_NPT,
  NESTED_FAULT,
  NestedWalk,
  NestedWalker,
  NPT_TABLE,
  PagingState,
  TRANSLATED,
  Walk,
  walk,
} from "@pagewright/x86-paging";
import type { PagingMode } from "@pagewright/x86-paging";
import { describe, expect, test } from "vitest";
import { CountingFrames, SparseMemory } from "./support/memory.ts";

/** A guest whose frame g lies in host frame g + 0x5000, with one page mapped to guest frame 0x77. */
function machine(
  nestedMode: PagingMode,
  skip = -1,
): { walker: NestedWalker; guest: Mapper; nested: Mapper; memory: SparseMemory } {
  const memory = new SparseMemory();
  const guestFrames = new CountingFrames(memory, 0x5010);
  const guestMemory = { words: (pfn: number) => memory.words(pfn + 0x5000), base: () => 0 };
  const frames = { take: () => guestFrames.take() - 0x5000, give: (pfn: number) => guestFrames.give(pfn + 0x5000) };
  const guest = Mapper.create({ mode: MODE_4_LEVEL, memory: guestMemory, frames });
  const nested = Mapper.create({ mode: nestedMode, memory, frames: new CountingFrames(memory, 0x9000) });
  if (!guest.ok || !nested.ok) throw new Error("no roots");
  guest.map(0x1234, 1, 0x77, attributes({ write: true, user: true, execute: true }));
  const all =
    nestedMode.definition.rule === "ept"
      ? attributes({ write: true, execute: true, memoryType: 6 })
      : attributes({ write: true, execute: true, user: true });
  for (let pfn = 0; pfn < 0x100; pfn++) if (pfn !== skip) nested.map(pfn, 1, pfn + 0x5000, all);
  const guestState = new PagingState({ mode: MODE_4_LEVEL, root: guest.root, writeProtect: true });
  const nestedState = new PagingState({ mode: nestedMode, root: nested.root });
  return { walker: new NestedWalker(guestState, nestedState, memory), guest, nested, memory };
}

const LOW = 0x1234000;

describe.each([MODE_EPT, MODE_EPT_5_LEVEL, MODE_NPT].map((mode) => [mode.name, mode] as const))(
  "two-dimensional walk, %s",
  (_name, mode) => {
    test("a guest address reaches the host frame through both sets of tables", () => {
      const { walker } = machine(mode);
      const into = new NestedWalk();
      expect(walker.walk(LOW, 0, ACCESS_WRITE | ACCESS_USER, into)).toBe(TRANSLATED);
      expect(into.guest.pfn).toBe(0x77);
      expect(into.pfn).toBe(0x5077);
    });

    test("a guest page fault is the guest's own", () => {
      const { walker } = machine(mode);
      expect(walker.walk(0x9999000, 0, ACCESS_READ, new NestedWalk())).toBe(0);
    });

    test("a final address that the nested tables do not map is a nested fault of that frame", () => {
      const { walker } = machine(mode, 0x77);
      const into = new NestedWalk();
      expect(walker.walk(LOW, 0, ACCESS_READ, into)).toBe(NESTED_FAULT);
      expect([into.guestPage, into.inTables]).toEqual([0x77, false]);
      if (mode.definition.rule === "ept") {
        expect(into.code).toBe(EPT_VIOLATION);
        expect(into.information & 0x181).toBe(0x181);
      }
    });

    test("a guest table that the nested tables do not map is a nested fault in the tables", () => {
      const found = new Set<number>();
      for (let pfn = 0x10; pfn < 0x14; pfn++) {
        const { walker } = machine(mode, pfn);
        const into = new NestedWalk();
        expect(walker.walk(LOW, 0, ACCESS_READ, into)).toBe(NESTED_FAULT);
        expect(into.inTables).toBe(true);
        if (mode.definition.rule === "ept") expect(into.information & 0x180).toBe(0x80);
        else expect(Math.floor(into.information / NPT_TABLE) % 2).toBe(1);
        found.add(into.guestPage);
      }
      expect([...found]).toEqual([0x10, 0x11, 0x12, 0x13]);
    });

    test("accessed and dirty bits are set in both dimensions; guest tables count as written", () => {
      const { walker, guest, nested } = machine(mode);
      expect(walker.walkMarking(LOW, 0, ACCESS_WRITE, new NestedWalk())).toBe(TRANSLATED);
      const both = ATTR_ACCESSED | ATTR_DIRTY;
      expect((guest.query(0x1234)?.attributes ?? 0) & both).toBe(both);
      expect((nested.query(0x77)?.attributes ?? 0) & both).toBe(both);
      expect((nested.query(0x13)?.attributes ?? 0) & both).toBe(both);
      expect((nested.query(0x20)?.attributes ?? 0) & both).toBe(0);
    });
  },
);

describe("EPT alone", () => {
  function entry(
    low: number,
    options: { executeOnly?: boolean; modeBasedExecute?: boolean } = {},
  ): (access: number) => { code: number; qualification: number } {
    const memory = new SparseMemory();
    for (const [at, value] of [
      [0x1000n, 0x2007n],
      [0x2000n, 0x3007n],
      [0x3000n, 0x4007n],
      [0x4000n, BigInt(low)],
    ] as const)
      memory.write(at, value);
    const state = new PagingState({ mode: MODE_EPT, root: 1, ...options });
    const into = new Walk();
    return (access) => ({ code: walk(state, memory, 0, 0, access, into), qualification: into.qualification });
  }

  test("rights are those of all levels, and a violation says what was tried and what is allowed", () => {
    expect(entry(0x5031)(ACCESS_READ).code).toBe(TRANSLATED);
    expect(entry(0x5031)(ACCESS_WRITE)).toEqual({ code: EPT_VIOLATION, qualification: 2 | (1 << 3) });
    expect(entry(0x5034)(ACCESS_FETCH).code).toBe(TRANSLATED);
    expect(entry(0x5034)(ACCESS_READ)).toEqual({ code: EPT_VIOLATION, qualification: 1 | (4 << 3) });
    expect(entry(0)(ACCESS_READ)).toEqual({ code: EPT_VIOLATION, qualification: 1 });
  });

  test("write without read, execute-only without support and reserved memory types are misconfigurations", () => {
    expect(entry(0x5032)(ACCESS_READ).code).toBe(EPT_MISCONFIGURATION);
    expect(entry(0x5036)(ACCESS_READ).code).toBe(EPT_MISCONFIGURATION);
    expect(entry(0x5034, { executeOnly: false })(ACCESS_FETCH).code).toBe(EPT_MISCONFIGURATION);
    for (const type of [2, 3, 7]) expect(entry(0x5007 | (type << 3))(ACCESS_READ).code).toBe(EPT_MISCONFIGURATION);
    for (const type of [0, 1, 4, 5, 6]) expect(entry(0x5007 | (type << 3))(ACCESS_READ).code).toBe(TRANSLATED);
  });

  test("with mode-based execute control, fetches from user pages need their own bit", () => {
    const at = entry(0x5035, { modeBasedExecute: true });
    expect(at(ACCESS_FETCH).code).toBe(TRANSLATED);
    expect(at(ACCESS_FETCH | ACCESS_USER).code).toBe(EPT_VIOLATION);
  });
});
