import {
  attributes,
  bigintOfVpn,
  buildTables,
  compareTables,
  findAliasConflicts,
  FLUSH_REQUIRED,
  FLUSH_SPURIOUS,
  installRecursiveSlot,
  LeafCursor,
  lint,
  Mapper,
  MODE_32_BIT,
  MODE_4_LEVEL,
  MODE_5_LEVEL,
  MODE_EPT,
  MODE_PAE,
  needOfChange,
  NOTHING_TO_FLUSH,
  pagesOfFrame,
  PagingError,
  PagingState,
  reachableTables,
  recursiveFlush,
  recursiveOffset,
  recursivePage,
  recursiveRange,
  removeRecursiveSlot,
  RIGHT_EXECUTE,
  RIGHT_READ,
  RIGHT_USER,
  runs,
  TRANSLATED,
  virtOfBigint,
  vpnHigh,
  vpnLow,
  vpnOf,
  Walk,
  walk,
} from "@pagewright/x86-paging";
import type { LintOptions, PagingMode } from "@pagewright/x86-paging";
import { describe, expect, test } from "vitest";
import { CountingFrames, SparseMemory } from "./support/memory.ts";

function space(mode: PagingMode = MODE_4_LEVEL): {
  mapper: Mapper;
  state: PagingState;
  memory: SparseMemory;
  frames: CountingFrames;
} {
  const memory = new SparseMemory();
  const frames = new CountingFrames(memory, 0x800);
  const mapper = Mapper.create({ mode, memory, frames });
  if (!mapper.ok) throw new Error("no root");
  return { mapper, state: new PagingState({ mode, root: mapper.root }), memory, frames };
}

const PLAIN = attributes({});
const WRITE = attributes({ write: true });

describe("flush plans", () => {
  test("mapping what was not mapped owes nothing; a plan can be completed once", () => {
    const { mapper } = space();
    mapper.map(0, 1, 5, WRITE);
    expect(mapper.map(1, 1, 6, WRITE)).toBe(NOTHING_TO_FLUSH);
    const plan = mapper.unmap(0, 2);
    if (!plan.ok) throw new Error(plan.sentence);
    expect([plan.scope, plan.invalidations, plan.heldFrames, plan.heldTables]).toEqual(["pages", 2, 2, 3]);
    plan.complete();
    expect(() => plan.complete()).toThrow(PagingError);
    NOTHING_TO_FLUSH.complete();
    NOTHING_TO_FLUSH.complete();
  });

  test("table frames come back when the plan is completed, not before", () => {
    const { mapper, frames } = space();
    mapper.map(0, 1, 5, WRITE);
    const plan = mapper.unmap(0, 1);
    expect(frames.taken.size).toBe(4);
    if (plan.ok) plan.complete();
    expect(frames.taken.size).toBe(1);
  });

  test("many pages are flushed by context, many global ones with everything", () => {
    const { mapper } = space();
    mapper.map(0, 100, 5, WRITE);
    mapper.map(1024, 100, 500, attributes({ global: true }));
    const plain = mapper.unmap(0, 100);
    const global = mapper.unmap(1024, 100);
    expect([plain.ok && plain.scope, global.ok && global.scope]).toEqual(["context", "everything"]);
  });

  test("what the manual demands of each change", () => {
    const user = RIGHT_READ | RIGHT_USER;
    expect(needOfChange(PLAIN, WRITE, false, 0)).toBe(FLUSH_SPURIOUS);
    expect(needOfChange(WRITE, PLAIN, false, 0)).toBe(FLUSH_REQUIRED);
    expect(needOfChange(PLAIN, PLAIN | RIGHT_EXECUTE, false, 0)).toBe(FLUSH_SPURIOUS);
    expect(needOfChange(RIGHT_READ, user, false, 0)).toBe(FLUSH_SPURIOUS);
    expect(needOfChange(RIGHT_READ, user, true, 0)).toBe(FLUSH_REQUIRED);
    expect(needOfChange(PLAIN, attributes({ memoryType: 3 }), false, 0)).toBe(FLUSH_REQUIRED);
    expect(needOfChange(PLAIN, attributes({ global: true }), false, 0)).toBe(FLUSH_REQUIRED);
    expect(needOfChange(attributes({ dirty: true }), PLAIN, false, 0)).toBe(FLUSH_REQUIRED);
  });

  test("ranges across address 0 or beyond an end, and attributes a mode cannot say, are the caller's mistake", () => {
    const { mapper } = space();
    for (const [vpn, pages] of [
      [-1, 2],
      [2 ** 35 - 1, 2],
      [-(2 ** 35) - 1, 1],
      [0, 0],
      [0.5, 1],
    ] as const)
      expect(() => mapper.map(vpn, pages, 5, WRITE)).toThrow(PagingError);
    expect(() => mapper.map(0, 1, 2 ** 40, WRITE)).toThrow(PagingError);
    expect(() => mapper.map(0, 512, 3, WRITE, { level: 2 })).toThrow(PagingError);
    expect(() => mapper.map(0, 1, 3, attributes({ read: false, write: true }))).toThrow(PagingError);
    expect(() => space(MODE_EPT).mapper.map(0, 1, 3, attributes({ global: true }))).toThrow(PagingError);
    expect(() => space(MODE_PAE).mapper.map(0, 1, 3, attributes({ key: 1 }))).toThrow(PagingError);
  });

  test("page-out leaves a payload and hands over the frame with its last dirty bit; page-in finds it", () => {
    const { mapper, state, memory } = space();
    mapper.map(7, 1, 99, attributes({ write: true, dirty: true, accessed: true }));
    const plan = mapper.evict(7, 0xfffff000, 0xffffffff);
    if (!plan.ok) throw new Error(plan.sentence);
    const seen: number[] = [];
    plan.complete((pfn, pages, vpn, packed) => seen.push(pfn, pages, vpn, packed & 128));
    expect(seen).toEqual([99, 1, 7, 128]);
    const into = new Walk();
    expect(mapper.lookup(7, into)).toBe(false);
    expect([into.low, into.high]).toEqual([0xfffff000, 0xffffffff]);
    expect(walk(state, memory, 7 * 4096, 0, 0, into)).toBe(0);
    expect(mapper.evict(7, 0, 0)).toMatchObject({ ok: false, reason: "not-mapped" });
    expect(mapper.leavePayload(8, 0x10, 0).ok).toBe(true);
    expect(mapper.leavePayload(9000, 0x10, 0).ok).toBe(true);
    mapper.map(10, 1, 0, WRITE);
    expect(mapper.leavePayload(10, 0x10, 0)).toMatchObject({ ok: false, reason: "mapped", level: 1 });
    mapper.check();
  });
});

