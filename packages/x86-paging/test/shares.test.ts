import {
  ACCESS_READ,
  attributes,
  Mapper,
  MODE_4_LEVEL,
  MODE_PAE,
  moveTables,
  PagingError,
  shareTables,
  stateOfRegisters,
  TableShares,
  TRANSLATED,
  Walk,
  walk,
} from "@pagewright/x86-paging";
import { describe, expect, test } from "vitest";
import { CountingFrames, firstDifference, snapshot, SparseMemory } from "./support/memory.ts";

function spaces(): { memory: SparseMemory; frames: CountingFrames; a: Mapper; b: Mapper; shares: TableShares } {
  const memory = new SparseMemory();
  const frames = new CountingFrames(memory, 100);
  const shares = new TableShares();
  const options = { mode: MODE_4_LEVEL, memory, frames, shares };
  const a = Mapper.create(options);
  const b = Mapper.create(options);
  if (!a.ok || !b.ok) throw new Error("no roots");
  return { memory, frames, a, b, shares };
}

const WRITABLE = attributes({ write: true });

describe("sharing tables", () => {
  test("pages of a shared table appear in both spaces, and a change through one is seen by the other", () => {
    const { a, b } = spaces();
    a.map(512, 600, 0x1001, WRITABLE);
    expect(shareTables(a, 512, 1024, b, 2048).ok).toBe(true);
    expect(b.query(2048)?.pfn).toBe(0x1001);
    expect(b.query(2048 + 599)?.pfn).toBe(0x1001 + 599);
    const plan = b.unmap(2048, 10);
    expect(plan.ok && plan.everyContext && plan.scope).toBe("everything");
    expect(a.query(512)).toBeNull();
    expect(a.query(522)?.pfn).toBe(0x1001 + 10);
    a.check();
    b.check();
  });

  test("the last space to let go frees the tables, the first does not", () => {
    const { a, b, frames, shares } = spaces();
    a.map(0, 512, 0x1001, WRITABLE);
    shareTables(a, 0, 512, b, 0);
    const before = frames.taken.size;
    const first = a.unmap(0, 512);
    if (!first.ok) throw new Error(first.sentence);
    expect(first.heldFrames).toBe(0);
    first.complete();
    expect(b.query(5)?.pfn).toBe(0x1006);
    expect(shares.size).toBe(0);
    const second = b.unmap(0, 512);
    if (!second.ok) throw new Error(second.sentence);
    expect(second.heldFrames).toBe(512);
    second.complete();
    expect(frames.taken.size).toBe(2);
    expect(before).toBeGreaterThan(2);
  });

  test("a table emptied through one space stays, for the other still refers to it", () => {
    const { a, b, frames } = spaces();
    a.map(0, 4, 0x1001, WRITABLE);
    shareTables(a, 0, 512, b, 0);
    const plan = a.unmap(0, 4);
    if (!plan.ok) throw new Error(plan.sentence);
    plan.complete();
    expect(b.query(0)).toBeNull();
    b.map(0, 1, 0x2000, WRITABLE);
    expect(a.query(0)?.pfn).toBe(0x2000);
    for (const space of [a, b]) space.destroy().complete();
    expect(frames.taken.size).toBe(0);
  });

  test("sharing costs one entry per table, however many pages the tables map", () => {
    const { a, b, memory } = spaces();
    a.map(0, 512 * 8, 1, WRITABLE, { level: 1 });
    const before = snapshot(memory.frames);
    shareTables(a, 0, 512 * 8, b, 0);
    let changed = 0;
    for (const [pfn, words] of memory.frames) {
      const old = before.get(pfn) ?? new Uint32Array(1024);
      for (let i = 0; i < 1024; i += 2) if (words[i] !== old[i]) changed++;
    }
    expect(changed).toBe(8 + 2);
  });

  test("without frames for the tables above, sharing and moving are refused and nothing changes", () => {
    for (const operation of [shareTables, moveTables]) {
      for (let left = 0; left < 2; left++) {
        const { a, b, frames, memory } = spaces();
        a.map(0, 512, 1, WRITABLE, { level: 1 });
        frames.left = left;
        const before = snapshot(memory.frames);
        const result = operation(a, 0, 512, b, 512 * 512);
        expect(result.ok).toBe(false);
        expect(firstDifference(memory.frames, before)).toBe("none");
      }
    }
  });

  test("an occupied destination is refused, an unaligned range and another mode are the caller's mistake", () => {
    const { a, b, memory, frames, shares } = spaces();
    a.map(0, 512, 1, WRITABLE, { level: 1 });
    b.map(3, 1, 1, WRITABLE);
    const result = shareTables(a, 0, 512, b, 0);
    expect(!result.ok && result.reason).toBe("mapped");
    expect(() => shareTables(a, 0, 512, b, 7)).toThrow(PagingError);
    const other = Mapper.create({ mode: MODE_PAE, memory, frames, shares });
    if (!other.ok) throw new Error("no root");
    expect(() => moveTables(a, 0, 512, other, 0)).toThrow(PagingError);
  });
});

