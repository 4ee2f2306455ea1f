import {
  ACCESS_FETCH,
  ACCESS_READ,
  ACCESS_USER,
  ACCESS_WRITE,
  ATTR_ACCESSED,
  ATTR_DIRTY,
  attributes,
  defineMode,
  LeafCursor,
  Mapper,
  PagingError,
  PagingState,
  splitPage,
  TRANSLATED,
  Walk,
  walk,
  walkMarking,
  xv6Tree,
} from "@pagewright/x86-paging";
import type { ModeDefinition } from "@pagewright/x86-paging";
import { describe, expect, test } from "vitest";
import { CountingFrames, SparseMemory } from "./support/memory.ts";
import { SV39 } from "./support/sv39.ts";

/** A textbook's table: 32-bit addresses, 10 + 10 + 12 bits, valid bit 0, writable bit 1. */
const TEXTBOOK: ModeDefinition = {
  name: "textbook",
  entryBytes: 4,
  addressBits: 32,
  extension: "ignored",
  physicalBits: 32,
  bits: { present: [0], write: 1 },
  inherit: "all-levels",
  rule: "x86",
  levels: [
    { name: "inner", shift: 12, indexBits: 10, leaf: "always", page: "4K", frame: { at: 12, width: 20, to: 12 } },
    { name: "outer", shift: 22, indexBits: 10, leaf: "never", table: { at: 12, width: 20, to: 12 } },
  ],
};

function space(mode: ReturnType<typeof defineMode>): { mapper: Mapper; state: PagingState; memory: SparseMemory } {
  const memory = new SparseMemory();
  const mapper = Mapper.create({ mode, memory, frames: new CountingFrames(memory, 0x80) });
  if (!mapper.ok) throw new Error("no root");
  return { mapper, state: new PagingState({ mode, root: mapper.root, writeProtect: true }), memory };
}

describe("Sv39 defined from outside", () => {
  test("map, walk, mark, iterate and unmap work as for the built-in modes", () => {
    const { mapper, state, memory } = space(SV39);
    const into = new Walk();
    mapper.map(-1000, 3, 0x1_2345_6789, attributes({ write: true, user: true }));
    const low = (-999 * 4096) >>> 0;
    expect(walk(state, memory, low, 0xffffffff, ACCESS_READ | ACCESS_USER, into)).toBe(TRANSLATED);
    expect(into.pfn).toBe(0x1_2345_678a);
    expect(walkMarking(state, memory, low, 0xffffffff, ACCESS_WRITE | ACCESS_USER, into)).toBe(TRANSLATED);
    expect((mapper.query(-999)?.attributes ?? 0) & (ATTR_ACCESSED | ATTR_DIRTY)).toBe(ATTR_ACCESSED | ATTR_DIRTY);
    expect(walk(state, memory, low, 0xffffffff, ACCESS_FETCH | ACCESS_USER, into)).toBe(1 | 4);
    const cursor = new LeafCursor(state, memory);
    const seen: number[] = [];
    while (cursor.next()) seen.push(cursor.vpn);
    expect(seen).toEqual([-1000, -999, -998]);
    mapper.check();
  });

  test("a table entry is one without rights, and its words are as the manual prints them", () => {
    const { mapper, memory } = space(SV39);
    mapper.map(0, 1, 0x80200, attributes({ write: true, execute: true }));
    expect(memory.read(0x80000n, 8)).toBe((0x81n << 10n) | 1n);
    expect(memory.read(0x82000n, 8)).toBe((0x80200n << 10n) | 0xfn);
    expect([...xv6Tree(new PagingState({ mode: SV39, root: mapper.root }), memory)]).toEqual([
      "page table 0x0000000000080000\n",
      " ..0: pte 0x0000000000020401 pa 0x0000000000081000\n",
      " .. ..0: pte 0x0000000000020801 pa 0x0000000000082000\n",
      " .. .. ..0: pte 0x000000002008000f pa 0x0000000080200000\n",
    ]);
  });

  test("2M and 1G pages are leaves at any level, can be split, and must be aligned", () => {
    const { mapper, state, memory } = space(SV39);
    mapper.map(0x40000, 0x40000, 0x80000, attributes({}));
    expect(mapper.query(0x40005)?.level).toBe(3);
    expect(splitPage(mapper, 0x40005).ok).toBe(true);
    expect(mapper.query(0x40005)?.level).toBe(2);
    const into = new Walk();
    expect(walk(state, memory, 0x40000000, 0, ACCESS_READ, into)).toBe(TRANSLATED);
    memory.write(BigInt(mapper.root) * 4096n + 8n, (0x80001n << 10n) | 3n);
    expect(walk(state, memory, 0x40000000, 0, ACCESS_READ, into)).toBe(1 | 8);
  });

  test("writable without readable is reserved", () => {
    const { mapper, state, memory } = space(SV39);
    memory.write(BigInt(mapper.root) * 4096n, (0x80000n << 10n) | 5n);
    expect(walk(state, memory, 0, 0, ACCESS_READ, new Walk())).toBe(1 | 8);
  });
});

describe("a textbook's two-level table", () => {
  test("maps and walks", () => {
    const { mapper, state, memory } = space(defineMode(TEXTBOOK));
    mapper.map(0xc0123, 2, 0x456, attributes({ write: true, user: true, execute: true }));
    const into = new Walk();
    expect(walk(state, memory, 0xc0124abc | 0, 0, ACCESS_WRITE | ACCESS_USER, into)).toBe(TRANSLATED);
    expect(into.pfn).toBe(0x457);
    expect(memory.words(mapper.root)[0x300]).toBe(0x81003);
  });
});

describe("descriptions that do not hold together", () => {
  const broken: readonly (readonly [string, ModeDefinition])[] = [
    [
      "a gap between levels",
      { ...TEXTBOOK, levels: TEXTBOOK.levels.map((level, i) => (i === 1 ? { ...level, shift: 23 } : level)) },
    ],
    ["fewer bits than addressBits", { ...TEXTBOOK, addressBits: 40 }],
    [
      "a level without an address field",
      { ...TEXTBOOK, levels: TEXTBOOK.levels.map(({ table: _table, ...level }) => level) },
    ],
    ["a flag outside of the low word", { ...TEXTBOOK, bits: { present: [40] } }],
    [
      "an upper level of leaves alone",
      { ...TEXTBOOK, levels: TEXTBOOK.levels.map((level) => ({ ...level, leaf: "always" as const })) },
    ],
  ];
  test.each(broken)("%s is refused", (_name, definition) => {
    expect(() => defineMode(definition)).toThrow(PagingError);
  });
});
