/** Moving ranges within a space: whole tables as they are, the edges page by page. */
import { describe, expect, test } from "vitest";

import {
  PAGE_SIZE,
  PlainMemory,
  READ,
  TRANSFER_UNIT,
  USER,
  Vmm,
  WRITE,
  type AddressSpace,
  type FaultOutcome,
  type VirtAddr,
} from "@pagewright/vmm";

import { rigOf, spaceOf } from "./kit/rig.ts";

const UNIT_PAGES = TRANSFER_UNIT / PAGE_SIZE;
/** Pages before the first table boundary and behind the last one. */
const EDGE = 5;
const PAGES = EDGE + 3 * UNIT_PAGES + EDGE;
/** Pages that the range has in frames: both edges, and some under each whole table. */
const USED = [0, EDGE - 1, EDGE, EDGE + 511, EDGE + 512, EDGE + 2 * 512 + 77, PAGES - EDGE, PAGES - 1];

/** Managers on both kinds of tables. */
const MANAGERS: readonly (readonly [string, () => Vmm])[] = [
  [
    "plain tables",
    (): Vmm => {
      const memory = new PlainMemory(4096);
      return new Vmm({ frames: memory, window: memory });
    },
  ],
  ["x86 tables", (): Vmm => rigOf().vmm],
];

/** A range that begins so many pages below a table boundary, with USED pages stored to. */
function mapRange(space: AddressSpace, request: { readonly locked?: "touched" } = {}): VirtAddr {
  const at = 64 * TRANSFER_UNIT - EDGE * PAGE_SIZE;
  expect(space.map({ bytes: PAGES * PAGE_SIZE, address: at, placement: "fixed", ...request })).toBe(at);
  for (const page of USED) expect(space.fault(at + page * PAGE_SIZE, WRITE + USER)).toBe("zero");
  return at;
}

function framesOf(space: AddressSpace, at: VirtAddr): number[] {
  return USED.map((page) => (space.tables.query(at / PAGE_SIZE + page) === 0 ? -1 : space.tables.frame));
}

function faultsOf(space: AddressSpace, at: VirtAddr, access: number): FaultOutcome[] {
  return USED.map((page) => space.fault(at + page * PAGE_SIZE, access + USER));
}

/** Counts translations that are made one by one while `work` runs. */
function mapsDuring(space: AddressSpace, work: () => void): number {
  const { tables } = space;
  const map = tables.map.bind(tables);
  let maps = 0;
  tables.map = (vpn, pfn, attributes, plan): boolean => {
    maps++;
    return map(vpn, pfn, attributes, plan);
  };
  work();
  tables.map = map;
  return maps;
}

