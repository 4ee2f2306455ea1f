/** Who is told of a change, when, and what it drops: each row of the tables in vmm's DESIGN.md, "Invalidation". */
import { physicalMapFromJson } from "@pagewright/machine";
import type { Cpu } from "@pagewright/machine";
import {
  EXECUTE,
  FlushPlan,
  FULL_LIMIT,
  GLOBAL,
  MemoryBacking,
  MemorySwap,
  PAGE_2M,
  READ,
  UNCACHED,
  USER,
  WRITE,
} from "@pagewright/vmm";
import type { AddressSpace } from "@pagewright/vmm";
import { FlushLog, LOG_DEPTH } from "@pagewright/vmm/x86";
import { beforeEach, describe, expect, test } from "vitest";
import { audit, createStack } from "../src/index.ts";
import type { Stack, StackOptions } from "../src/index.ts";
import { KEEPS_ALL } from "./kit/race.ts";

const PAGE = 4096;
const PAGES = 128;

let stack: Stack;
let space: AddressSpace;
let base: number;
let cpus: readonly Cpu[];

/** Four processors in one space, all of which have used all of its pages. */
function make(options: Partial<StackOptions> = {}): void {
  const map = physicalMapFromJson({ entries: [{ base: 0, length: 32 * 2 ** 20, type: 1 }] });
  stack = createStack({ map, cpus: 4, translationBuffers: KEEPS_ALL, swap: [new MemorySwap(1024)], ...options });
  const made = stack.vmm.createSpace();
  if (made === null) throw new Error("no memory");
  space = made;
  base = Number(space.map({ bytes: PAGES * PAGE, address: 2 ** 30, placement: "fixed" }));
  space.map({ bytes: PAGE, address: 2 ** 30 + 200 * PAGE, placement: "fixed", populate: true }); // Keeps the table.
  cpus = [0, 1, 2, 3].map((number) => stack.enter(space, number));
  for (const cpu of cpus) for (let page = 0; page < PAGES; page++) cpu.store32(base + page * PAGE, page);
}

/** What an operation as processor 0 costs in interrupts, rounds and deferrals. */
function costOf(operation: () => unknown): { interrupts: number; rounds: number; deferred: number } {
  const before = { ...stack.control.stats };
  stack.as(0, operation);
  const { interrupts, rounds, deferred } = stack.control.stats;
  return {
    interrupts: interrupts - before.interrupts,
    rounds: rounds - before.rounds,
    deferred: deferred - before.deferred,
  };
}

const loads = (page: number): number[] => cpus.map((cpu) => cpu.load32(base + page * PAGE));

beforeEach(() => {
  make();
});

describe("one operation", () => {
  test("interrupts each processor that runs in the space once, for all of its pages", () => {
    expect(costOf(() => space.unmap(base, 20 * PAGE))).toEqual({ interrupts: 3, rounds: 1, deferred: 0 });
    expect(loads(3)).toEqual([-1, -1, -1, -1]);
  });

  test("interrupts through the machine's controller: it counts, and the event stream tells, who took what", () => {
    const taken: string[] = [];
    stack.machine.eventSink = (event): void => {
      if (event.kind === "interrupt") taken.push(`${event.cpu} ${event.vector}`);
    };
    const before = stack.machine.interrupts.stats();
    stack.as(0, () => space.unmap(base, PAGE));
    const { sent, merged, taken: answered } = stack.machine.interrupts.stats();
    expect([sent - before.sent, merged - before.merged, answered - before.taken]).toEqual([3, 0, 3]);
    expect(taken.sort()).toEqual(["1 252", "2 252", "3 252"]);
    expect(cpus.map((cpu) => cpu.interruptHandler)).toEqual([null, null, null, null]);
    stack.machine.check();
  });

  test("drops single pages where they are few, and everything where that is cheaper", () => {
    const { stats } = stack.control;
    const [pages, spaces] = [stats.pages, stats.spaces];
    stack.as(0, () => space.unmap(base, 10 * PAGE));
    expect([stats.pages - pages, stats.spaces - spaces]).toEqual([40, 0]);
    stack.as(0, () => space.unmap(base + 10 * PAGE, (FULL_LIMIT + 10) * PAGE));
    expect([stats.pages - pages, stats.spaces - spaces]).toEqual([40, 4]);
  });

  test("of another space interrupts nobody that does not run in it", () => {
    const other = stack.vmm.createSpace();
    if (other === null) throw new Error("no memory");
    const at = Number(other.map({ bytes: 8 * PAGE }));
    stack.enter(other, 0);
    for (let page = 0; page < 8; page++) cpus[0]?.store32(at + page * PAGE, 1);
    expect(costOf(() => other.protect(at, 8 * PAGE, READ))).toEqual({ interrupts: 0, rounds: 0, deferred: 0 });
  });

  test("by which a page becomes present tells nobody", () => {
    const more = Number(space.map({ bytes: PAGE }));
    expect(costOf(() => cpus[0]?.store32(more, 1))).toEqual({ interrupts: 0, rounds: 0, deferred: 0 });
  });
});

