import { expect, test } from "vitest";

import {
  MemoryBacking,
  MemorySwap,
  PAGE_SIZE,
  PlainMemory,
  SpaceMemory,
  Vmm,
  type AddressSpace,
  type VmmOptions,
} from "@pagewright/vmm";
import { CompressedPool } from "@pagewright/vmm/swap";

import { LateSwap } from "../kit/late-swap.ts";
import { spaceOf } from "../kit/rig.ts";

const PAGES = 256;

interface World {
  readonly vmm: Vmm;
  readonly space: AddressSpace;
  readonly bytes: SpaceMemory;
  readonly at: number;
}

function world(options: Partial<VmmOptions>): World {
  const memory = new PlainMemory(512);
  const vmm = new Vmm({ frames: memory, window: memory, residentLimit: 64, swap: [new MemorySwap(1024)], ...options });
  const space = spaceOf(vmm);
  const at = Number(space.map({ bytes: PAGES * PAGE_SIZE }));
  return { vmm, space, bytes: new SpaceMemory(space), at };
}

function fill(bytes: SpaceMemory, at: number, pages = PAGES): void {
  for (let page = 0; page < pages; page++) bytes.store32(at + page * PAGE_SIZE, page + 1);
}

test("a walk through swapped memory waits for a few pages only, and the counts say why", () => {
  const { vmm, bytes, at } = world({});
  fill(bytes, at);
  const { majorFaults } = vmm.stats;
  for (let page = 0; page < PAGES; page++) expect(bytes.load32(at + page * PAGE_SIZE)).toBe(page + 1);
  expect(vmm.stats.majorFaults - majorFaults).toBeLessThan(PAGES / 6);
  expect(vmm.stats.fetchedAhead).toBeGreaterThan(PAGES / 2);
  expect(vmm.stats.prefetchHits).toBeGreaterThan(0.9 * vmm.stats.fetchedAhead);
  expect(vmm.stats.prefetchHits + vmm.stats.prefetchWaste).toBeLessThanOrEqual(vmm.stats.fetchedAhead);
  vmm.check();
});

test("misses without a neighbourhood fetch next to nothing ahead", () => {
  const { vmm, bytes, at } = world({});
  fill(bytes, at);
  for (let round = 0; round < PAGES; round++) {
    const page = (round * 101) % PAGES;
    expect(bytes.load32(at + page * PAGE_SIZE)).toBe(page + 1);
  }
  expect(vmm.stats.fetchedAhead).toBeLessThan(PAGES / 8);
  vmm.check();
});

test("with readAhead 0, and from compressed memory, nothing is fetched ahead", () => {
  const memory = new PlainMemory(512);
  const pool = new CompressedPool({ frames: memory, window: memory, limitFrames: 256, slots: 1024 });
  for (const options of [{ readAhead: 0 }, { frames: memory, window: memory, swap: [pool] }]) {
    const { vmm, bytes, at } = world(options);
    fill(bytes, at);
    for (let page = 0; page < PAGES; page++) expect(bytes.load32(at + page * PAGE_SIZE)).toBe(page + 1);
    expect(vmm.stats.fetchedAhead).toBe(0);
  }
});

test("advice `random` ends it for the region", () => {
  const { vmm, space, bytes, at } = world({});
  space.advise(at, PAGES * PAGE_SIZE, "random");
  fill(bytes, at);
  for (let page = 0; page < PAGES; page++) bytes.load32(at + page * PAGE_SIZE);
  expect(vmm.stats.fetchedAhead).toBe(0);
});

