/** Filling ranges: all of it is in frames when it ends as `ok`, and where there are too few frames, nothing has changed. */
import { expect, test } from "vitest";

import {
  MemoryBacking,
  MemorySwap,
  PAGE_2M,
  PAGE_SIZE,
  PlainMemory,
  READ,
  SpaceMemory,
  Vmm,
  WRITE,
  type AddressSpace,
  type Outcome,
  type VmmOptions,
} from "@pagewright/vmm";

import { spaceOf } from "./kit/rig.ts";

const P = PAGE_SIZE;
const AT = 2 ** 30;
const FRAMES = 8;

function small(options: Partial<VmmOptions> = {}): { vmm: Vmm; space: AddressSpace; bytes: SpaceMemory } {
  const memory = new PlainMemory(FRAMES);
  const vmm = new Vmm({ frames: memory, window: memory, zeroFrame: false, readAhead: 0, ...options });
  const space = spaceOf(vmm);
  return { vmm, space, bytes: new SpaceMemory(space) };
}

function residentOf(space: AddressSpace, at: number, pages: number): number {
  const into = new Uint8Array(pages);
  expect(space.residency(at, pages * P, into)).toBe("ok");
  return into.reduce((sum, each) => sum + each, 0);
}

/** Every operation that promises that all pages of a range are in frames. */
const FILLS: [string, (space: AddressSpace, at: number, bytes: number) => Outcome][] = [
  ["makeUsable", (space, at, bytes) => space.makeUsable(at, bytes, READ + WRITE)],
  ["makeUsable for loads", (space, at, bytes) => space.makeUsable(at, bytes, READ)],
  ["populateNow", (space, at, bytes) => space.populateNow(at, bytes, WRITE)],
  ["the advice populate-write", (space, at, bytes) => space.advise(at, bytes, "populate-write")],
  ["the advice populate-read", (space, at, bytes) => space.advise(at, bytes, "populate-read")],
  ["lock", (space, at, bytes) => space.lock(at, bytes)],
];

for (const swap of [[], [new MemorySwap(64)]])
  for (const [name, fill] of FILLS)
    test(`${name} of more pages than frames is refused${swap.length > 0 ? ", though some could be swapped" : ""}`, () => {
      const { vmm, space, bytes } = small({ swap });
      const at = Number(space.map({ bytes: 16 * P }));
      bytes.store32(at + 3 * P, 7);
      expect(fill(space, at, 16 * P)).toBe("no-memory");
      expect(fill(space, at, FRAMES * P)).toBe("ok");
      expect(residentOf(space, at, FRAMES)).toBe(FRAMES);
      expect(bytes.load32(at + 3 * P)).toBe(7);
      vmm.check();
    });

test("makeUsable without enough frames leaves holes and frames as they were", () => {
  const { vmm, space, bytes } = small();
  expect(space.map({ bytes: 2 * P, address: AT + 4 * P, placement: "fixed" })).toBe(AT + 4 * P);
  bytes.store32(AT + 5 * P, 9);
  for (const rights of [READ, READ + WRITE]) {
    expect(space.makeUsable(AT, 16 * P, rights)).toBe("no-memory");
    expect([space.regions.count, space.mappedPages, vmm.residentPages]).toEqual([1, 2, 1]);
    expect(bytes.load32(AT + 5 * P)).toBe(9);
  }
  expect(space.makeUsable(AT, 8 * P, READ + WRITE)).toBe("ok");
  expect(residentOf(space, AT, 8)).toBe(8);
  vmm.check();
});

test("other pages leave for those of the range, and a space's own limit holds", () => {
  const { vmm, space } = small({ swap: [new MemorySwap(64)] });
  const other = spaceOf(vmm);
  const there = Number(other.map({ bytes: 6 * P }));
  for (let page = 0; page < 6; page++) new SpaceMemory(other).store32(there + page * P, page);
  expect(space.makeUsable(AT, 7 * P, READ + WRITE)).toBe("ok");
  expect(residentOf(space, AT, 7)).toBe(7);
  space.limits.residentPages = 4;
  expect(space.makeUsable(AT + 64 * P, 5 * P, READ + WRITE)).toBe("no-memory");
  expect(space.makeUsable(AT + 64 * P, 4 * P, READ + WRITE)).toBe("ok");
  expect(residentOf(space, AT + 64 * P, 4)).toBe(4);
  vmm.check();
});

test("pages of a file are all there together, or the range is refused", () => {
  const { vmm, space } = small();
  const object = vmm.openFile(new MemoryBacking(16 * P));
  const at = Number(space.map({ bytes: 16 * P, object, shared: true }));
  expect(space.populateNow(at, 16 * P, READ)).toBe("no-memory");
  expect(space.populateNow(at + 4 * P, 8 * P, READ)).toBe("ok");
  expect(residentOf(space, at + 4 * P, 8)).toBe(8);
  vmm.check();
});

test("a request to populate a new region fills what there are frames for", () => {
  const { vmm, space } = small();
  const at = Number(space.map({ bytes: 16 * P, populate: true }));
  expect(residentOf(space, at, 16)).toBe(FRAMES);
  expect(residentOf(space, at, FRAMES)).toBe(FRAMES);
  vmm.check();
});

test("2M pages that were filled in vain are free again", () => {
  const memory = new PlainMemory(2048);
  const vmm = new Vmm({ frames: memory, window: memory, largePages: "always", residentLimit: 1100 });
  const space = spaceOf(vmm);
  const at = Number(space.map({ bytes: 3 * PAGE_2M, alignment: PAGE_2M }));
  expect(space.populateNow(at, 3 * PAGE_2M, WRITE)).toBe("no-memory");
  expect(vmm.residentPages).toBe(0);
  expect(space.populateNow(at, 2 * PAGE_2M, WRITE)).toBe("ok");
  expect(vmm.residentPages).toBe(1024);
  vmm.check();
});
