import { expect, test } from "vitest";

import {
  MemoryBacking,
  PAGE_SIZE,
  PlainMemory,
  READ,
  SpaceMemory,
  UNCACHED,
  Vmm,
  WRITE_BACK,
  WRITE_COMBINING,
  type AddressSpace,
} from "@pagewright/vmm";

import { spaceOf } from "./kit/rig.ts";

function small(): { vmm: Vmm; one: AddressSpace; two: AddressSpace } {
  const memory = new PlainMemory(64);
  const vmm = new Vmm({ frames: memory, window: memory });
  return { vmm, one: spaceOf(vmm), two: spaceOf(vmm) };
}

test("a shared object is mapped with one type in all spaces, until its last region goes", () => {
  const { vmm, one, two } = small();
  const object = vmm.createAnonymous(PAGE_SIZE);
  const wish = { bytes: PAGE_SIZE, object, shared: true };
  const at = Number(one.map({ ...wish, type: UNCACHED }));
  new SpaceMemory(one).store32(at, 7);
  for (const type of [WRITE_COMBINING, WRITE_BACK]) expect(two.map({ ...wish, type })).toBe("type-conflict");
  expect(two.map({ ...wish, pageSize: PAGE_SIZE })).toBe("type-conflict");
  const there = Number(two.map({ ...wish, type: UNCACHED }));
  expect(new SpaceMemory(two).load32(there)).toBe(7);
  vmm.check();
  one.unmap(at, PAGE_SIZE);
  two.unmap(there, PAGE_SIZE);
  expect(new SpaceMemory(two).load32(Number(two.map(wish)))).toBe(7);
  vmm.check();
});

test("private and shared regions of a file have the same type", () => {
  const { vmm, one, two } = small();
  const object = vmm.openFile(new MemoryBacking(PAGE_SIZE));
  const kept = Number(one.map({ bytes: PAGE_SIZE, object, rights: READ, type: UNCACHED }));
  expect(two.map({ bytes: PAGE_SIZE, object, shared: true })).toBe("type-conflict");
  expect(typeof two.map({ bytes: PAGE_SIZE, object, shared: true, type: UNCACHED })).toBe("number");
  expect(one.regions.find(kept / PAGE_SIZE)?.type).toBe(UNCACHED);
  vmm.check();
});

test("what setMemoryType changed is mapped anew with the new type only", () => {
  const { vmm, one, two } = small();
  const object = vmm.openFile(new MemoryBacking(2 * PAGE_SIZE));
  const wish = { bytes: 2 * PAGE_SIZE, object, shared: true };
  const at = Number(one.map(wish));
  expect(one.setMemoryType(at, PAGE_SIZE, UNCACHED)).toBe("ok");
  expect(two.map(wish)).toBe("type-conflict");
  expect(typeof two.map({ ...wish, type: UNCACHED })).toBe("number");
  expect(one.setMemoryType(at, PAGE_SIZE, WRITE_BACK)).toBe("ok");
  expect(typeof two.map(wish)).toBe("number");
  vmm.check();
});

test("check finds regions of an object with two types", () => {
  const { vmm, one, two } = small();
  const object = vmm.createAnonymous(PAGE_SIZE);
  const wish = { bytes: PAGE_SIZE, object, shared: true };
  one.map(wish);
  const region = two.regions.find(Number(two.map(wish)) / PAGE_SIZE);
  if (region === null) throw new Error("no region");
  region.type = UNCACHED;
  expect(() => vmm.check()).toThrow("different memory types");
});

test("memory does not change its type under a device region that maps its frames", () => {
  const { vmm, one } = small();
  const object = vmm.createAnonymous(PAGE_SIZE);
  for (const request of [{ bytes: PAGE_SIZE }, { bytes: PAGE_SIZE, object, shared: true }]) {
    const at = Number(one.map(request));
    new SpaceMemory(one).store32(at, 7);
    one.tables.query(at / PAGE_SIZE);
    const window = Number(one.map({ bytes: PAGE_SIZE, object: vmm.openDevice(one.tables.frame, 1) }));
    expect(one.setMemoryType(at, PAGE_SIZE, UNCACHED)).toBe("type-conflict");
    one.unmap(window, PAGE_SIZE);
    expect(one.setMemoryType(at, PAGE_SIZE, UNCACHED)).toBe("ok");
  }
  vmm.check();
});
