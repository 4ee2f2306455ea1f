/** `makeUsable` over whole tables: it passes over those that are full, and misses nothing in the others. */
import { expect, test } from "vitest";

import {
  MemorySwap,
  PAGE_SIZE,
  PlainMemory,
  READ,
  SpaceMemory,
  TABLE_PAGES,
  Vmm,
  WRITE,
  type AddressSpace,
} from "@pagewright/vmm";

import { spaceOf } from "./kit/rig.ts";

const P = PAGE_SIZE;
const PAGES = 3 * TABLE_PAGES;
const AT = 2 ** 30;
const RIGHTS = READ + WRITE;

function usable(residentLimit = Infinity): { vmm: Vmm; space: AddressSpace; bytes: SpaceMemory } {
  const memory = new PlainMemory(2 * PAGES);
  const vmm = new Vmm({ frames: memory, window: memory, swap: [new MemorySwap(2 * PAGES)], residentLimit });
  const space = spaceOf(vmm);
  expect(space.makeUsable(AT, PAGES * P, RIGHTS)).toBe("ok");
  const bytes = new SpaceMemory(space);
  for (let page = 0; page < PAGES; page++) bytes.store32(AT + page * P, page + 1);
  return { vmm, space, bytes };
}

/** Pages without a translation, or with one that cannot be stored through. */
function missing(space: AddressSpace): number[] {
  return Array.from({ length: PAGES }, (_, page) => page).filter(
    (page) => (space.tables.query(AT / P + page) & WRITE) === 0,
  );
}

test("where nothing is missing nothing happens", () => {
  const { vmm, space } = usable();
  const before = { ...vmm.stats };
  expect(space.makeUsable(AT, PAGES * P, RIGHTS)).toBe("ok");
  expect(vmm.stats).toEqual(before);
  vmm.check();
});

test("a page that was put out, one that was dropped and one that was unmapped come back, each by one fault", () => {
  const { vmm, space, bytes } = usable();
  const [out, dropped, unmapped] = [7, TABLE_PAGES, PAGES - 1];
  space.advise(AT + out * P, P, "page-out");
  space.advise(AT + dropped * P, P, "dont-need");
  space.unmap(AT + unmapped * P, P);
  expect(missing(space)).toEqual([out, dropped, unmapped]);
  const { minorFaults, majorFaults } = vmm.stats;
  expect(space.makeUsable(AT, PAGES * P, RIGHTS)).toBe("ok");
  expect([vmm.stats.minorFaults - minorFaults, vmm.stats.majorFaults - majorFaults]).toEqual([2, 1]);
  expect(missing(space)).toEqual([]);
  expect([out, dropped, unmapped].map((page) => bytes.load32(AT + page * P))).toEqual([out + 1, 0, 0]);
  expect(space.regions.count).toBe(1);
  vmm.check();
});

test("pages that clones share become the space's own, in full tables too", () => {
  const { vmm, space } = usable();
  const clone = space.clone();
  if (clone === null) throw new Error("no clone");
  expect(missing(space).length).toBe(PAGES);
  expect(space.makeUsable(AT, TABLE_PAGES * P, RIGHTS)).toBe("ok");
  expect(missing(space)).toEqual(Array.from({ length: 2 * TABLE_PAGES }, (_, at) => TABLE_PAGES + at));
  expect(space.makeUsable(AT, PAGES * P, READ)).toBe("ok");
  vmm.check();
});

test("what leaves for what comes is brought back: all of it is there in the end", () => {
  const { space, vmm } = usable(PAGES + 4);
  const other = spaceOf(vmm);
  const at = Number(other.map({ bytes: 400 * P }));
  for (let page = 0; page < 400; page++) new SpaceMemory(other).store32(at + page * P, 1);
  expect(missing(space).length).toBeGreaterThan(300);
  expect(space.makeUsable(AT, PAGES * P, RIGHTS)).toBe("ok");
  const resident = new Uint8Array(PAGES);
  expect(space.residency(AT, PAGES * P, resident)).toBe("ok");
  expect(resident.every(Boolean)).toBe(true);
  vmm.check();
});

test("a right that a region lacks is found in full tables too, and nothing changes", () => {
  const { vmm, space } = usable();
  space.protect(AT + TABLE_PAGES * P, TABLE_PAGES * P, READ);
  space.unmap(AT + (PAGES - 1) * P, P);
  const { regions } = space;
  const count = regions.count;
  expect(space.makeUsable(AT, PAGES * P, RIGHTS)).toBe("rights");
  expect([regions.count, regions.find(AT / P + PAGES - 1)]).toEqual([count, null]);
  vmm.check();
});