describe("rights", () => {
  test("that grow are left to spurious faults, on every processor", () => {
    stack.as(0, () => space.protect(base, 4 * PAGE, READ));
    expect(loads(1)).toEqual([1, 1, 1, 1]); // Everybody has read-only translations now.
    expect(costOf(() => space.protect(base, 4 * PAGE, READ + WRITE))).toEqual({
      interrupts: 0,
      rounds: 0,
      deferred: 0,
    });
    expect(cpus.map((cpu) => cpu.store32(base + PAGE, cpu.id))).toEqual([true, true, true, true]);
  });

  test("that shrink are gone on every processor when the operation returns", () => {
    expect(costOf(() => space.protect(base, 4 * PAGE, READ)).interrupts).toBe(3);
    expect(cpus.map((cpu) => cpu.store32(base + PAGE, 9))).toEqual([false, false, false, false]);
  });
});

describe("an entry that changes", () => {
  /** Pages to invalidate after the first page's entry was set to these attributes. */
  const pagesAfter = (attributes: number): number => {
    const plan = new FlushPlan(stack.vmm.core);
    const vpn = base / PAGE;
    space.tables.protect(vpn, vpn + 1, attributes, plan);
    return plan.pages;
  };

  test("from the kernel's to the user's is invalidated, because SMEP and SMAP are on", () => {
    expect(pagesAfter(READ + WRITE)).toBe(1);
    expect(pagesAfter(READ + WRITE + USER)).toBe(1);
  });

  test("in R/W alone is invalidated when it shrinks", () => {
    expect(pagesAfter(READ + USER)).toBe(1);
    expect(pagesAfter(READ + WRITE + USER)).toBe(0);
  });

  test("in its memory type is invalidated on every processor", () => {
    expect(costOf(() => space.setMemoryType(base, 4 * PAGE, UNCACHED)).interrupts).toBeGreaterThanOrEqual(3);
    expect(loads(3)).toEqual([3, 3, 3, 3]);
    expect(audit(stack).problems).toEqual([]);
  });

  test("in NX is invalidated when execution is taken away, and left to spurious faults when it is given", () => {
    expect(pagesAfter(READ + WRITE + EXECUTE + USER)).toBe(0);
    expect(pagesAfter(READ + WRITE + USER)).toBe(1);
  });

  test("in G is invalidated, either way: it decides which invalidations reach what is cached", () => {
    expect(pagesAfter(READ + WRITE + USER + GLOBAL)).toBe(1);
    expect(pagesAfter(READ + WRITE + USER)).toBe(1);
  });

  test("in its size is invalidated on every processor, when a leaf is split and when it is put together again", () => {
    const at = 2 ** 31;
    expect(space.map({ bytes: PAGE_2M, pageSize: PAGE_2M, address: at, placement: "fixed" })).toBe(at);
    for (const cpu of cpus) expect(cpu.store32(at + 5 * PAGE, 5)).toBe(true);
    const { large } = stack.vmm.core.tables;
    expect(costOf(() => space.protect(at, PAGE, READ)).interrupts).toBeGreaterThanOrEqual(3);
    expect(large?.pagesAt(space.tables, at / PAGE)).toBe(1);
    expect(cpus.map((cpu) => cpu.store32(at, 1))).toEqual([false, false, false, false]);
    expect(cpus.map((cpu) => cpu.load32(at + 5 * PAGE))).toEqual([5, 5, 5, 5]);
    expect(audit(stack).problems).toEqual([]);
    space.protect(at, PAGE, READ + WRITE);
    space.advise(at, PAGE_2M, "large");
    const put = costOf(() => {
      expect(stack.vmm.collapser.collapse(space, at / PAGE)).toBe(true);
    });
    expect(put.interrupts).toBeGreaterThanOrEqual(3);
    expect(large?.pagesAt(space.tables, at / PAGE)).toBe(512);
    expect(cpus.map((cpu) => cpu.load32(at + 5 * PAGE))).toEqual([5, 5, 5, 5]);
    expect(audit(stack).problems).toEqual([]);
  });

  test("in its frame is invalidated", () => {
    const plan = new FlushPlan(stack.vmm.core);
    space.tables.query(base / PAGE + 1);
    space.tables.map(base / PAGE, space.tables.frame, READ + USER, plan);
    expect(plan.pages).toBe(1);
  });
});

