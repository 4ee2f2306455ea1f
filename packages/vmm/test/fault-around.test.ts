/** Which pages a fault on an object's page maps beside it: those that are in frames, in the aligned window around it, and no other. */
import { expect, test } from "vitest";

import {
  MemoryBacking,
  PAGE_SIZE,
  PlainMemory,
  READ,
  SpaceMemory,
  USER,
  Vmm,
  WRITE,
  type AddressSpace,
  type MapRequest,
  type MemoryObject,
  type VmmOptions,
} from "@pagewright/vmm";

import { spaceOf } from "./kit/rig.ts";

const P = PAGE_SIZE;
const FILE_PAGES = 40;
/** A place that windows of 16 pages begin at. */
const BASE = 4096;

interface Scene {
  readonly vmm: Vmm;
  readonly space: AddressSpace;
  readonly object: MemoryObject;
}

/** A file of 40 pages, all in frames unless `cold`, and a space that has mapped nothing of it. */
function scene(options: Partial<VmmOptions> = {}, cold = false): Scene {
  const memory = new PlainMemory(256);
  const vmm = new Vmm({ frames: memory, window: memory, readAhead: 0, ...options });
  const object = vmm.openFile(new MemoryBacking(FILE_PAGES * P));
  if (!cold) for (let page = 0; page < FILE_PAGES; page++) object.read(page * P, new Uint8Array(1));
  return { vmm, space: spaceOf(vmm), object };
}

function map({ space, object }: Scene, request: Partial<MapRequest> = {}): void {
  const wish = {
    address: BASE * P,
    bytes: FILE_PAGES * P,
    object,
    shared: true,
    placement: "fixed",
    ...request,
  } as const;
  expect(space.map(wish)).toBe(wish.address);
}

/** Pages beyond BASE that have a translation. */
function mapped({ space }: Scene): number[] {
  return Array.from({ length: 128 }, (_, page) => page).filter((page) => space.tables.query(BASE + page) !== 0);
}

function range(start: number, end: number): number[] {
  return Array.from({ length: end - start }, (_, at) => start + at);
}

test("a fault maps the sixteen pages of its window, read-only but for itself, and counts as one", () => {
  const of = scene();
  map(of);
  expect(of.space.fault((BASE + 21) * P, WRITE + USER)).toBe("minor");
  expect(mapped(of)).toEqual(range(16, 32));
  expect(range(16, 32).filter((page) => (of.space.tables.query(BASE + page) & WRITE) !== 0)).toEqual([21]);
  expect([of.vmm.stats.minorFaults, of.vmm.stats.prefetched]).toEqual([1, 15]);
  of.vmm.check();
});

test("the window ends where the region does, on both sides", () => {
  const of = scene();
  map(of, { address: (BASE + 19) * P, bytes: 7 * P, offset: 3 * P });
  of.space.fault((BASE + 20) * P, READ + USER);
  expect(mapped(of)).toEqual(range(19, 26));
  of.space.tables.query(BASE + 19);
  expect(of.vmm.core.frameMap.pageAt(of.space.tables.frame)).toBe(of.object.pages.get(3));
});

test("the window ends where the file does", () => {
  const of = scene();
  map(of, { bytes: 64 * P });
  of.space.fault((BASE + 39) * P, READ + USER);
  expect(mapped(of)).toEqual(range(32, 40));
  expect(of.space.fault((BASE + 40) * P, READ + USER)).toBe("bus");
  of.vmm.check();
});

test("only pages in frames are mapped, and none is read", () => {
  const of = scene({}, true);
  for (const page of [2, 3, 9]) of.object.read(page * P, new Uint8Array(1));
  map(of);
  const { fileReads } = of.vmm.stats;
  of.space.fault(BASE * P, READ + USER);
  expect(mapped(of)).toEqual([0, 2, 3, 9]);
  expect(of.vmm.stats.fileReads).toBe(fileReads + 1);
});

test("private copies and guards beside it stay what they are", () => {
  const of = scene();
  map(of, { shared: false });
  const bytes = new SpaceMemory(of.space);
  bytes.store32((BASE + 5) * P, 7);
  of.space.advise((BASE + 6) * P, P, "guard");
  of.space.tables.query(BASE + 5);
  const { frame } = of.space.tables;
  of.space.protect(BASE * P, FILE_PAGES * P, 0); // All translations go.
  of.space.protect(BASE * P, FILE_PAGES * P, READ + WRITE);
  of.space.fault((BASE + 4) * P, READ + USER);
  expect(mapped(of)).toEqual([...range(0, 5), ...range(7, 16)]);
  expect(bytes.load32((BASE + 5) * P)).toBe(7);
  of.space.tables.query(BASE + 5);
  expect(of.space.tables.frame).toBe(frame);
  of.vmm.check();
});

test.each([
  ["1", { faultAround: 1 }, range(21, 22)],
  ["4", { faultAround: 4 }, range(20, 24)],
  ["64", { faultAround: 64 }, range(0, 40)],
] as const)("a window of %s", (_name, options, pages) => {
  const of = scene(options);
  map(of);
  of.space.fault((BASE + 21) * P, READ + USER);
  expect(mapped(of)).toEqual(pages);
});

test("none where the region is locked page by page, its stores are asked about, or the space's translations are counted", () => {
  const locked = scene();
  map(locked, { locked: "touched" });
  locked.space.fault((BASE + 21) * P, READ + USER);
  expect(mapped(locked)).toEqual([21]);
  const asked = scene();
  map(asked, { writeNotify: true });
  asked.space.fault((BASE + 21) * P, READ + USER);
  expect(mapped(asked)).toEqual([21]);
  const counted = scene();
  counted.space.limits.residentPages = 8;
  map(counted);
  counted.space.fault((BASE + 21) * P, READ + USER);
  expect(mapped(counted)).toEqual([21]);
});

test("what it maps loses its place in memory like everything else, and stores to it are seen", () => {
  const of = scene();
  map(of);
  of.space.fault((BASE + 21) * P, READ + USER);
  const bytes = new SpaceMemory(of.space);
  expect(bytes.store32((BASE + 22) * P, 9)).toBe(true); // One more fault, for the right.
  const found = new Uint8Array(1);
  of.object.read(22 * P, found);
  expect(found[0]).toBe(9);
  of.vmm.reclaim(100);
  expect(mapped(of)).toEqual([]);
  expect(bytes.load32((BASE + 22) * P)).toBe(9);
  of.vmm.check();
});
