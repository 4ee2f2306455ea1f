/** When the dirty pages of a file are written, and how many at once. */
import { beforeEach, expect, test } from "vitest";

import {
  ManualClock,
  MemoryBacking,
  PAGE_SIZE,
  PlainMemory,
  SpaceMemory,
  Vmm,
  type AddressSpace,
  type FileObject,
  type IoOutcome,
  type VmmOptions,
} from "@pagewright/vmm";

const PAGES = 100;

/** A file that notes what is written: first page and bytes. */
class Noting extends MemoryBacking {
  writes: [page: number, bytes: number][] = [];
  fails = false;
  /** Writes that succeed. */
  limit = Infinity;
  /** Whether everything that is asked of it throws. */
  throws = false;
  override read(offset: number, into: Uint8Array): IoOutcome {
    this.#demand();
    return super.read(offset, into);
  }
  override sync(): IoOutcome {
    this.#demand();
    return super.sync();
  }
  override resize(size: number): IoOutcome {
    this.#demand();
    return super.resize(size);
  }
  override write(offset: number, from: Uint8Array): IoOutcome {
    this.#demand();
    if (this.fails || this.writes.length >= this.limit) return "failed";
    this.writes.push([offset / PAGE_SIZE, from.length]);
    return super.write(offset, from);
  }
  #demand(): void {
    if (this.throws) throw new RangeError("the disk is gone");
  }
}

let backing: Noting;
let clock: ManualClock;
let vmm: Vmm;
let file: FileObject;
let space: AddressSpace;
let bytes: SpaceMemory;
let at: number;

function start(options: Partial<VmmOptions> = {}): void {
  const memory = new PlainMemory(256);
  backing = new Noting(PAGES * PAGE_SIZE - 100);
  clock = new ManualClock();
  vmm = new Vmm({ frames: memory, window: memory, clock, ...options });
  file = vmm.openFile(backing);
  const made = vmm.createSpace();
  if (made === null) throw new Error("no space");
  space = made;
  at = Number(space.map({ bytes: PAGES * PAGE_SIZE, object: file, shared: true }));
  bytes = new SpaceMemory(space);
}

beforeEach(() => {
  start();
});

function storeTo(first: number, end: number, value = 7): void {
  for (let page = first; page < end; page++) expect(bytes.store32(at + page * PAGE_SIZE, value)).toBe(true);
}

function stored(page: number): number {
  return new DataView(backing.bytes.buffer).getUint32(page * PAGE_SIZE, true);
}

test("sync writes pages in a row together, 32 at most, and the tail of the last page never", () => {
  storeTo(2, 5);
  storeTo(10, 11);
  storeTo(50, PAGES);
  expect(backing.writes).toEqual([]);
  expect(space.sync(at, PAGES * PAGE_SIZE)).toBe("ok");
  expect(backing.writes).toEqual([
    [2, 3 * PAGE_SIZE],
    [10, PAGE_SIZE],
    [50, 32 * PAGE_SIZE],
    [82, 18 * PAGE_SIZE - 100],
  ]);
  backing.writes = [];
  expect(space.sync(at, PAGES * PAGE_SIZE)).toBe("ok");
  expect(backing.writes).toEqual([]);
});

test("sync of a range leaves the pages beside it dirty", () => {
  storeTo(0, 8);
  expect(space.sync(at + 2 * PAGE_SIZE, 3 * PAGE_SIZE)).toBe("ok");
  expect([backing.writes, file.dirtyPages]).toEqual([[[2, 3 * PAGE_SIZE]], 5]);
});

test("pages that have been dirty for long are written, younger ones wait", () => {
  storeTo(0, 4);
  file.harvestDirty(0, PAGES);
  clock.advance(5000);
  storeTo(20, 22);
  file.harvestDirty(0, PAGES);
  clock.advance(1000);
  expect(vmm.writeBackOlderThan(3000)).toBe(4);
  expect(backing.writes).toEqual([[0, 4 * PAGE_SIZE]]);
  expect(vmm.writeBackOlderThan(3000)).toBe(0);
  clock.advance(3000);
  expect(vmm.writeBackOlderThan(3000)).toBe(2);
  expect(file.dirtyPages).toBe(0);
});

test("a page that must leave takes its dirty neighbours' writes along: few large writes instead of many small ones", () => {
  start({ residentLimit: 40 });
  storeTo(0, PAGES);
  storeTo(0, PAGES, 8);
  expect(vmm.residentPages).toBeLessThanOrEqual(40);
  const pages = backing.writes.reduce((sum, [, length]) => sum + Math.ceil(length / PAGE_SIZE), 0);
  expect(pages).toBeGreaterThanOrEqual(PAGES);
  expect(backing.writes.length).toBeLessThan(pages / 4);
  expect(Math.max(...backing.writes.map(([, length]) => length))).toBeLessThanOrEqual(32 * PAGE_SIZE);
  expect(space.sync(at, PAGES * PAGE_SIZE)).toBe("ok");
  for (let page = 0; page < PAGES; page++) expect(stored(page)).toBe(8);
  vmm.check();
});