describe("a processor that rests", () => {
  test("is spared, and drops what it missed when it comes back", () => {
    stack.rest(3);
    expect(costOf(() => space.unmap(base, 4 * PAGE))).toEqual({ interrupts: 2, rounds: 1, deferred: 1 });
    expect(audit(stack).problems).toEqual([]);
    stack.enter(space, 3);
    expect(loads(2)).toEqual([-1, -1, -1, -1]);
    expect(loads(5)).toEqual([5, 5, 5, 5]);
  });

  test("is told at once where tables are set free", () => {
    const far = 2 ** 31;
    space.map({ bytes: PAGE, address: far, placement: "fixed" });
    for (const cpu of cpus) cpu.store32(far, 1);
    stack.rest(3);
    expect(costOf(() => space.unmap(far, PAGE))).toEqual({ interrupts: 3, rounds: 1, deferred: 0 });
  });
});

describe("a context that is not in use", () => {
  test("keeps its translations, and drops what it missed page by page when it is entered again", () => {
    const other = stack.vmm.createSpace();
    if (other === null) throw new Error("no memory");
    stack.enter(other, 3);
    expect(costOf(() => space.unmap(base, 4 * PAGE)).interrupts).toBe(2);
    const { kept, pages } = stack.control.stats;
    const misses = cpus[3]?.stats().dataMisses ?? 0;
    stack.enter(space, 3);
    expect(stack.control.stats.kept).toBe(kept + 1);
    expect(stack.control.stats.pages).toBe(pages + 4);
    expect(loads(2)).toEqual([-1, -1, -1, -1]);
    expect(cpus[3]?.load32(base + 9 * PAGE)).toBe(9);
    expect((cpus[3]?.stats().dataMisses ?? 0) - misses).toBeLessThan(3); // The rest was still there.
  });

  test("without PCIDs a change of space drops everything", () => {
    make({ contexts: 0 });
    const other = stack.vmm.createSpace();
    if (other === null) throw new Error("no memory");
    stack.enter(other, 3);
    stack.as(0, () => space.unmap(base, 4 * PAGE));
    stack.enter(space, 3);
    expect(stack.control.stats.kept).toBe(0);
    expect(loads(2)).toEqual([-1, -1, -1, -1]);
  });
});

describe("dirty bits", () => {
  test("are cleared on all processors before the page is written back, so that a store after it counts", () => {
    const backing = new MemoryBacking(4 * PAGE);
    const file = stack.vmm.openFile(backing);
    const at = Number(space.map({ bytes: 4 * PAGE, object: file, shared: true }));
    for (const cpu of cpus) cpu.store32(at, 1 + cpu.id);
    expect(costOf(() => space.sync(at, 4 * PAGE)).interrupts).toBe(3);
    expect(backing.bytes[0]).toBe(4);
    cpus[2]?.store32(at, 77); // Its translation is not dirty any more: the store sets the bit again.
    stack.as(0, () => space.sync(at, 4 * PAGE));
    expect(backing.bytes[0]).toBe(77);
  });

  test("accessed bits interrupt nobody", () => {
    expect(costOf(() => stack.vmm.sampleAccesses())).toEqual({ interrupts: 0, rounds: 0, deferred: 3 });
    for (const cpu of [0, 1, 2, 3]) stack.tick(cpu);
    loads(7);
    stack.vmm.sampleAccesses();
    expect(stack.vmm.usedPages(1)).toBe(1); // Seen again, because every processor has dropped what it had.
  });
});

