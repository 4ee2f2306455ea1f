/** Regions that grow: with the memory type that their new pages have elsewhere, and each page of an object where it was. */
import { expect, test } from "vitest";

import {
  MemoryBacking,
  PAGE_SIZE,
  PlainMemory,
  SpaceMemory,
  UNCACHED,
  Vmm,
  WRITE_COMBINING,
  type AddressSpace,
} from "@pagewright/vmm";

import { spaceOf } from "./kit/rig.ts";

const P = PAGE_SIZE;

function small(): { vmm: Vmm; space: AddressSpace } {
  const memory = new PlainMemory(64);
  const vmm = new Vmm({ frames: memory, window: memory });
  return { vmm, space: spaceOf(vmm) };
}

test("a region of a device grows only over frames that are mapped with no other type", () => {
  const { vmm, space } = small();
  const device = vmm.openDevice(0x100000, 8);
  const other = Number(space.map({ bytes: 2 * P, object: device, offset: 4 * P, type: WRITE_COMBINING }));
  const at = Number(space.map({ bytes: 2 * P, object: device, type: UNCACHED, address: 2 ** 30 }));
  expect(space.remap({ address: at, bytes: 2 * P, newBytes: 4 * P })).toBe(at);
  expect(space.remap({ address: at, bytes: 4 * P, newBytes: 5 * P })).toBe("type-conflict");
  expect(space.remap({ address: at, bytes: 4 * P, newBytes: 8 * P, mayMove: true })).toBe("type-conflict");
  const target = 2 ** 31;
  expect(space.remap({ address: at, bytes: 4 * P, newBytes: 5 * P, mayMove: true, target })).toBe("type-conflict");
  expect(space.remap({ address: at, bytes: 4 * P, newBytes: 4 * P, mayMove: true, target })).toBe(target);
  expect(space.unmap(other, 2 * P)).toBe("ok");
  expect(space.remap({ address: target, bytes: 4 * P, newBytes: 8 * P })).toBe(target);
  vmm.check();
});

test("a window onto another device object over the same frames counts too", () => {
  const { vmm, space } = small();
  space.map({ bytes: 2 * P, object: vmm.openDevice(0x100002, 2), type: WRITE_COMBINING });
  const object = vmm.openDevice(0x100000, 8);
  const at = Number(space.map({ bytes: 2 * P, object, type: UNCACHED, address: 2 ** 30 }));
  expect(space.remap({ address: at, bytes: 2 * P, newBytes: 3 * P, mayMove: true })).toBe("type-conflict");
  vmm.check();
});

test("a region that grows down keeps the pages of its object where they are, and stops where the object begins", () => {
  for (const shared of [false, true]) {
    const { vmm, space } = small();
    const content = new Uint8Array(4 * P);
    for (let page = 0; page < 4; page++) content[page * P] = page + 1;
    const object = vmm.openFile(new MemoryBacking(content));
    const at = Number(space.map({ bytes: 2 * P, object, offset: 2 * P, shared, growsDown: true }));
    const bytes = new SpaceMemory(space);
    bytes.store32(at + 4, 70);
    expect(bytes.load32(at - P)).toBe(2);
    expect([0, 1].map((page) => bytes.load32(at + page * P))).toEqual([3, 4]);
    expect(bytes.load32(at + 4)).toBe(70);
    expect(bytes.load32(at - 2 * P)).toBe(1);
    expect([bytes.load32(at - 3 * P), bytes.fault]).toEqual([-1, "unmapped"]);
    vmm.check();
  }
});

test("a region of a device does not grow down over frames that are mapped with another type", () => {
  const { vmm, space } = small();
  const device = vmm.openDevice(0x100000, 8);
  const other = Number(space.map({ bytes: P, object: device, offset: 3 * P, type: WRITE_COMBINING }));
  const wish = { bytes: P, object: device, offset: 4 * P, type: UNCACHED, growsDown: true } as const;
  const at = Number(space.map({ ...wish, address: 2 ** 30 }));
  expect(space.fault(at - P, 1)).toBe("unmapped");
  space.unmap(other, P);
  expect(space.fault(at - P, 1)).toBe("minor");
  expect(space.tables.query(at / P - 1)).not.toBe(0);
  expect(space.tables.frame).toBe(0x100003);
  vmm.check();
});
