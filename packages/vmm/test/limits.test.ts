/** What a space may have in frames, and what the kernel has there. */
import { expect, test } from "vitest";

import { MemorySwap, PAGE_2M, PAGE_SIZE, PlainMemory, SpaceMemory, Vmm } from "@pagewright/vmm";

import { rigOf, spaceOf } from "./kit/rig.ts";
import { leafAt, mapLarge, plainBench } from "./large/kit.ts";

test("a space with a resident limit puts out its own pages, and no other space's", () => {
  const memory = new PlainMemory(256);
  const vmm = new Vmm({ frames: memory, window: memory, swap: [new MemorySwap(512)] });
  const [small, other] = [spaceOf(vmm), spaceOf(vmm)];
  small.limits.residentPages = 8;
  const [at, there] = [small, other].map((space) => Number(space.map({ bytes: 64 * PAGE_SIZE })));
  const [bytes, others] = [new SpaceMemory(small), new SpaceMemory(other)];
  if (at === undefined || there === undefined) throw new Error("not mapped");
  for (let page = 0; page < 64; page++) {
    expect(others.store32(there + page * PAGE_SIZE, page)).toBe(true);
    expect(bytes.store32(at + page * PAGE_SIZE, page + 100)).toBe(true);
    expect(small.usage().residentPages).toBeLessThanOrEqual(8);
  }
  for (let page = 0; page < 64; page++) expect(bytes.load32(at + page * PAGE_SIZE)).toBe(page + 100);
  expect([small.usage().residentPages, other.usage().residentPages]).toEqual([8, 64]);
  vmm.check();
});

test("pages that others map too only lose the limited space's translation", () => {
  const memory = new PlainMemory(256);
  const vmm = new Vmm({ frames: memory, window: memory, swap: [new MemorySwap(512)] });
  const [small, other] = [spaceOf(vmm), spaceOf(vmm)];
  const object = vmm.createAnonymous(32 * PAGE_SIZE);
  const [at, there] = [small, other].map((space) => Number(space.map({ bytes: 32 * PAGE_SIZE, object, shared: true })));
  if (at === undefined || there === undefined) throw new Error("not mapped");
  for (let page = 0; page < 32; page++) new SpaceMemory(other).store32(there + page * PAGE_SIZE, page);
  small.limits.residentPages = 4;
  for (let page = 0; page < 32; page++) expect(new SpaceMemory(small).load32(at + page * PAGE_SIZE)).toBe(page);
  expect(vmm.residentPages).toBe(32);
  vmm.check();
});

test("a 2M page is no way around the limit", () => {
  const { vmm, space, bytes } = plainBench();
  space.limits.residentPages = 6;
  const vpn = mapLarge(space, 1);
  for (let page = 0; page < 40; page++) expect(bytes.store32((vpn + page) * PAGE_SIZE, page)).toBe(true);
  for (let page = 0; page < 40; page++) expect(bytes.load32((vpn + page) * PAGE_SIZE)).toBe(page);
  expect([vmm.residentPages, leafAt(space, vpn + 39)]).toEqual([6, 1]);
  vmm.check();
});

test("where nothing of the space can leave, the fault is refused and nothing is lost", () => {
  const memory = new PlainMemory(256);
  const vmm = new Vmm({ frames: memory, window: memory });
  const space = spaceOf(vmm);
  const at = Number(space.map({ bytes: 8 * PAGE_SIZE }));
  const bytes = new SpaceMemory(space);
  for (let page = 0; page < 4; page++) bytes.store32(at + page * PAGE_SIZE, page + 1);
  space.limits.residentPages = 4;
  expect(bytes.store32(at + 5 * PAGE_SIZE, 1)).toBe(false);
  expect(bytes.fault).toBe("no-memory");
  for (let page = 0; page < 4; page++) expect(bytes.load32(at + page * PAGE_SIZE)).toBe(page + 1);
  vmm.check();
});