describe("lazily", () => {
  beforeEach(() => {
    make({ lazyShootdown: true, residentLimit: 160 });
  });

  test("unmapping and discarding interrupt nobody; frames wait for a quiescent point of everybody", () => {
    expect(costOf(() => space.unmap(base, 8 * PAGE)).interrupts).toBe(0);
    expect(costOf(() => space.discard(base + 8 * PAGE, 8 * PAGE)).interrupts).toBe(0);
    expect(stack.vmm.core.quarantine?.held).toBe(16);
    expect(cpus[1]?.load32(base + 2 * PAGE)).toBe(2); // Stale, and still its own bytes.
    for (const cpu of [1, 2]) stack.tick(cpu);
    stack.vmm.background(0);
    expect(stack.vmm.core.quarantine?.held).toBe(16);
    stack.rest(3);
    stack.vmm.background(0);
    expect(stack.vmm.core.quarantine?.held).toBe(0);
    expect(cpus[1]?.load32(base + 2 * PAGE)).toBe(-1);
    expect(cpus[1]?.load32(base + 10 * PAGE)).toBe(0);
    expect(audit(stack).problems).toEqual([]);
  });

  test("a page that lives on in a clone is dropped at once, rights and dont-need too", () => {
    const clone = space.clone();
    expect(costOf(() => space.unmap(base, 4 * PAGE)).interrupts).toBe(3);
    clone?.destroy();
    expect(costOf(() => space.advise(base + 8 * PAGE, 4 * PAGE, "dont-need")).interrupts).toBe(3);
    expect(loads(9)).toEqual([0, 0, 0, 0]);
  });

  test("background work unmaps pages, and saves them when everybody has passed; stores until then are in what is saved", () => {
    const more = Number(space.map({ bytes: 31 * PAGE, address: 2 ** 30 + 300 * PAGE, placement: "fixed" }));
    for (let page = 0; page < 31; page++) cpus[0]?.store32(more + page * PAGE, 1);
    const before = stack.vmm.stats.swapOuts;
    expect(costOf(() => stack.vmm.background(8)).interrupts).toBe(0);
    const leaving = stack.vmm.core.parting.count;
    expect(leaving).toBeGreaterThan(0);
    expect(stack.vmm.stats.swapOuts).toBe(before);
    for (let page = 0; page < PAGES; page++) cpus[1]?.store32(base + page * PAGE, page + 1000); // Some through stale translations.
    for (const cpu of [0, 1, 2, 3]) stack.tick(cpu);
    stack.vmm.background(8);
    for (const cpu of [0, 1, 2, 3]) stack.tick(cpu);
    stack.vmm.background(8);
    expect(stack.vmm.stats.swapOuts).toBeGreaterThan(before);
    for (let page = 0; page < PAGES; page++) expect(cpus[2]?.load32(base + page * PAGE)).toBe(page + 1000);
    expect(audit(stack).problems).toEqual([]);
  });

  test("migration interrupts at once", () => {
    space.tables.query(base / PAGE);
    const pfn = space.tables.frame;
    expect(costOf(() => stack.vmm.migrator.vacate(pfn)).interrupts).toBe(3);
    expect(loads(0)).toEqual([0, 0, 0, 0]);
  });
});

describe("the log of a space", () => {
  test("tells what was missed, or that it was too much", () => {
    const log = new FlushLog();
    const into = new Float64Array(64);
    log.record(Float64Array.of(5, 6), 2, false);
    log.record(Float64Array.of(9), 1, true);
    expect(log.missed(0, into)).toBe(3);
    expect([...into.subarray(0, 3)]).toEqual([5, 6, 9]);
    expect([log.missed(1, into), log.missed(2, into)]).toEqual([1, 0]);
    expect([log.freedTables(0), log.freedTables(2)]).toEqual([true, false]);
    expect([log.covers(0, 6), log.covers(1, 6)]).toEqual([true, false]);
    log.record(into, -1, false);
    expect(log.missed(2, into)).toBe(-1);
    for (let more = 0; more < LOG_DEPTH; more++) log.record(Float64Array.of(more), 1, false);
    expect(log.missed(2, into)).toBe(-1);
    expect(log.missed(log.generation - LOG_DEPTH, into)).toBe(LOG_DEPTH);
  });
});
