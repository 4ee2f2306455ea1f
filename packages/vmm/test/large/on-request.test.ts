/** Regions of 2M and 1G pages that a program asks for. */
import { expect, test } from "vitest";

import { PAGE_1G, PAGE_2M, PAGE_SIZE, READ, SpaceMemory, WRITE, isVmmError, type FrameWindow } from "@pagewright/vmm";

import { rigOf, spaceOf } from "../kit/rig.ts";
import { UNIT, leafAt, machineBench, mapLarge, plainBench } from "./kit.ts";

const GIB_PAGES = 262144;

function withoutZeroing(window: () => FrameWindow): FrameWindow {
  return {
    read: (pfn, offset, into) => window().read(pfn, offset, into),
    write: (pfn, offset, from) => window().write(pfn, offset, from),
    copy: (from, to) => window().copy(from, to),
    zero: () => undefined,
  };
}

test("a 1G page is all there when map returns, mapped by one leaf", () => {
  // Frames of a machine that was just switched on are zero: the test needs not wait for a gibibyte to be filled.
  const rig = rigOf({ window: withoutZeroing(() => rig.system.windows) }, 3200);
  const { vmm } = rig;
  const space = spaceOf(vmm);
  const bytes = new SpaceMemory(space);
  const free = (): number => rig.pmm.freeFrames;
  const before = free();
  const at = Number(space.map({ bytes: PAGE_1G, pageSize: PAGE_1G }));
  const vpn = at / PAGE_SIZE;
  expect([leafAt(space, vpn), leafAt(space, vpn + GIB_PAGES - 1), vmm.residentPages]).toEqual([
    GIB_PAGES,
    GIB_PAGES,
    GIB_PAGES,
  ]);
  bytes.store32(at + PAGE_1G - 4, 7);
  expect([bytes.load32(at), bytes.load32(at + PAGE_1G - 4), vmm.stats.minorFaults]).toEqual([0, 7, 0]);
  // Another one: the blocks of a gibibyte are not all free any more.
  expect(space.map({ bytes: 2 * PAGE_1G, pageSize: PAGE_1G })).toBe("no-memory");
  expect(vmm.residentPages).toBe(GIB_PAGES);
  // A part of it goes: 2M pages and, at the edge, 4K pages are left. No frame is asked for.
  const held = free();
  space.protect(at + 5 * PAGE_SIZE, PAGE_SIZE, READ);
  expect(free()).toBe(held);
  expect([leafAt(space, vpn), leafAt(space, vpn + UNIT)]).toEqual([1, UNIT]);
  expect([bytes.store32(at + 5 * PAGE_SIZE, 1), bytes.load32(at + PAGE_1G - 4)]).toEqual([false, 7]);
  space.unmap(at, PAGE_1G);
  expect(vmm.residentPages).toBe(0);
  expect(free()).toBe(before);
  vmm.check();
});

test("2M pages on request, 4K pages and 2M pages by advice lie side by side", () => {
  for (const bench of [plainBench(), machineBench()]) {
    const { vmm, space, bytes } = bench;
    const at = Number(space.map({ bytes: 4 * PAGE_2M, alignment: PAGE_2M }));
    space.unmap(at + PAGE_2M, PAGE_2M);
    const inside = space.map({
      bytes: PAGE_2M,
      pageSize: PAGE_2M,
      address: at + PAGE_2M,
      placement: "fixed-new",
    });
    expect(inside).toBe(at + PAGE_2M);
    space.advise(at + 2 * PAGE_2M, PAGE_2M, "large");
    for (let unit = 0; unit < 4; unit++) bytes.store32(at + unit * PAGE_2M, unit);
    const vpn = at / PAGE_SIZE;
    expect([0, 1, 2, 3].map((unit) => leafAt(space, vpn + unit * UNIT))).toEqual([1, UNIT, UNIT, 1]);
    expect(vmm.residentPages).toBe(2 * UNIT + 2);
    expect(space.usage()).toMatchObject({ residentPages: 2 * UNIT + 2, in2MPages: 2 * UNIT, in1GPages: 0 });
    expect(space.usageText()).toContain("in2M");
    vmm.check();
  }
});

test("an object's pages can be 2M pages on request, for all who map it", () => {
  const { vmm, space, bytes } = machineBench();
  const object = vmm.createAnonymous(2 * PAGE_2M);
  const at = space.map({ bytes: 2 * PAGE_2M, pageSize: PAGE_2M, object, shared: true });
  if (typeof at !== "number") throw new Error(at);
  bytes.store32(at + PAGE_2M, 5);
  const other = vmm.createSpace();
  if (other === null) throw new Error("no space");
  const there = mapLarge(other, 2, { object, shared: true });
  expect(new SpaceMemory(other).load32(there * PAGE_SIZE + PAGE_2M)).toBe(5);
  expect(leafAt(other, there + UNIT)).toBe(UNIT);
  expect(space.map({ bytes: PAGE_2M, pageSize: PAGE_2M, object, shared: true })).toBe("exists");
  vmm.check();
});

test("locked as asked", () => {
  const { vmm, space } = machineBench();
  space.map({ bytes: PAGE_2M, pageSize: PAGE_2M, locked: "all" });
  expect([space.lockedPages, vmm.reclaim(10)]).toEqual([UNIT, 0]);
  vmm.check();
});

test("what cannot be had is refused as a value, and nothing has changed", () => {
  const { vmm, space, free } = plainBench({ residentLimit: 1000 });
  const before = free();
  expect(space.map({ bytes: PAGE_1G, pageSize: PAGE_1G })).toBe("page-size");
  expect(space.map({ bytes: 2 * PAGE_2M, pageSize: PAGE_2M })).toBe("no-memory");
  const at = Number(space.map({ bytes: PAGE_2M, alignment: PAGE_2M }));
  expect(space.map({ bytes: PAGE_2M, pageSize: PAGE_2M, address: at, placement: "fixed" })).toBe("exists");
  const code = (request: { bytes: number; address?: number }): string => {
    try {
      return String(space.map({ ...request, pageSize: PAGE_2M }));
    } catch (error) {
      return isVmmError(error) ? error.code : "another error";
    }
  };
  expect(code({ bytes: PAGE_2M + PAGE_SIZE })).toBe("unaligned");
  expect(code({ bytes: PAGE_2M, address: PAGE_SIZE })).toBe("unaligned");
  space.limits.pages = UNIT;
  expect(space.map({ bytes: PAGE_2M, pageSize: PAGE_2M })).toBe("size-limit");
  expect([free(), space.regions.count, vmm.residentPages]).toEqual([before, 1, 0]);
  expect(space.protect(at, PAGE_2M, READ + WRITE)).toBe("ok");
  vmm.check();
});