test("kernel memory is swapped where its region is not wired, and wired frames refuse to move and are named", () => {
  const { vmm, cpu, pmm } = rigOf({ residentLimit: 24, swap: [new MemorySwap(512)] });
  const { kernel } = vmm;
  if (kernel === null) throw new Error("no kernel space");
  const loose = Number(kernel.map({ bytes: 64 * PAGE_SIZE }));
  const wired = Number(kernel.map({ bytes: 4 * PAGE_SIZE, locked: "all" }));
  for (let page = 0; page < 4; page++) expect(cpu.store32(wired + page * PAGE_SIZE, page + 500)).toBe(true);
  kernel.tables.query(wired / PAGE_SIZE);
  const { frame } = kernel.tables;
  for (let page = 0; page < 64; page++) expect(cpu.store32(loose + page * PAGE_SIZE, page)).toBe(true);
  for (let page = 0; page < 64; page++) expect(cpu.load32(loose + page * PAGE_SIZE)).toBe(page);
  expect(vmm.stats.swapOuts).toBeGreaterThan(30);
  const faults = vmm.stats.majorFaults + vmm.stats.minorFaults;
  for (let page = 0; page < 4; page++) expect(cpu.load32(wired + page * PAGE_SIZE)).toBe(page + 500);
  expect(vmm.stats.majorFaults + vmm.stats.minorFaults).toBe(faults);
  expect(vmm.migrator.vacate(frame)).toBe("wired");
  const start = Math.floor(frame / 512) * 512;
  const wiredFrames = [0, 1, 2, 3].map((page) => (kernel.tables.query(wired / PAGE_SIZE + page), kernel.tables.frame));
  vmm.core.keeper.emptyStock();
  const offline = pmm.offline({ start, end: start + 512 });
  if (!offline.ok) throw new Error("something other than pages lies in the block");
  const { ok, stuck } = vmm.migrator.evacuate(offline.plan);
  const named = wiredFrames.filter((pfn) => pfn >= start && pfn < start + 512);
  expect([ok, [...stuck].sort((one, two) => one.pfn - two.pfn)]).toEqual([
    false,
    named.sort((one, two) => one - two).map((pfn) => ({ pfn, reason: "wired" })),
  ]);
  expect(cpu.load32(wired)).toBe(500);
  vmm.check();
});

test("locked 2M pages count against the limit of locked pages", () => {
  const { vmm, space } = plainBench();
  space.limits.lockedPages = 511;
  const request = { bytes: PAGE_2M, pageSize: PAGE_2M, locked: "all" } as const;
  expect(space.map(request)).toBe("lock-limit");
  expect([space.mappedPages, vmm.residentPages]).toEqual([0, 0]);
  space.limits.lockedPages = 512;
  expect(typeof space.map(request)).toBe("number");
  expect(space.lockedPages).toBe(512);
  vmm.check();
});

test("pages that are handed over count against the receiver's resident limit", () => {
  const { vmm } = rigOf();
  const [from, into] = [spaceOf(vmm), spaceOf(vmm)];
  const at = Number(from.map({ bytes: PAGE_2M, alignment: PAGE_2M }));
  const bytes = new SpaceMemory(from);
  for (let page = 0; page < 8; page++) bytes.store32(at + page * PAGE_SIZE, page + 1);
  into.limits.residentPages = 7;
  expect(from.transfer(at, PAGE_2M, into)).toBe("no-memory");
  expect([from.usage().residentPages, into.mappedPages]).toEqual([8, 0]);
  into.limits.residentPages = 8;
  const there = Number(from.transfer(at, PAGE_2M, into));
  for (let page = 0; page < 8; page++) expect(new SpaceMemory(into).load32(there + page * PAGE_SIZE)).toBe(page + 1);
  vmm.check();
});

test("a range moves within a space that has passed a limit meanwhile: nothing grows", () => {
  const memory = new PlainMemory(64);
  const vmm = new Vmm({ frames: memory, window: memory });
  const space = spaceOf(vmm);
  const at = Number(space.map({ bytes: 8 * PAGE_SIZE, locked: "all" }));
  Object.assign(space.limits, { pages: 1, lockedPages: 1 });
  const bytes = 8 * PAGE_SIZE;
  const moved = Number(space.remap({ address: at, bytes, newBytes: bytes, mayMove: true, target: 0x10000000 }));
  expect([moved, space.mappedPages, space.lockedPages]).toEqual([0x10000000, 8, 8]);
  expect(space.remap({ address: moved, bytes, newBytes: bytes + PAGE_SIZE })).toBe("size-limit");
  vmm.check();
});
