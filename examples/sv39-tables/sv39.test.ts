import {
  ACCESSED,
  DIRTY,
  EXECUTE,
  GLOBAL,
  NO_FRAME,
  PRESENT,
  READ,
  USER,
  WRITE,
  withType,
  type FrameSource,
  type FrameWindow,
  type MemoryType,
  type Pfn,
  type Vpn,
} from "@pagewright/vmm";
import { PlainMemory } from "@pagewright/vmm";
import {
  largeLeavesSuite,
  tableStructureSuite,
  translationTablesSuite,
  type TablesFixture,
} from "@pagewright/vmm/testing";
import { describe, expect, test } from "vitest";

import { frameOf, leafWords, stateOf } from "./entry.ts";
import { Sv39TranslationSystem } from "./system.ts";
import { Sv39Tables } from "./tables.ts";

/** Eight frames of memory. */
class Frames implements FrameSource, FrameWindow {
  readonly bytes: Uint8Array = new Uint8Array(8 * 4096).fill(0xaa);
  readonly free: Pfn[] = [7, 6, 5, 4, 3, 2, 1, 0];

  take(): Pfn {
    return this.free.pop() ?? NO_FRAME;
  }
  give(pfn: Pfn): void {
    this.free.push(pfn);
  }
  takeMany(into: Float64Array, count: number): number {
    const taken = Math.min(count, this.free.length);
    for (let at = 0; at < taken; at++) into[at] = this.take();
    return taken;
  }
  giveMany(frames: Float64Array, count: number): void {
    for (let at = 0; at < count; at++) this.give(frames[at]!);
  }
  read(pfn: Pfn, offset: number, into: Uint8Array): void {
    into.set(this.bytes.subarray(pfn * 4096 + offset, pfn * 4096 + offset + into.length));
  }
  write(pfn: Pfn, offset: number, from: Uint8Array): void {
    this.bytes.set(from, pfn * 4096 + offset);
  }
  copy(from: Pfn, to: Pfn): void {
    this.bytes.copyWithin(to * 4096, from * 4096, (from + 1) * 4096);
  }
  zero(pfn: Pfn): void {
    this.bytes.fill(0, pfn * 4096, (pfn + 1) * 4096);
  }
}

/** Collects what a change leaves to do. */
class Plan {
  readonly pages: Vpn[] = [];
  readonly tables: Pfn[] = [];
  invalidate(vpn: Vpn): void {
    this.pages.push(vpn);
  }
  invalidateSpace(): void {
    this.pages.length = 0;
  }
  tableFrame(pfn: Pfn): void {
    this.tables.push(pfn);
  }
}

function tablesOver(frames: Frames): Sv39Tables {
  const tables = new Sv39TranslationSystem(frames, frames).create();
  if (tables === null) throw new Error("no frame for the root");
  return tables;
}

test("an entry has the bits of the manual", () => {
  // RISCV, Sv39: V R W U A D, frame 0x80200.
  expect(leafWords(0x80200, READ + WRITE + USER + ACCESSED + DIRTY)).toEqual({ low: 0x200800d7, high: 0 });
  // Svpbmt: input/output memory is 2 in bits 62:61.
  expect(leafWords(2 ** 22, withType(READ, 4))).toEqual({ low: 0x3, high: 0x40000001 });
});

test("every combination of rights, state and type comes back, stores always with loads", () => {
  for (let bits = 0; bits < 16; bits++)
    for (let type = 0; type < 5; type++)
      for (const state of [0, ACCESSED, DIRTY, ACCESSED + DIRTY, GLOBAL]) {
        const asked = withType((bits & (READ | WRITE | EXECUTE | USER)) + state, type as MemoryType);
        const legal = (asked & WRITE) !== 0 ? asked | READ : asked;
        const entry = leafWords(2 ** 43 + 12345, asked);
        expect(frameOf(entry)).toBe(2 ** 43 + 12345);
        expect(stateOf(entry)).toBe(legal + PRESENT);
      }
});

test("pages of both halves are found again, and tables go when they are empty", () => {
  const frames = new Frames();
  const tables = tablesOver(frames);
  const plan = new Plan();
  for (const vpn of [0, 511, -1, -(2 ** 26)]) expect(tables.map(vpn, 100 + (vpn & 7), READ + USER, plan)).toBe(true);
  expect(frames.free.length).toBe(1);
  expect(tables.query(511)).toBe(READ + USER + PRESENT);
  expect(tables.frame).toBe(107);
  expect(tables.query(1)).toBe(0);
  tables.unmap(-(2 ** 26), 2 ** 26, plan, null);
  expect(plan.pages).toEqual([-(2 ** 26), -1, 0, 511]);
  expect(plan.tables.length).toBe(6);
  tables.destroy(plan);
  expect(plan.tables.length).toBe(7);
});

test("without a frame for a table nothing changes and nothing is lost", () => {
  const frames = new Frames();
  const tables = tablesOver(frames);
  const plan = new Plan();
  frames.free.length = 1;
  expect(tables.map(0, 50, READ, plan)).toBe(false);
  expect(tables.query(0)).toBe(0);
  expect(plan.tables.length).toBe(1);
});

/** Tables in a memory of their own, for the suite of the port. */
function fixture(): TablesFixture {
  const memory = new PlainMemory(256);
  return {
    system: new Sv39TranslationSystem(memory, memory),
    use: (tables, vpn, bits) => {
      if (tables instanceof Sv39Tables) tables.use(vpn, bits);
    },
    tableFrames: () => memory.totalFrames - memory.freeFrames,
    starve: () => {
      memory.takeMany(new Float64Array(memory.totalFrames), memory.totalFrames);
    },
    giveTable: (pfn) => {
      memory.give(pfn);
    },
  };
}

describe("what every TranslationTables does", () => {
  for (const each of translationTablesSuite) test(each.name, () => each.run(fixture));
});

describe("what every TableStructure does", () => {
  for (const each of tableStructureSuite) test(each.name, () => each.run(fixture));
});

describe("what every LargeLeaves does", () => {
  for (const each of largeLeavesSuite) test(each.name, () => each.run(fixture));
});

test("a gibibyte changes hands as one entry of the root", () => {
  const memory = new PlainMemory(64);
  const system = new Sv39TranslationSystem(memory, memory);
  const [one, two] = [system.create(), system.create()];
  if (one === null || two === null) throw new Error("no frame for a root");
  const plan = new Plan();
  one.map(2 ** 18 + 5, 77, READ + USER, plan);
  const root = one.takeEntry(2, 2 ** 18);
  one.putEntry(2, 2 ** 18, root);
  expect(system.moveTables(one, 2 ** 18, two, 2 ** 20, 2 ** 18, plan)).toBe(true);
  expect([one.query(2 ** 18 + 5), two.query(2 ** 20 + 5), two.frame]).toEqual([0, READ + USER + PRESENT, 77]);
  expect(two.takeEntry(2, 2 ** 20)).toEqual(root);
  expect(plan.tables).toEqual([]);
});

test("a megapage is one leaf of level 1, aligned to its size", () => {
  const memory = new PlainMemory(64);
  const tables = new Sv39TranslationSystem(memory, memory).create();
  if (tables === null) throw new Error("no frame for a root");
  expect(tables.mapMegapage(1024, 512 * 9, READ + WRITE + USER, new Plan())).toBe(true);
  expect(tables.leaf(1024 + 300)).toEqual(leafWords(512 * 9, READ + WRITE + USER));
  expect([tables.query(1024 + 300), tables.frame]).toEqual([READ + WRITE + USER + PRESENT, 512 * 9 + 300]);
});
