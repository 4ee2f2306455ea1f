import { expect, test } from "vitest";

import { MemoryBacking, MemorySwap, PAGE_SIZE, PlainMemory, SpaceMemory, Vmm } from "@pagewright/vmm";

import { rigOf, spaceOf } from "./kit/rig.ts";

test("background work keeps a sixteenth of the limit free, in bounded steps", () => {
  const memory = new PlainMemory(300);
  const vmm = new Vmm({ frames: memory, window: memory, swap: [new MemorySwap(1000)], residentLimit: 160 });
  const space = spaceOf(vmm);
  const bytes = new SpaceMemory(space);
  const at = Number(space.map({ bytes: 400 * PAGE_SIZE }));
  for (let page = 0; page < 400; page++) bytes.store32(at + page * PAGE_SIZE, page);
  expect(vmm.residentPages).toBe(160);
  expect(vmm.background(4)).toBe(4);
  expect(vmm.background(100)).toBe(6);
  expect(vmm.background(100)).toBe(0);
  expect(vmm.residentPages).toBe(150);
  for (let page = 0; page < 400; page++) expect(bytes.load32(at + page * PAGE_SIZE)).toBe(page);
  vmm.check();
});

test("before anything is swapped, purgeable ranges go, then caches are asked", () => {
  const memory = new PlainMemory(300);
  const vmm = new Vmm({ frames: memory, window: memory, swap: [new MemorySwap(1000)], residentLimit: 64 });
  const space = spaceOf(vmm);
  const bytes = new SpaceMemory(space);
  const at = Number(space.map({ bytes: 200 * PAGE_SIZE }));
  const cache = vmm.makePurgeable(space, at, 16 * PAGE_SIZE);
  for (let page = 0; page < 16; page++) bytes.store32(at + page * PAGE_SIZE, page + 1);
  cache.release();
  expect(cache.hold()).toBe("intact");
  expect(bytes.load32(at)).toBe(1);
  cache.release();
  const asked: number[] = [];
  vmm.pressure.addShrinker({
    name: "images",
    priority: 1,
    shrink: (pages) => {
      asked.push(pages);
      return 0;
    },
  });
  for (let page = 16; page < 70; page++) expect(bytes.store32(at + page * PAGE_SIZE, page)).toBe(true);
  expect(vmm.stats.swapOuts).toBe(0);
  expect(cache.hold()).toBe("purged");
  expect(bytes.load32(at)).toBe(0);
  for (let page = 70; page < 120; page++) bytes.store32(at + page * PAGE_SIZE, page);
  expect(asked.length).toBeGreaterThan(0);
  expect(vmm.stats.swapOuts).toBeGreaterThan(0);
  for (let page = 16; page < 120; page++) expect(bytes.load32(at + page * PAGE_SIZE)).toBe(page);
  vmm.check();
});

test("a file read in order is fetched ahead, one read at random is not", () => {
  const memory = new PlainMemory(600);
  const vmm = new Vmm({ frames: memory, window: memory, faultAround: 1 });
  const space = spaceOf(vmm);
  const bytes = new SpaceMemory(space);
  const file = vmm.openFile(new MemoryBacking(200 * PAGE_SIZE));
  const at = Number(space.map({ bytes: 200 * PAGE_SIZE, object: file }));
  for (let page = 0; page < 200; page++) bytes.load8(at + page * PAGE_SIZE);
  expect(vmm.stats.majorFaults).toBeLessThan(20);
  expect(vmm.stats.prefetchHits).toBeGreaterThan(150);
  const other = vmm.openFile(new MemoryBacking(200 * PAGE_SIZE));
  const there = Number(space.map({ bytes: 200 * PAGE_SIZE, object: other }));
  const before = vmm.stats.prefetched;
  for (let page = 0; page < 60; page++) bytes.load8(there + ((page * 67) % 200) * PAGE_SIZE);
  expect(vmm.stats.prefetched - before).toBeLessThan(12);
  vmm.check();
});

