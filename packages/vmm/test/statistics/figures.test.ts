/** Rates by the clock, idle pages and access frequencies, the text in the manner of smaps. */
import { expect, test } from "vitest";

import {
  ManualClock,
  MemoryBacking,
  MemorySwap,
  PAGE_SIZE,
  PlainMemory,
  READ,
  SpaceMemory,
  USER,
  Vmm,
  WRITE,
} from "@pagewright/vmm";

import { rigOf, spaceOf } from "../kit/rig.ts";

test("faults and transfers per second are what happened, divided by the time on the clock", () => {
  const clock = new ManualClock();
  const memory = new PlainMemory(100);
  const vmm = new Vmm({
    frames: memory,
    window: memory,
    swap: [new MemorySwap(100)],
    residentLimit: 20,
    clock,
    readAhead: 0,
  });
  const space = spaceOf(vmm);
  const at = Number(space.map({ bytes: 60 * PAGE_SIZE }));
  const bytes = new SpaceMemory(space);
  const [meter, another] = [vmm.rateMeter(), vmm.rateMeter()];
  for (let page = 0; page < 60; page++) bytes.store32(at + page * PAGE_SIZE, page);
  expect(meter.sample()).toMatchObject({ seconds: 0, minorFaults: 0, pagesWritten: 0 });
  clock.advance(2_000_000_000);
  expect(meter.sample()).toMatchObject({
    seconds: 2,
    minorFaults: 30,
    zeroFaults: 30,
    majorFaults: 0,
    pagesWritten: 20,
    evictions: 20,
  });
  const before = vmm.stats.majorFaults;
  for (let page = 0; page < 30; page++) bytes.load32(at + page * PAGE_SIZE);
  const major = vmm.stats.majorFaults - before;
  clock.advance(500_000_000);
  expect(major).toBeGreaterThan(0);
  expect(meter.sample()).toMatchObject({
    seconds: 0.5,
    majorFaults: major * 2,
    pagesFetched: major * 2,
    minorFaults: 0,
  });
  clock.advance(1_000_000_000);
  expect(meter.sample()).toMatchObject({ seconds: 1, majorFaults: 0, pagesFetched: 0, evictions: 0 });
  const whole = another.sample(); // Nobody's samples take anything from another meter.
  expect(whole).toMatchObject({ seconds: 3.5, majorFaults: major / 3.5, minorFaults: 60 / 3.5 });
});

test("samples tell hot pages, pages used once and pages never used apart, by space too, without any shortage", () => {
  const { vmm, cpu } = rigOf();
  const [busy, still] = [spaceOf(vmm), spaceOf(vmm)];
  const idle = Number(still.map({ bytes: 8 * PAGE_SIZE }));
  still.populateNow(idle, 8 * PAGE_SIZE, 2);
  const at = Number(busy.map({ bytes: 32 * PAGE_SIZE }));
  busy.activate(0);
  cpu.setCpl(3);
  for (let page = 0; page < 32; page++) cpu.store32(at + page * PAGE_SIZE, 1);
  vmm.sampleAccesses();
  for (let sample = 0; sample < 12; sample++) {
    for (let page = 0; page < 10; page++) cpu.load32(at + page * PAGE_SIZE);
    vmm.sampleAccesses();
  }
  expect(vmm.usedPages(1)).toBe(10);
  expect(vmm.usedPages(64)).toBe(40);
  const hot = vmm.accessHistogram(busy);
  expect(hot.pages).toBe(32);
  expect(hot.idle[0]).toBe(10); // Used at the last sample.
  expect(hot.idle[4]).toBe(22); // 8 to 15 samples ago.
  expect(hot.frequency[7] ?? 0).toBe(0); // "At every sample" takes more of them.
  expect((hot.frequency[6] ?? 0) + (hot.frequency[5] ?? 0)).toBe(10);
  expect(hot.neverUsed).toBe(0);
  expect(vmm.accessHistogram(still)).toMatchObject({ pages: 8, neverUsed: 8 });
  vmm.check();
});