test("a store after a neighbour's write-back is not lost", () => {
  start({ residentLimit: 40 });
  for (let round = 1; round <= 6; round++)
    for (let page = 0; page < PAGES; page += 1 + (round % 3)) {
      expect(bytes.store32(at + page * PAGE_SIZE, round)).toBe(true);
      expect(bytes.load32(at + page * PAGE_SIZE)).toBe(round);
    }
  expect(space.sync(at, PAGES * PAGE_SIZE)).toBe("ok");
  for (let page = 0; page < PAGES; page++) expect(stored(page)).toBe(bytes.load32(at + page * PAGE_SIZE));
});

test("while writes fail no dirty page leaves and nothing is lost; each caller of sync hears of it once", () => {
  start({ residentLimit: 40 });
  storeTo(0, 40);
  backing.fails = true;
  expect(bytes.store32(at + 50 * PAGE_SIZE, 1)).toBe(false);
  expect(bytes.fault).toBe("no-memory");
  for (let page = 0; page < 40; page++) expect(bytes.load32(at + page * PAGE_SIZE)).toBe(7);
  const [one, two] = [{ seen: 0 }, { seen: 0 }];
  expect(file.sync(one)).toBe("failed");
  backing.fails = false;
  expect([file.sync(one), file.sync(two), file.sync(two)]).toEqual(["ok", "failed", "ok"]);
  for (let page = 0; page < 40; page++) expect(stored(page)).toBe(7);
  vmm.check();
});

test("each space hears of a failed write once at its sync, clones too, however many regions of the file lie in the range", () => {
  const twice = Number(
    space.map({
      bytes: PAGES * PAGE_SIZE,
      object: file,
      shared: true,
      address: at - PAGES * PAGE_SIZE,
      placement: "fixed-new",
    }),
  );
  const other = vmm.createSpace();
  const there = Number(other?.map({ bytes: PAGES * PAGE_SIZE, object: file, shared: true }));
  storeTo(3, 5);
  backing.fails = true;
  expect(space.sync(twice, 2 * PAGES * PAGE_SIZE)).toBe("failed");
  backing.fails = false;
  const clone = space.clone();
  const outcomes = [
    space.sync(twice, PAGE_SIZE),
    other?.sync(there + 50 * PAGE_SIZE, PAGE_SIZE),
    other?.sync(there, PAGES * PAGE_SIZE),
    clone?.sync(at, PAGE_SIZE),
    clone?.sync(at, PAGE_SIZE),
  ];
  expect(outcomes).toEqual(["ok", "failed", "ok", "failed", "ok"]);
  expect([file.dirtyPages, stored(3), stored(4)]).toEqual([0, 7, 7]);
  vmm.check();
});

test("a hole whose zeroes the store takes in part is there in that part, in frames as in the file", () => {
  start();
  for (let page = 0; page < 4; page++) bytes.store32(at + page * PAGE_SIZE, page + 1);
  expect(space.sync(at, 4 * PAGE_SIZE)).toBe("ok");
  bytes.store32(at + 3 * PAGE_SIZE, 9);
  backing.limit = backing.writes.length + 2;
  expect(space.advise(at, 4 * PAGE_SIZE, "remove")).toBe("failed");
  expect([0, 1, 2, 3].map((page) => bytes.load32(at + page * PAGE_SIZE))).toEqual([0, 0, 3, 9]);
  expect([0, 1, 2, 3].map((page) => backing.bytes[page * PAGE_SIZE])).toEqual([0, 0, 3, 4]);
  expect([space.sync(at, PAGE_SIZE), file.dirtyPages]).toEqual(["failed", 1]);
  vmm.check();
});

test("a store that throws has failed: a bus error on that page alone, what was stored stays dirty, and nothing is lost", () => {
  start({ residentLimit: 20 });
  storeTo(0, 10);
  backing.throws = true;
  expect([bytes.load32(at + 50 * PAGE_SIZE), bytes.fault]).toEqual([-1, "bus"]);
  expect(space.sync(at, PAGES * PAGE_SIZE)).toBe("failed");
  expect([file.resize(PAGE_SIZE), file.punch(0, PAGE_SIZE), file.size]).toEqual(["failed", "failed", backing.size()]);
  expect(file.lastError).toEqual(new RangeError("the disk is gone"));
  for (let page = 0; page < 10; page++) expect(bytes.load32(at + page * PAGE_SIZE)).toBe(7);
  vmm.check();
  backing.throws = false;
  expect(bytes.load32(at + 50 * PAGE_SIZE)).toBe(0);
  for (let page = 10; page < 60; page++) expect(bytes.load32(at + page * PAGE_SIZE)).toBe(0);
  expect(space.sync(at, PAGES * PAGE_SIZE)).toBe("failed"); // Tells of the hole that could not be punched.
  expect(space.sync(at, PAGES * PAGE_SIZE)).toBe("ok");
  for (let page = 0; page < 10; page++) expect(backing.bytes[page * PAGE_SIZE]).toBe(7);
  vmm.check();
});