describe("the recursive slot", () => {
  test.each([[MODE_4_LEVEL], [MODE_5_LEVEL]])("shows every table where the arithmetic says", (mode) => {
    const { mapper, state, memory } = space(mode);
    const slot = 300;
    const vpn = vpnOf(-0x12345000);
    mapper.map(vpn, 1, 0x77, WRITE);
    installRecursiveSlot(mapper, slot);
    const into = new Walk();
    const trace = new Walk();
    mapper.lookup(vpn, trace);
    let table = mapper.root;
    for (let n = mode.depth; n >= 1; n--) {
      const page = recursivePage(mode, slot, vpn, n);
      expect(walk(state, memory, vpnLow(page), vpnHigh(page), 1, into)).toBe(TRANSLATED);
      expect(into.pfn, `level ${n}`).toBe(table);
      const offset = recursiveOffset(mode, vpn, n);
      table = Number((memory.read(BigInt(table) * 4096n + BigInt(offset), 8) >> 12n) & 0xffffffffffn);
    }
    expect(table).toBe(0x77);
    const range = recursiveRange(mode, slot);
    expect(recursivePage(mode, slot, vpn, 1)).toBeGreaterThanOrEqual(range.vpn);
    expect(lint(state, memory, { recursiveSlot: slot, globalPages: false })).toEqual([]);
    expect(lint(state, memory, { globalPages: false, leafLimit: 1000 }).map((finding) => finding.rule)).toContain(
      "loop",
    );
    expect(recursiveFlush(mapper, slot, vpn, 1).isEmpty).toBe(true);
    expect(recursiveFlush(mapper, slot, vpn, 3).invalidations).toBe(513);
    expect(() => installRecursiveSlot(mapper, slot)).toThrow(PagingError);
    expect(removeRecursiveSlot(mapper, slot).scope).toBe("context");
  });

  test("modes whose tables cannot serve at every level have none", () => {
    for (const mode of [MODE_PAE, MODE_EPT])
      expect(() => installRecursiveSlot(space(mode).mapper, 1)).toThrow(PagingError);
  });
});

