/** 2M pages made of small ones in the background. */
import { describe, expect, test } from "vitest";

import { PAGE_2M, PAGE_SIZE, READ, SpaceMemory } from "@pagewright/vmm";

import { BENCHES, UNIT, demandFilled, fill, leafAt, machineBench, mapLarge, plainBench, type Bench } from "./kit.ts";

/** Units whose pages were stored to before 2M pages were wanted, the last first: their frames are in no order that one leaf could map. */
function smallPages({ space, bytes }: Bench, units: number, pages = UNIT): number {
  const at = Number(space.map({ bytes: units * PAGE_2M, alignment: PAGE_2M }));
  const vpn = at / PAGE_SIZE;
  for (let unit = 0; unit < units; unit++)
    for (let page = pages - 1; page >= 0; page--)
      bytes.store32((vpn + unit * UNIT + page) * PAGE_SIZE + 12, unit * 10000 + page + 1);
  expect(space.advise(at, units * PAGE_2M, "large")).toBe("ok");
  return vpn;
}

/** Steps of the background until there is nothing to do. */
function settle({ vmm }: Bench): number {
  let pages = 0;
  for (let step = 0; step < 200; step++) pages += vmm.background(64);
  return pages;
}

for (const [name, make] of BENCHES)
  describe(name, () => {
    test("512 small pages in use become one 2M page, bytes and all", () => {
      const bench = make();
      const vpn = smallPages(bench, 2);
      expect(leafAt(bench.space, vpn)).toBe(1);
      expect(settle(bench)).toBe(2 * UNIT);
      expect([leafAt(bench.space, vpn), leafAt(bench.space, vpn + UNIT)]).toEqual([UNIT, UNIT]);
      demandFilled(bench.bytes, vpn, UNIT);
      demandFilled(bench.bytes, vpn + UNIT, UNIT, 10000);
      expect([bench.vmm.residentPages, bench.vmm.large.stats().collapses]).toEqual([2 * UNIT, 2]);
      bench.vmm.check();
      bench.space.destroy();
      bench.vmm.check();
    });

    test("what was split comes together again without copying a byte", () => {
      const bench = make();
      const vpn = mapLarge(bench.space, 1);
      fill(bench.bytes, vpn, UNIT);
      bench.space.protect(vpn * PAGE_SIZE, PAGE_SIZE, READ);
      bench.space.protect(vpn * PAGE_SIZE, PAGE_SIZE, READ + 2);
      expect(leafAt(bench.space, vpn)).toBe(1);
      bench.space.tables.query(vpn);
      const frame = bench.space.tables.frame;
      fill(bench.bytes, vpn, UNIT);
      expect(settle(bench)).toBe(UNIT);
      bench.space.tables.query(vpn);
      expect([leafAt(bench.space, vpn), bench.space.tables.frame]).toEqual([UNIT, frame]);
      demandFilled(bench.bytes, vpn, UNIT);
      bench.vmm.check();
    });

    test("a tenth may be missing and becomes zeroes; more may not, unless the setting says so", () => {
      for (const [missing, setting, leaf] of [
        [51, undefined, UNIT],
        [52, undefined, 1],
        [500, 511, UNIT],
        [1, 0, 1],
      ] as const) {
        const bench = make(setting === undefined ? {} : { collapseMissing: setting });
        const vpn = smallPages(bench, 1, UNIT - missing);
        settle(bench);
        expect({ missing, leaf: leafAt(bench.space, vpn) }).toEqual({ missing, leaf });
        demandFilled(bench.bytes, vpn, UNIT - missing);
        expect(bench.bytes.load32((vpn + UNIT - 1) * PAGE_SIZE)).toBe(0);
        bench.vmm.check();
      }
    });
  });

describe("what stays small", () => {
  test("pages that are shared, pinned, locked, in swap, or not used", () => {
    const bench = plainBench();
    const { vmm, space } = bench;
    const vpn = smallPages(bench, 5);
    const held = vmm.beginTransfer(space, vpn * PAGE_SIZE, PAGE_SIZE, "to-device");
    space.lock((vpn + UNIT) * PAGE_SIZE, PAGE_SIZE);
    space.advise((vpn + 2 * UNIT) * PAGE_SIZE, PAGE_SIZE, "page-out");
    settle(bench);
    expect([0, 1, 2, 3].map((unit) => leafAt(space, vpn + unit * UNIT))).toEqual([1, 1, 1, UNIT]);
    if (typeof held === "object") held.complete();
    settle(bench);
    expect(leafAt(space, vpn)).toBe(UNIT);
    vmm.check();
    const idle = plainBench();
    const there = smallPages(idle, 1);
    idle.vmm.core.reclaimer.harvest();
    settle(idle);
    expect(leafAt(idle.space, there)).toBe(1);
    idle.bytes.load32(there * PAGE_SIZE);
    settle(idle);
    expect(leafAt(idle.space, there)).toBe(UNIT);
    const clone = idle.space.clone();
    if (clone === null) throw new Error("no clone");
    new SpaceMemory(clone).store32(there * PAGE_SIZE, 1);
    settle(idle);
    expect(leafAt(clone, there)).toBe(1);
    idle.vmm.check();
  });

  test("everything, where no frames may be spent on it", () => {
    const bench = plainBench({ residentLimit: UNIT - 5 });
    const vpn = smallPages(bench, 1, UNIT - 10);
    bench.vmm.collapser.step(5000);
    expect(leafAt(bench.space, vpn)).toBe(1);
    bench.vmm.check();
  });
});

test("a step is bounded: a budget of 64 collapses one unit in nine calls at the most", () => {
  const bench = plainBench();
  smallPages(bench, 4);
  const collapsed = Array.from({ length: 12 }, () => bench.vmm.background(64));
  expect(collapsed.filter((pages) => pages > 0)).toEqual([UNIT, UNIT]);
  expect(bench.vmm.background(4 * UNIT)).toBe(2 * UNIT);
});

test("where no block is free, few pages are moved to make one", () => {
  const bench = machineBench({}, 32);
  const { vmm, space, bytes } = bench;
  const vpn = smallPages(bench, 1);
  // Every block of the machine has a page in it: a region that takes all frames, of which one in a hundred stays.
  const at = Number(space.map({ bytes: 32 * 1048576 }));
  let pages = 0;
  while (bench.free() > 8) bytes.store32(at + pages++ * PAGE_SIZE, pages);
  for (let page = 0; page < pages; page++) if (page % 100 !== 0) space.unmap(at + page * PAGE_SIZE, PAGE_SIZE);
  fill(bytes, vpn, UNIT);
  expect(vmm.core.frames.take({ order: 9, node: -1, colour: -1, movable: 1 })).toBe(-1);
  settle(bench);
  expect(leafAt(space, vpn)).toBe(UNIT);
  expect(vmm.stats.migrations).toBeGreaterThan(0);
  demandFilled(bytes, vpn, UNIT);
  for (let page = 0; page < pages; page += 100)
    if (bytes.load32(at + page * PAGE_SIZE) !== page + 1) expect(page).toBe("intact");
  vmm.check();
});
