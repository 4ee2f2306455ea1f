import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { expect, test } from "vitest";

import { MemorySwap, PAGE_SIZE, PlainMemory, READ, SpaceMemory, Vmm, WRITE, type AddressSpace } from "@pagewright/vmm";
import { FileBacking, FileSwap } from "@pagewright/vmm/node";

function spaceOf(vmm: Vmm): AddressSpace {
  const space = vmm.createSpace();
  if (space === null) throw new Error("no space");
  return space;
}

test("untouched memory reads as zero and keeps what is stored", () => {
  const memory = new PlainMemory(64);
  const vmm = new Vmm({ frames: memory, window: memory });
  const space = spaceOf(vmm);
  const at = Number(space.map({ bytes: 10 * PAGE_SIZE }));
  const bytes = new SpaceMemory(space);
  expect(bytes.load32(at + 4)).toBe(0);
  expect(bytes.store32(at + 4, 0xdeadbeef)).toBe(true);
  expect(bytes.load32(at + 4)).toBe(0xdeadbeef);
  expect(bytes.load8(at + 10 * PAGE_SIZE)).toBe(-1);
  expect(bytes.fault).toBe("unmapped");
  vmm.check();
  space.destroy();
  vmm.close();
  vmm.check();
  expect(memory.freeFrames).toBe(64);
});

test("more pages than frames survive by swap to a real file", () => {
  const folder = mkdtempSync(join(tmpdir(), "vmm-"));
  const swap = new FileSwap(join(folder, "swap"), 1000);
  const memory = new PlainMemory(40);
  const vmm = new Vmm({ frames: memory, window: memory, swap: [swap], residentLimit: 20 });
  const space = spaceOf(vmm);
  const at = Number(space.map({ bytes: 200 * PAGE_SIZE }));
  const bytes = new SpaceMemory(space);
  for (let round = 0; round < 3; round++) {
    for (let page = 0; page < 200; page++)
      expect(bytes.store32(at + page * PAGE_SIZE + 8 * round, page * 7 + round)).toBe(true);
    vmm.check();
    for (let page = 0; page < 200; page++)
      expect(bytes.load32(at + page * PAGE_SIZE + 8 * round)).toBe(page * 7 + round);
    expect(vmm.residentPages).toBe(20);
  }
  vmm.check();
  expect(vmm.stats.evictions).toBeGreaterThan(500);
  space.destroy();
  vmm.close();
  expect(memory.freeFrames).toBe(40);
  swap.close();
  rmSync(folder, { recursive: true });
});

test("a file larger than memory is read and written through mappings", () => {
  const folder = mkdtempSync(join(tmpdir(), "vmm-"));
  const path = join(folder, "file");
  const content = new Uint8Array(100 * PAGE_SIZE + 123).map((_, at) => (at * 31) & 255);
  writeFileSync(path, content);
  const memory = new PlainMemory(20);
  const vmm = new Vmm({ frames: memory, window: memory, residentLimit: 10 });
  const space = spaceOf(vmm);
  const backing = new FileBacking(path);
  const file = vmm.openFile(backing);
  const at = Number(space.map({ bytes: content.length, object: file, shared: true, rights: READ + WRITE }));
  const copy = new Uint8Array(content.length);
  const bytes = new SpaceMemory(space);
  expect(bytes.copyOut(at, copy)).toBe(content.length);
  expect(Buffer.compare(copy, content)).toBe(0);
  for (let page = 0; page < 100; page += 3) expect(bytes.store8(at + page * PAGE_SIZE + 1, 99)).toBe(true);
  expect(space.sync(at, content.length)).toBe("ok");
  for (let page = 0; page < 100; page += 3) content[page * PAGE_SIZE + 1] = 99;
  expect(Buffer.compare(readFileSync(path), content)).toBe(0);
  vmm.check();
  space.destroy();
  file.close();
  backing.close();
  vmm.close();
  expect(memory.freeFrames).toBe(20);
  rmSync(folder, { recursive: true });
});

test("a clone shares pages until one side stores, and the last sharer does not copy", () => {
  const memory = new PlainMemory(64);
  const vmm = new Vmm({ frames: memory, window: memory, swap: [new MemorySwap(64)] });
  const space = spaceOf(vmm);
  const at = Number(space.map({ bytes: 4 * PAGE_SIZE }));
  const one = new SpaceMemory(space);
  for (let page = 0; page < 4; page++) one.store32(at + page * PAGE_SIZE, 100 + page);
  const clone = space.clone();
  if (clone === null) throw new Error("no clone");
  vmm.check();
  const two = new SpaceMemory(clone);
  expect(vmm.residentPages).toBe(4);
  expect(two.load32(at)).toBe(100);
  two.store32(at, 7);
  expect(one.load32(at)).toBe(100);
  expect(two.load32(at)).toBe(7);
  expect(vmm.stats.copyFaults).toBe(1);
  one.store32(at, 8);
  expect(vmm.stats.copyFaults).toBe(1);
  one.store32(at + PAGE_SIZE, 9);
  expect(two.load32(at + PAGE_SIZE)).toBe(101);
  vmm.check();
  clone.destroy();
  vmm.check();
  space.destroy();
  vmm.close();
  vmm.check();
  expect(memory.freeFrames).toBe(64);
});