test("neighbours come from a store that answers later, too", async () => {
  const { vmm, space, bytes, at } = world({ swap: [new LateSwap(1024)] });
  const patient = async (access: () => boolean): Promise<void> => {
    while (!access()) await space.pending;
  };
  for (let page = 0; page < PAGES; page++) await patient(() => bytes.store32(at + page * PAGE_SIZE, page + 1));
  await vmm.settled();
  for (let page = 0; page < PAGES; page++) {
    let value = -1;
    await patient(() => (value = bytes.load32(at + page * PAGE_SIZE)) >= 0);
    expect(value).toBe(page + 1);
  }
  expect(vmm.stats.prefetchHits).toBeGreaterThan(PAGES / 3);
  await vmm.settled();
  vmm.check();
});

test("in idle time pages that left last come back into frames that nobody needs", () => {
  const { vmm, space, bytes, at } = world({ readAhead: 0 });
  fill(bytes, at, 128);
  space.unmap(at + 96 * PAGE_SIZE, 32 * PAGE_SIZE);
  const resident = vmm.residentPages;
  expect(resident).toBeLessThan(40);
  expect(vmm.background(8)).toBe(0); // Stores were used just now.
  expect(vmm.background(8)).toBe(8);
  expect(vmm.background(100)).toBeGreaterThan(0);
  expect(vmm.residentPages).toBeLessThanOrEqual(56); // An eighth stays free.
  expect(vmm.residentPages).toBeGreaterThan(resident + 8);
  const { majorFaults } = vmm.stats;
  for (let page = 95; page >= 0; page--) expect(bytes.load32(at + page * PAGE_SIZE)).toBe(page + 1);
  expect(vmm.stats.prefetchHits).toBeGreaterThan(8);
  expect(vmm.stats.majorFaults - majorFaults).toBeLessThan(96 - resident - 8);
  vmm.check();
});

test("a sequential read of a file that just fits drops nothing, at its end either", () => {
  const { vmm, space, bytes } = world({ residentLimit: 128 });
  const file = vmm.openFile(new MemoryBacking(128 * PAGE_SIZE));
  const there = Number(space.map({ bytes: 128 * PAGE_SIZE, object: file, shared: true }));
  for (let page = 0; page < 128; page++) expect(bytes.load32(there + page * PAGE_SIZE)).toBe(0);
  expect(vmm.residentPages).toBe(128);
  expect(vmm.stats).toMatchObject({ droppedBehind: 0, evictions: 0 });
  vmm.check();
});

test("a long sequential read of a file drops what lies behind it, not what others use", () => {
  const { vmm, space, bytes, at } = world({ residentLimit: 128 });
  fill(bytes, at, 40);
  const file = vmm.openFile(new MemoryBacking(1024 * PAGE_SIZE));
  const there = Number(space.map({ bytes: 1024 * PAGE_SIZE, object: file, shared: true }));
  const { swapOuts } = vmm.stats;
  for (let page = 0; page < 1024; page++) {
    expect(bytes.load32(there + page * PAGE_SIZE)).toBe(0);
    bytes.load32(at + (page % 40) * PAGE_SIZE);
  }
  expect(vmm.stats.droppedBehind).toBeGreaterThan(700);
  expect(vmm.stats.majorFaults).toBeLessThan(300);
  expect(vmm.stats.swapOuts - swapOuts).toBeLessThan(40);
  vmm.check();
});

test.each([
  ["sequential", 1],
  ["strided", 8],
])("a file that is read %s is fetched ahead", (_, stride) => {
  const { vmm, space, bytes } = world({ residentLimit: 400, faultAround: 1 });
  const file = vmm.openFile(new MemoryBacking(1024 * PAGE_SIZE));
  const there = Number(space.map({ bytes: 1024 * PAGE_SIZE, object: file, shared: true }));
  for (let page = 0; page < 100; page++) bytes.load32(there + page * stride * PAGE_SIZE);
  expect(vmm.stats.majorFaults).toBeLessThan(12);
  expect(vmm.stats.prefetchHits).toBeGreaterThan(85);
  expect(file.readAhead?.stats()).toMatchObject({
    pattern: stride === 1 ? "sequential" : "strided",
    stride,
    window: 32,
  });
  file.readAhead?.check();
});