describe("iterating and comparing", () => {
  test("a cursor jumps the canonical hole, starts inside a large page, and resumes where it stopped", () => {
    const { mapper, state, memory } = space();
    mapper.map(0, 1024, 0x40000, WRITE);
    mapper.map(-3, 3, 7, PLAIN);
    const cursor = new LeafCursor(state, memory, 600);
    const seen: number[] = [];
    while (cursor.next()) seen.push(cursor.vpn);
    expect(seen).toEqual([512, -3, -2, -1]);
    const again = new LeafCursor(state, memory);
    again.next();
    const resumed = new LeafCursor(state, memory);
    resumed.seek(again.position);
    resumed.next();
    expect(resumed.vpn).toBe(512);
    expect(() => new LeafCursor(state, memory, 0, 2 ** 40)).toThrow(PagingError);
  });

  test("a table shared by every entry is listed at every address, and looked into once by the table finder", () => {
    const { mapper, state, memory } = space();
    mapper.map(0, 1, 7, WRITE);
    const directory = memory.words(mapper.root + 2);
    for (let i = 2; i < 1024; i += 2) directory[i] = directory[0] ?? 0;
    expect(pagesOfFrame(state, memory, 7).length).toBe(512);
    expect(reachableTables(state, memory).map((use) => use.references)).toEqual([1, 1, 1, 512]);
  });

  test("differences are ranges: mapped, unmapped, changed; a split page is none", () => {
    const a = space();
    const b = space();
    a.mapper.map(0, 512, 0x40000, WRITE);
    b.mapper.map(0, 512, 0x40000, WRITE, { level: 1 });
    expect([...compareTables(a.state, a.memory, b.state, b.memory)]).toEqual([]);
    b.mapper.unmap(10, 5);
    b.mapper.protect(100, 20, PLAIN);
    b.mapper.map(600, 3, 9, WRITE);
    const list = [...compareTables(a.state, a.memory, b.state, b.memory)].map(({ kind, vpn, pages }) => [
      kind,
      vpn,
      pages,
    ]);
    expect(list).toEqual([
      ["unmapped", 10, 5],
      ["changed", 100, 20],
      ["mapped", 600, 3],
    ]);
  });
});

describe("lint", () => {
  const rules = (edit: (mapper: Mapper, memory: SparseMemory) => void, options: LintOptions = {}): string[] => {
    const { mapper, state, memory } = space();
    edit(mapper, memory);
    return [...new Set(lint(state, memory, { globalPages: false, ...options }).map((finding) => finding.rule))];
  };

  test("each rule is found where it is broken, and only there", () => {
    expect(rules((mapper) => mapper.map(0, 4, 50, attributes({ user: true })))).toEqual([]);
    expect(rules((mapper) => mapper.map(0, 4, 50, attributes({ write: true, execute: true })))).toEqual([
      "writable-executable",
    ]);
    expect(rules((mapper) => mapper.map(-9, 1, 50, attributes({ user: true })))).toEqual(["user-in-upper-half"]);
    expect(rules((mapper) => mapper.map(-9, 1, 50, PLAIN), { globalPages: true })).toEqual(["not-global"]);
    expect(rules((mapper) => mapper.map(5, 1, mapper.root, WRITE))).toEqual(["table-writable"]);
    expect(
      rules((mapper) => (mapper.map(5, 1, 9, WRITE), mapper.map(900, 1, 9, attributes({ execute: true })))),
    ).toEqual(["executable-alias"]);
    expect(
      rules((mapper) => (mapper.map(5, 1, 9, PLAIN), mapper.map(900, 1, 9, attributes({ memoryType: 3 })))),
    ).toEqual(["memory-type-conflict"]);
    expect(rules((mapper) => mapper.map(-5000, 100, 0, PLAIN), { ram: [{ start: 0, end: 120 }] })).toEqual([
      "linear-map",
    ]);
    expect(rules((mapper) => mapper.map(5, 3, 9, WRITE), { stacks: [{ vpn: 6, pages: 2 }] })).toEqual([
      "no-guard-page",
    ]);
    expect(rules((mapper) => mapper.map(5, 3, 9, WRITE), { stacks: [{ vpn: 5, pages: 3 }] })).toEqual([]);
    expect(rules((mapper, memory) => memory.write(BigInt(mapper.root) * 4096n, 0x81n))).toContain("reserved-bits");
    expect(
      rules((mapper, memory) => memory.write(BigInt(mapper.root) * 4096n, (BigInt(mapper.root) << 12n) | 1n), {
        leafLimit: 10,
      }),
    ).toEqual(["loop"]);
    const outside = (mapper: Mapper, memory: SparseMemory): void =>
      memory.write(BigInt(mapper.root) * 4096n, 0x7_0000_0003n);
    expect(rules(outside)).toEqual([]);
    expect(rules(outside, { has: (pfn) => pfn < 0x70000 })).toEqual(["table-beyond-memory"]);
    expect(
      rules((mapper, memory) => {
        mapper.map(0, 512, 512, PLAIN);
        memory.write(BigInt(mapper.root + 2) * 4096n, 0x2081n);
      }),
    ).toEqual(["misaligned-leaf"]);
  });

  test("an address beyond MAXPHYADDR is found", () => {
    const { mapper, memory } = space();
    mapper.map(5, 1, 2 ** 30, PLAIN);
    const state = new PagingState({ mode: MODE_4_LEVEL, root: mapper.root, maxPhysicalBits: 40 });
    expect(lint(state, memory).map((finding) => finding.rule)).toEqual(["beyond-maxphyaddr"]);
  });

  test("UC and UC− do not conflict; aliases across spaces count", () => {
    const { mapper, state, memory, frames } = space();
    mapper.map(5, 1, 9, attributes({ memoryType: 2 }));
    mapper.map(6, 1, 9, attributes({ memoryType: 3 }));
    expect(findAliasConflicts([state], memory)).toEqual([]);
    const other = Mapper.create({ mode: MODE_4_LEVEL, memory, frames });
    if (!other.ok) throw new Error("no root");
    other.map(5, 1, 9, PLAIN);
    const second = new PagingState({ mode: MODE_4_LEVEL, root: other.root });
    expect(findAliasConflicts([state, second], memory).length).toBe(2);
  });
});

