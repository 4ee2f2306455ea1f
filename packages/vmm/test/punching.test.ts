/** Holes in shared memory while a processor stores to it: only the dirty bits of translations know of what was stored last. */
import { expect, test } from "vitest";

import { MemoryBacking, PAGE_SIZE, type AddressSpace, type FileObject } from "@pagewright/vmm";

import { rigOf, spaceOf, type Rig } from "./kit/rig.ts";

const PAGES = 8;

interface Bench extends Rig {
  readonly backing: MemoryBacking;
  readonly file: FileObject;
  readonly space: AddressSpace;
  /** Where the file is mapped, shared. */
  readonly at: number;
}

function bench(): Bench {
  const rig = rigOf();
  const backing = new MemoryBacking(new Uint8Array(PAGES * PAGE_SIZE).fill(85));
  const file = rig.vmm.openFile(backing);
  const space = spaceOf(rig.vmm);
  const at = Number(space.map({ bytes: PAGES * PAGE_SIZE, object: file, shared: true }));
  space.activate(0);
  return { ...rig, backing, file, space, at };
}

/** First byte of each page in the store. */
function firstBytes(backing: MemoryBacking): number[] {
  const { bytes } = backing;
  return Array.from({ length: PAGES }, (_, page) => bytes[page * PAGE_SIZE] ?? -1);
}

test("a page that was stored to and then punched out is zero and is written nowhere", () => {
  const { vmm, cpu, backing, file, space, at } = bench();
  expect(cpu.store32(at + 3 * PAGE_SIZE, 7)).toBe(true);
  expect(space.advise(at + 2 * PAGE_SIZE, 2 * PAGE_SIZE, "remove")).toBe("ok");
  expect(file.dirtyPages).toBe(0);
  vmm.check();
  expect(space.sync(at, PAGES * PAGE_SIZE)).toBe("ok");
  expect(firstBytes(backing)).toEqual([85, 85, 0, 0, 85, 85, 85, 85]);
  expect([2, 3, 4].map((page) => cpu.load8(at + page * PAGE_SIZE))).toEqual([0, 0, 85]);
  vmm.check();
});

test("pages that take the records of those that were punched out are their own", () => {
  const { vmm, cpu, backing, file, space, at } = bench();
  const other = Number(space.map({ bytes: PAGES * PAGE_SIZE }));
  for (let round = 0; round < 4; round++) {
    for (let page = 0; page < PAGES; page++) expect(cpu.store32(at + page * PAGE_SIZE, 7)).toBe(true);
    expect(file.punch(PAGE_SIZE, (PAGES - 1) * PAGE_SIZE)).toBe("ok");
    for (let page = 0; page < PAGES; page++) expect(cpu.store32(other + page * PAGE_SIZE, 99)).toBe(true);
    expect(space.sync(at, PAGES * PAGE_SIZE)).toBe("ok");
    expect(firstBytes(backing)).toEqual([7, 0, 0, 0, 0, 0, 0, 7]);
    vmm.check();
  }
});

test("a file that is cut off while it is stored to keeps what lies before, and nothing is written beyond", () => {
  const { vmm, cpu, backing, file, space, at } = bench();
  for (let page = 0; page < PAGES; page++) expect(cpu.store32(at + page * PAGE_SIZE, 7)).toBe(true);
  expect(file.resize(2 * PAGE_SIZE)).toBe("ok");
  expect(file.resize(PAGES * PAGE_SIZE)).toBe("ok");
  expect(space.sync(at, PAGES * PAGE_SIZE)).toBe("ok");
  expect(firstBytes(backing)).toEqual([7, 7, 0, 0, 0, 0, 0, 0]);
  expect(cpu.load32(at + 2 * PAGE_SIZE)).toBe(0);
  vmm.check();
});

test("a device that goes on writing to a page which was cut off writes into no file", () => {
  const { vmm, backing, file, space, at } = bench();
  const transfer = vmm.beginTransfer(space, at + 3 * PAGE_SIZE, PAGE_SIZE, "from-device");
  if (typeof transfer === "string") throw new Error(transfer);
  expect(file.resize(PAGE_SIZE)).toBe("ok");
  transfer.complete();
  expect([file.dirtyPages, vmm.residentPages]).toEqual([0, 0]);
  expect(file.resize(PAGES * PAGE_SIZE)).toBe("ok");
  expect(space.sync(at, PAGES * PAGE_SIZE)).toBe("ok");
  expect(firstBytes(backing)).toEqual([85, 0, 0, 0, 0, 0, 0, 0]);
  vmm.check();
});