test("the text has a paragraph for each region, with what is in frames, shared, locked and dirty", () => {
  const memory = new PlainMemory(100);
  const vmm = new Vmm({ frames: memory, window: memory });
  const space = spaceOf(vmm);
  const at = Number(space.map({ bytes: 8 * PAGE_SIZE }));
  const bytes = new SpaceMemory(space);
  for (let page = 0; page < 4; page++) bytes.store8(at + page * PAGE_SIZE, 1);
  space.lock(at, 2 * PAGE_SIZE);
  space.protect(at + 6 * PAGE_SIZE, 2 * PAGE_SIZE, READ);
  const text = space.usageText();
  expect(text.split("\n").filter((line) => line.includes("anonymous")).length).toBe(3);
  expect(text).toMatch(/locked\s+8 KiB/);
  expect(text).toMatch(/dirty\s+8 KiB/);
  const regions = space.usageByRegion();
  expect(regions).toMatchObject([
    { start: at, end: at + 2 * PAGE_SIZE, rights: READ + WRITE + USER, lockedPages: 2, kind: "anonymous", object: -1 },
    { virtualPages: 4, residentPages: 2, lockedPages: 0, shared: false },
    { start: at + 6 * PAGE_SIZE, rights: READ + USER, residentPages: 0 },
  ]);
  expect(vmm.report().spaces.find(({ asid }) => asid === space.asid)?.regions).toEqual(regions);
  expect(space.usage()).toMatchObject({ virtualPages: 8, residentPages: 4, lockedPages: 2, dirtyPages: 4 });
});

test("what happens to a space and an object is counted for each of them, and adds up", () => {
  const clock = new ManualClock();
  const memory = new PlainMemory(100);
  const vmm = new Vmm({
    frames: memory,
    window: memory,
    swap: [new MemorySwap(200)],
    residentLimit: 20,
    clock,
    readAhead: 0,
    faultAround: 1,
  });
  const [one, two] = [spaceOf(vmm), spaceOf(vmm)];
  const file = vmm.openFile(new MemoryBacking(30 * PAGE_SIZE));
  const shared = vmm.createAnonymous(30 * PAGE_SIZE);
  const own = Number(one.map({ bytes: 30 * PAGE_SIZE }));
  const fileAt = Number(two.map({ bytes: 30 * PAGE_SIZE, object: file, shared: true }));
  const sharedAt = Number(two.map({ bytes: 30 * PAGE_SIZE, object: shared, shared: true }));
  const meters = [one, two, file, shared].map((each) => vmm.rateMeter(each));
  for (let round = 0; round < 4; round++)
    for (let page = 0; page < 30; page++) {
      expect(new SpaceMemory(one).store32(own + page * PAGE_SIZE, page)).toBe(true);
      expect(new SpaceMemory(two).store32(fileAt + page * PAGE_SIZE, page)).toBe(true);
      expect(new SpaceMemory(two).store32(sharedAt + page * PAGE_SIZE, page)).toBe(true);
    }
  expect(new SpaceMemory(two).load32(0)).toBe(-1);
  clock.advance(2_000_000_000);
  const rates = meters.map((meter) => meter.sample());
  const sum = (of: readonly number[], name: "pagesFetched" | "pagesWritten" | "evictions" | "majorFaults"): number =>
    of.reduce((total, at) => total + 2 * (rates[at]?.[name] ?? NaN), 0);
  const { stats } = vmm;
  expect(sum([0, 2, 3], "evictions")).toBe(stats.evictions);
  expect(sum([0, 3], "pagesFetched")).toBe(stats.swapIns);
  expect(sum([2], "pagesFetched")).toBe(stats.fileReads);
  expect(sum([0, 3], "pagesWritten")).toBe(stats.swapOuts);
  expect(sum([2], "pagesWritten")).toBe(stats.fileWrites);
  expect(sum([0, 1], "majorFaults")).toBe(stats.majorFaults);
  expect(sum([2, 3], "majorFaults")).toBe(sum([1], "majorFaults"));
  expect([one.events.failedFaults, two.events.failedFaults, file.events.failedFaults]).toEqual([0, 1, 0]);
  expect(one.events).toMatchObject({ zeroFaults: 30, minorFaults: 30 });
  for (const at of [0, 2, 3]) expect(sum([at], "evictions")).toBeGreaterThan(20);
});