describe("the builder", () => {
  test.each([MODE_4_LEVEL, MODE_5_LEVEL, MODE_PAE, MODE_32_BIT].map((mode) => [mode.name, mode] as const))(
    "%s: what is built comes back through the iterator",
    (_name, mode) => {
      const high = mode.definition.extension === "sign" ? 0xffff_ffff_8000_0000n : 0xc000_0000n;
      const ranges = [
        { start: 0n, size: 0x400000n, physical: 0n, write: true, execute: true },
        { start: high, size: 0x800000n, physical: 0x400000n, execute: true },
        { start: high + 0x1000000n, size: 0x3000n, physical: 0x123000n, write: true, execute: true, page: "4K" },
      ];
      const built = buildTables({ mode, tablesAt: 0x10000, ranges });
      const words = new Uint32Array(built.bytes.buffer);
      const memory = { words: () => words, base: (pfn: number) => (pfn - 16) * 1024 };
      const state = new PagingState({ mode, root: 16 });
      if (mode === MODE_PAE) state.rootEntries.set(words.subarray(0, 8));
      const back = [...runs(state, memory)].map((run) => [
        bigintOfVpn(run.vpn),
        BigInt(run.pages) * 4096n,
        BigInt(run.pfn) * 4096n,
      ]);
      expect(back).toEqual(ranges.map((range) => [range.start, range.size, range.physical]));
      expect(built.bytes.length).toBe(built.tables * 4096);
    },
  );

  test.each([
    [MODE_4_LEVEL, 2 ** 52],
    [MODE_5_LEVEL, 2 ** 52],
    [MODE_PAE, 2 ** 32],
    [MODE_32_BIT, 2 ** 32],
  ] as const)("$0.name: tables end where CR3 and entries can still refer to", (mode, end) => {
    const range = { start: 0n, size: 0x1000n, physical: 0n, execute: true, page: "4K" };
    const { tables } = buildTables({ mode, tablesAt: 0, ranges: [range] });
    expect(buildTables({ mode, tablesAt: end - tables * 4096, ranges: [range] }).tables).toBe(tables);
    const beyond = `cannot lie at 0x${end.toString(16).padStart(16, "0")}: beyond ${Math.log2(end)} bits`;
    for (let fit = 0; fit < tables; fit++)
      expect(() => buildTables({ mode, tablesAt: end - fit * 4096, ranges: [range] })).toThrow(beyond);
  });

  test("layouts that do not hold together are refused with the range named", () => {
    const build = (range: { start: bigint; size: bigint; physical: bigint; page?: string }): unknown =>
      buildTables({
        mode: MODE_4_LEVEL,
        tablesAt: 0x1000,
        ranges: [range, { start: 0x5000n, size: 0x1000n, physical: 0n }],
      });
    expect(() => build({ start: 0x4000n, size: 0x3000n, physical: 0n })).toThrow(
      /0x0000000000005000: already mapped|already mapped/,
    );
    expect(() => build({ start: 0x1n, size: 0x3000n, physical: 0n })).toThrow(/not a multiple/);
    expect(() => build({ start: 0x200000n, size: 0x1000n, physical: 0n, page: "2M" })).toThrow(/not a multiple/);
    expect(() => build({ start: 0x200000n, size: 0x1000n, physical: 0n, page: "3M" })).toThrow(/has no 3M/);
    expect(() => build({ start: 0x7fff_ffff_f000n, size: 0x2000n, physical: 0n })).toThrow(/not a range/);
    expect(() => buildTables({ mode: MODE_4_LEVEL, tablesAt: 5, ranges: [] })).toThrow(PagingError);
    const recursive = (recursiveSlot: number): unknown => {
      const ranges = [{ start: 0x5000n, size: 0x1000n, physical: 0n }];
      return buildTables({ mode: MODE_4_LEVEL, tablesAt: 0x1000, ranges, recursiveSlot });
    };
    for (const slot of [0, 512, -1])
      expect(() => recursive(slot)).toThrow(
        expect.objectContaining({
          code: "bad-layout",
          message: expect.stringMatching(`^recursive slot ${slot}: `) as string,
        }),
      );
    expect(virtOfBigint(5n)).toBe(5);
  });
});
