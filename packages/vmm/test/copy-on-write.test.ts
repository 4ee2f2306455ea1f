/** Copies on write to the exact count, and the object of zeroes that everything untouched is. */
import { expect, test } from "vitest";

import {
  MemoryBacking,
  MemorySwap,
  PAGE_SIZE,
  PlainMemory,
  READ,
  SpaceMemory,
  USER,
  Vmm,
  WRITE,
  type AddressSpace,
  type VmmOptions,
} from "@pagewright/vmm";

import { spaceOf } from "./kit/rig.ts";

const P = PAGE_SIZE;

function house(options: Partial<VmmOptions> = {}): { vmm: Vmm; memory: PlainMemory; space: AddressSpace } {
  const memory = new PlainMemory(256);
  const vmm = new Vmm({ frames: memory, window: memory, swap: [new MemorySwap(256)], ...options });
  return { vmm, memory, space: spaceOf(vmm) };
}

function cloneOf(space: AddressSpace): AddressSpace {
  const clone = space.clone();
  if (clone === null) throw new Error("no clone");
  return clone;
}

function frameAt(space: AddressSpace, address: number): number {
  space.tables.query(address / P);
  return space.tables.frame;
}

/** References of the private page at an address. */
function refsAt(space: AddressSpace, address: number): number {
  const page = space.sheets.get(address / P)?.anons[(address / P) & 511] ?? -1;
  return space.vmm.core.pages.refs[page] ?? 0;
}

test("of so many sharers all but the last copy, and the last has the frame that was there first", () => {
  const { vmm, space } = house();
  const at = Number(space.map({ bytes: P }));
  new SpaceMemory(space).store32(at, 1);
  const frame = frameAt(space, at);
  const sharers = [space, cloneOf(space), cloneOf(space)];
  sharers.push(cloneOf(sharers[2] ?? space));
  expect(sharers.map((one) => refsAt(one, at))).toEqual([4, 4, 4, 4]);
  const { copyFaults } = vmm.stats;
  for (const [index, sharer] of sharers.entries()) {
    expect(refsAt(sharer, at)).toBe(4 - index);
    expect(new SpaceMemory(sharer).store32(at, 10 + index)).toBe(true);
    expect(refsAt(sharer, at)).toBe(1);
    expect(vmm.stats.copyFaults - copyFaults).toBe(Math.min(index + 1, 3));
    expect(frameAt(sharer, at) === frame).toBe(index === 3);
  }
  expect(sharers.map((one) => new SpaceMemory(one).load32(at))).toEqual([10, 11, 12, 13]);
  expect(vmm.residentPages).toBe(4);
  vmm.check();
});

test("sharers that go without a store leave nothing to copy", () => {
  const { vmm, memory, space } = house();
  const at = Number(space.map({ bytes: 8 * P }));
  const bytes = new SpaceMemory(space);
  for (let page = 0; page < 8; page++) bytes.store32(at + page * P, page);
  const free = memory.freeFrames;
  const [one, two] = [cloneOf(space), cloneOf(space)];
  expect(memory.freeFrames).toBe(free);
  one.destroy();
  two.unmap(at, 4 * P);
  two.advise(at + 4 * P, 4 * P, "dont-need");
  expect(refsAt(space, at)).toBe(1);
  const { copyFaults } = vmm.stats;
  for (let page = 0; page < 8; page++) expect(bytes.store32(at + page * P, 50 + page)).toBe(true);
  expect([vmm.stats.copyFaults, memory.freeFrames]).toEqual([copyFaults, free]);
  vmm.check();
});

test("a shared page in swap is read once, and still copied for all but the last", () => {
  const { vmm, space } = house();
  const at = Number(space.map({ bytes: P }));
  new SpaceMemory(space).store32(at, 5);
  const clone = cloneOf(space);
  vmm.reclaim(8);
  expect(vmm.residentPages).toBe(0);
  expect(new SpaceMemory(clone).store32(at, 6)).toBe(true);
  expect(new SpaceMemory(space).store32(at, 7)).toBe(true);
  expect([vmm.stats.swapIns, vmm.residentPages]).toEqual([1, 2]);
  expect([new SpaceMemory(clone).load32(at), new SpaceMemory(space).load32(at)]).toEqual([6, 7]);
  vmm.check();
});