describe.each(MANAGERS)("on %s", (_name, make) => {
  test("a range that may go anywhere keeps its frames, and only its edges are mapped anew", () => {
    const vmm = make();
    const space = spaceOf(vmm);
    const at = mapRange(space);
    space.map({ bytes: PAGE_SIZE, address: at + PAGES * PAGE_SIZE, placement: "fixed" });
    const before = framesOf(space, at);
    let to: VirtAddr | string = "busy";
    const maps = mapsDuring(space, () => {
      to = space.remap({
        address: at,
        bytes: PAGES * PAGE_SIZE,
        newBytes: (PAGES + 9) * PAGE_SIZE,
        mayMove: true,
      });
    });
    expect([typeof to, maps]).toEqual(["number", 4]);
    expect(framesOf(space, Number(to))).toEqual(before);
    expect(faultsOf(space, Number(to), WRITE)).toEqual(USED.map(() => "spurious"));
    expect(faultsOf(space, at, READ)).toEqual(USED.map(() => "unmapped"));
    vmm.check();
  });

  test("a few pages move into a range that grows behind them", () => {
    const vmm = make();
    const space = spaceOf(vmm);
    const at = Number(space.map({ bytes: 2 * PAGE_SIZE }));
    expect(space.fault(at, WRITE + USER)).toBe("zero");
    const target = 128 * TRANSFER_UNIT + 7 * PAGE_SIZE;
    const request = { address: at, bytes: 2 * PAGE_SIZE, newBytes: 9 * PAGE_SIZE, mayMove: true, target };
    expect(space.remap(request)).toBe(target);
    expect(space.fault(target, WRITE + USER)).toBe("spurious");
    expect(space.fault(target + 8 * PAGE_SIZE, WRITE + USER)).toBe("zero");
    vmm.check();
  });

  test("a place that is cut by tables in another way takes the pages one by one", () => {
    const vmm = make();
    const space = spaceOf(vmm);
    const at = mapRange(space);
    const before = framesOf(space, at);
    const target = 128 * TRANSFER_UNIT;
    const maps = mapsDuring(space, () => {
      const moved = space.remap({
        address: at,
        bytes: PAGES * PAGE_SIZE,
        newBytes: PAGES * PAGE_SIZE,
        mayMove: true,
        target,
      });
      expect(moved).toBe(target);
    });
    expect(maps).toBe(USED.length);
    expect(framesOf(space, target)).toEqual(before);
    vmm.check();
  });

  test("regions of all kinds move together, locks and guards with them, and a kept source reads as zero", () => {
    const vmm = make();
    const space = spaceOf(vmm);
    const at = mapRange(space, { locked: "touched" });
    const guarded = at + (EDGE + 700) * PAGE_SIZE;
    expect(space.unlock(at + (EDGE + 520) * PAGE_SIZE, 512 * PAGE_SIZE)).toBe("ok");
    expect(space.protect(at + (EDGE + 530) * PAGE_SIZE, PAGE_SIZE, READ)).toBe("ok");
    expect(space.advise(guarded, PAGE_SIZE, "guard")).toBe("ok");
    const locked = space.lockedPages;
    const before = framesOf(space, at);
    const target = at + 16 * TRANSFER_UNIT;
    const request = { address: at, bytes: PAGES * PAGE_SIZE, newBytes: PAGES * PAGE_SIZE, mayMove: true, target };
    expect(space.remap(request)).toBe(target);
    expect([space.lockedPages, space.regions.count]).toEqual([locked, 5]);
    expect(framesOf(space, target)).toEqual(before);
    expect(space.fault(guarded + 16 * TRANSFER_UNIT, READ + USER)).toBe("guard");
    vmm.check();
    expect(space.remap({ ...request, address: target, target: at, keepSource: true })).toBe(at);
    expect(framesOf(space, at)).toEqual(before);
    expect(framesOf(space, target)).toEqual(USED.map(() => -1));
    vmm.check();
    space.destroy();
    expect(vmm.residentPages).toBe(0);
    vmm.check();
  });

  test("pages of a shared object are there without a fault, and a clone's pages are copied by the first store", () => {
    const vmm = make();
    const space = spaceOf(vmm);
    const object = vmm.createAnonymous(PAGES * PAGE_SIZE);
    const one = Number(space.map({ bytes: 2 * TRANSFER_UNIT, object, shared: true, alignment: TRANSFER_UNIT }));
    expect(space.fault(one + TRANSFER_UNIT, WRITE + USER)).toBe("minor");
    const to = Number(
      space.remap({
        address: one,
        bytes: 2 * TRANSFER_UNIT,
        newBytes: 2 * TRANSFER_UNIT,
        mayMove: true,
        target: 8 * TRANSFER_UNIT,
      }),
    );
    expect(space.fault(to + TRANSFER_UNIT, WRITE + USER)).toBe("spurious");
    const at = mapRange(space);
    const clone = space.clone();
    if (clone === null) throw new Error("no clone");
    const target = at + 16 * TRANSFER_UNIT;
    expect(
      space.remap({ address: at, bytes: PAGES * PAGE_SIZE, newBytes: PAGES * PAGE_SIZE, mayMove: true, target }),
    ).toBe(target);
    expect(faultsOf(space, target, READ)).toEqual(USED.map(() => "spurious"));
    expect(faultsOf(space, target, WRITE)).toEqual(USED.map(() => "copy"));
    expect(faultsOf(clone, at, WRITE)).toEqual(USED.map(() => "minor"));
    vmm.check();
  });
});