test("unmapping interrupts nobody where it may be lazy, and frames wait until all have passed", () => {
  const rig = rigOf({ lazyShootdown: true }, 64, 3);
  const { vmm, cpus, control, pmm } = rig;
  const space = spaceOf(vmm);
  for (const cpu of cpus) {
    space.activate(cpu.id);
    cpu.setCpl(3);
  }
  const [one, two] = cpus;
  if (one === undefined || two === undefined) throw new Error("no processors");
  const at = Number(space.map({ bytes: 64 * PAGE_SIZE }));
  for (let page = 0; page < 64; page++) one.store32(at + page * PAGE_SIZE, 7);
  rig.current = 1;
  two.load32(at + PAGE_SIZE);
  rig.current = 0;
  const { interrupts } = control.stats;
  const free = pmm.freeFrames;
  space.unmap(at, 32 * PAGE_SIZE);
  expect(control.stats.interrupts).toBe(interrupts);
  expect(vmm.core.quarantine?.held).toBe(32);
  expect(pmm.freeFrames).toBe(free);
  expect(two.load32(at + PAGE_SIZE)).toBe(7); // Its translation is stale, the frame still holds what it held.
  vmm.background(1);
  expect(pmm.freeFrames).toBe(free);
  control.quiesce(1);
  control.quiesce(2);
  expect(two.load32(at + PAGE_SIZE)).toBe(-1);
  vmm.background(1);
  expect(pmm.freeFrames).toBe(free + 32);
  // An address whose old translation may be alive is not used again before that is over.
  space.unmap(at + 32 * PAGE_SIZE, 16 * PAGE_SIZE);
  expect(vmm.core.quarantine?.held).toBe(16);
  expect(space.map({ bytes: 16 * PAGE_SIZE, address: at + 32 * PAGE_SIZE, placement: "fixed-new" })).toBe(
    at + 32 * PAGE_SIZE,
  );
  expect(vmm.core.quarantine?.held).toBe(0);
  vmm.check();
});

test("usage counts what is whose", () => {
  const memory = new PlainMemory(100);
  const vmm = new Vmm({ frames: memory, window: memory, zeroFrame: false });
  const space = spaceOf(vmm);
  const at = Number(space.map({ bytes: 10 * PAGE_SIZE }));
  const bytes = new SpaceMemory(space);
  for (let page = 0; page < 4; page++) bytes.store8(at + page * PAGE_SIZE, 1);
  const clone = space.clone();
  bytes.store8(at, 2);
  expect(space.usage()).toMatchObject({ virtualPages: 10, residentPages: 4, proportionalPages: 2.5, uniquePages: 1 });
  expect(space.usageText()).toContain("resident");
  clone?.destroy();
  expect(space.usage()).toMatchObject({ uniquePages: 4 });
});

test("where swap is full, copies of pages that are in frames are given up first", () => {
  const memory = new PlainMemory(64);
  const vmm = new Vmm({ frames: memory, window: memory, residentLimit: 16, swap: [new MemorySwap(33)], readAhead: 0 });
  const space = spaceOf(vmm);
  const at = Number(space.map({ bytes: 48 * PAGE_SIZE }));
  const bytes = new SpaceMemory(space);
  for (let page = 0; page < 48; page++) expect(bytes.store32(at + page * PAGE_SIZE, page + 1)).toBe(true);
  // 48 pages in 16 frames and 33 slots: a page that came in leaves its slot to the next one that goes.
  for (let round = 0; round < 3; round++)
    for (let page = 0; page < 48; page++) expect(bytes.load32(at + page * PAGE_SIZE)).toBe(page + 1);
  vmm.check();
});

test("dirty pages of a file that are neighbours leave in one write", () => {
  let writes = 0;
  class Counting extends MemoryBacking {
    override write(offset: number, from: Uint8Array): "ok" | "full" | "failed" {
      writes++;
      return super.write(offset, from);
    }
  }
  const memory = new PlainMemory(64);
  const vmm = new Vmm({ frames: memory, window: memory, residentLimit: 40 });
  const backing = new Counting(200 * PAGE_SIZE);
  const file = vmm.openFile(backing);
  for (let page = 0; page < 200; page++) file.write(page * PAGE_SIZE, Uint8Array.of(page + 1));
  expect(vmm.stats.fileWrites).toBeGreaterThanOrEqual(160);
  expect(writes).toBeLessThan(40);
  expect(file.sync(file.cursor())).toBe("ok");
  const { bytes } = backing;
  for (let page = 0; page < 200; page++) expect(bytes[page * PAGE_SIZE]).toBe((page + 1) & 255);
  vmm.check();
});