test("a private mapping of a file copies once for each page that is stored to, and the file stays", () => {
  const { vmm, space } = house();
  const backing = new MemoryBacking(new Uint8Array(4 * P).fill(3));
  const object = vmm.openFile(backing);
  const at = Number(space.map({ bytes: 4 * P, object }));
  const bytes = new SpaceMemory(space);
  bytes.load8(at + P); // Read, so that what follows is a copy and nothing else.
  for (const value of [1, 2]) expect(bytes.store8(at + P, value)).toBe(true);
  expect(vmm.stats.copyFaults).toBe(1);
  expect([bytes.load8(at + P), bytes.load8(at + P + 1), backing.bytes[P]]).toEqual([2, 3, 3]);
  const page = new Uint8Array(1);
  object.read(P, page);
  expect(page[0]).toBe(3);
  vmm.check();
});

test("the object of zeroes: whatever is only loaded, by anybody, is one frame that nobody can store to", () => {
  const { vmm, memory, space } = house();
  const spaces = [space, spaceOf(vmm), spaceOf(vmm)];
  const places = spaces.map((one) => Number(one.map({ bytes: 40 * P })));
  const before = memory.freeFrames;
  for (const [index, one] of spaces.entries())
    for (let page = 0; page < 40; page++) {
      const address = (places[index] ?? 0) + page * P;
      expect(one.fault(address, READ + USER)).toBe("zero");
      expect([frameAt(one, address), one.tables.query(address / P) & WRITE]).toEqual([vmm.faults.zeroFramePfn, 0]);
    }
  expect([memory.freeFrames, vmm.residentPages]).toEqual([before - 1, 0]);
  const bytes = new SpaceMemory(space);
  const [first = 0] = places;
  expect(bytes.store8(first, 7)).toBe(true);
  expect([bytes.load8(first), bytes.load8(first + P), vmm.residentPages]).toEqual([7, 0, 1]);
  const frame = new Uint8Array(P);
  memory.read(vmm.faults.zeroFramePfn, 0, frame);
  expect(frame.every((byte) => byte === 0)).toBe(true);
  vmm.check();
  for (const one of spaces) one.destroy();
  vmm.close();
  expect(memory.freeFrames).toBe(memory.totalFrames);
});

test("the frame of zeroes cannot be moved, and no device is given it", () => {
  const { vmm, space } = house();
  const at = Number(space.map({ bytes: P }));
  space.fault(at, READ + USER);
  expect(vmm.migrator.vacate(vmm.faults.zeroFramePfn)).toBe("not-a-page");
  const transfer = vmm.beginTransfer(space, at, P, "to-device");
  if (typeof transfer === "string") throw new Error(transfer);
  expect(transfer.segments[0]?.address).not.toBe(vmm.faults.zeroFramePfn * P);
  transfer.complete();
  vmm.check();
});

test("idle time fills a stock of zeroed frames, and first stores take them without zeroing", () => {
  const { vmm, memory, space } = house();
  const at = Number(space.map({ bytes: 40 * P }));
  const free = memory.freeFrames;
  const filled = vmm.idle(16);
  expect([filled, vmm.stats.stockedFrames, memory.freeFrames]).toEqual([16, 16, free - 16]);
  const stock = new Set(vmm.core.keeper.stockFrames());
  const { zeroedFrames } = vmm.stats;
  for (let page = 0; page < 16; page++) {
    expect(space.fault(at + page * P, WRITE + USER)).toBe("zero");
    expect(stock.delete(frameAt(space, at + page * P))).toBe(true);
  }
  expect([stock.size, vmm.stats.zeroedFrames, memory.freeFrames]).toEqual([0, zeroedFrames, free - 16]);
  expect(space.fault(at + 16 * P, WRITE + USER)).toBe("zero");
  expect([vmm.stats.zeroedFrames, memory.freeFrames]).toEqual([zeroedFrames + 1, free - 17]);
  expect(vmm.idle(4)).toBe(4);
  vmm.check();
  space.destroy();
  vmm.close();
  expect(memory.freeFrames).toBe(memory.totalFrames);
});