describe("PAE roots, whose top entries are loaded with CR3", () => {
  const GIB = 0x40000;

  function roots(): { frames: CountingFrames; memory: SparseMemory; a: Mapper; b: Mapper } {
    const memory = new SparseMemory();
    const frames = new CountingFrames(memory, 100);
    const options = { mode: MODE_PAE, memory, frames, shares: new TableShares() };
    const a = Mapper.create(options);
    const b = Mapper.create(options);
    if (!a.ok || !b.ok) throw new Error("no roots");
    return { frames, memory, a, b };
  }

  /** What a processor finds that loads CR3 now. */
  function frameAt(mapper: Mapper, memory: SparseMemory, vpn: number): number {
    const state = stateOfRegisters(
      { cr0: 0x8000_0001n, cr3: BigInt(mapper.root) * 4096n, cr4: 0x20n, efer: 0x800n },
      memory,
    );
    const into = new Walk();
    return walk(state, memory, vpn * 4096, 0, ACCESS_READ, into) === TRANSLATED ? into.pfn : -1;
  }

  test.each([
    ["whole page directories", 0, GIB, 2 * GIB],
    ["page tables below a page directory that must be made", 512, 512, 3 * GIB + 1024],
  ])("%s move; both roots must be loaded again, and all frames come back", (_name, from, pages, target) => {
    const { a, b, memory, frames } = roots();
    a.map(from, 512, 0x1001, WRITABLE, { level: 1 });
    const plan = moveTables(a, from, pages, b, target);
    if (!plan.ok) throw new Error(plan.sentence);
    expect([plan.reloadRoot, plan.isEmpty]).toEqual([true, false]);
    plan.complete();
    expect([frameAt(a, memory, from + 5), frameAt(b, memory, target + 5)]).toEqual([-1, 0x1006]);
    a.check();
    b.check();
    for (const space of [a, b]) space.destroy().complete();
    expect(frames.taken.size).toBe(0);
  });

  test.each([
    ["whole page directories", 0, GIB, 2 * GIB, true],
    ["page tables below a page directory that must be made", 512, 512, 3 * GIB + 1024, true],
    ["page tables below a page directory that is there", 512, 512, 1024, false],
  ])("%s are shared; CR3 is to be loaded again where a top entry was written", (_name, from, pages, target, reload) => {
    const { a, b, memory, frames } = roots();
    a.map(from, 512, 0x1001, WRITABLE, { level: 1 });
    b.map(7, 1, 0x2000, WRITABLE);
    const plan = shareTables(a, from, pages, b, target);
    if (!plan.ok) throw new Error(plan.sentence);
    expect([plan.reloadRoot, plan.isEmpty]).toEqual([reload, true]);
    expect([frameAt(a, memory, from + 5), frameAt(b, memory, target + 5)]).toEqual([0x1006, 0x1006]);
    expect(frameAt(b, memory, 7)).toBe(0x2000);
    a.check();
    b.check();
    for (const space of [a, b]) space.destroy().complete();
    expect(frames.taken.size).toBe(0);
  });

  test("without a frame for the page directory, nothing changes", () => {
    for (const operation of [shareTables, moveTables]) {
      const { a, b, memory, frames } = roots();
      a.map(0, 512, 1, WRITABLE, { level: 1 });
      frames.left = 0;
      const before = snapshot(memory.frames);
      expect(operation(a, 0, 512, b, GIB).ok).toBe(false);
      expect(firstDifference(memory.frames, before)).toBe("none");
    }
  });
});
