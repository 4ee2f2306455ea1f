/** What is promised, and what nothing costs. */
import { expect, test } from "vitest";

import { PAGE_SIZE, PlainMemory, SpaceMemory, Vmm, type AddressSpace, type CommitPolicy } from "@pagewright/vmm";

import { rigOf, spaceOf } from "./kit/rig.ts";

function promising(commit: CommitPolicy): { vmm: Vmm; space: AddressSpace } {
  const memory = new PlainMemory(64);
  const vmm = new Vmm({ frames: memory, window: memory, commit, commitLimit: 100 });
  return { vmm, space: spaceOf(vmm) };
}

const bytes = (pages: number): { bytes: number } => ({ bytes: pages * PAGE_SIZE });

test("strict: the sum of all promises stays within the limit, whatever is used of it", () => {
  const { vmm, space } = promising("strict");
  expect(typeof space.map(bytes(60))).toBe("number");
  expect(space.map(bytes(41))).toBe("commit-limit");
  expect(typeof space.map(bytes(40))).toBe("number");
  expect(space.clone()).toBe(null);
  expect(vmm.commit.charged).toBe(100);
  vmm.check();
});

test("heuristic: one request beyond all there is fails, many smaller ones do not", () => {
  const { vmm, space } = promising("heuristic");
  expect(space.map(bytes(101))).toBe("commit-limit");
  for (let request = 0; request < 5; request++) expect(typeof space.map(bytes(100))).toBe("number");
  expect(vmm.commit.charged).toBe(500);
  vmm.check();
});

test("unlimited: every request is promised", () => {
  const { vmm, space } = promising("unlimited");
  expect(typeof space.map(bytes(2 ** 20))).toBe("number");
  vmm.check();
});

test("only private pages that may be stored to are promised, from the moment when they may be", () => {
  const { vmm, space } = promising("strict");
  const object = vmm.createAnonymous(200 * PAGE_SIZE);
  expect(typeof space.map({ ...bytes(200), object, shared: true })).toBe("number");
  const at = Number(space.map({ ...bytes(200), rights: 1 }));
  expect(typeof space.map({ ...bytes(200), accounted: false })).toBe("number");
  expect(vmm.commit.charged).toBe(0);
  expect(space.protect(at, 101 * PAGE_SIZE, 3)).toBe("commit-limit");
  expect(space.protect(at, 100 * PAGE_SIZE, 3)).toBe("ok");
  expect(vmm.commit.charged).toBe(100);
  space.unmap(at, 50 * PAGE_SIZE);
  expect(vmm.commit.charged).toBe(50);
  vmm.check();
});

test("reserved memory costs no frame before it is touched", () => {
  const { vmm, space } = promising("unlimited");
  const at = Number(space.map(bytes(2 ** 24)));
  expect(vmm.residentPages).toBe(0);
  new SpaceMemory(space).store8(at + 2 ** 35, 1);
  expect(vmm.residentPages).toBe(1);
});

test("an empty space costs one frame, its root table", () => {
  const { vmm, pmm } = rigOf();
  const before = pmm.freeFrames;
  const spaces = Array.from({ length: 10 }, () => spaceOf(vmm));
  expect(before - pmm.freeFrames).toBe(10);
  for (const space of spaces) space.destroy();
  expect(pmm.freeFrames).toBe(before);
});

test("what was mapped without a promise stays so, whatever rights it gets; remap, clone and growth go on in that way", () => {
  const { vmm, space } = promising("strict");
  const at = Number(space.map({ ...bytes(200), accounted: false }));
  for (const rights of [1, 3, 3]) expect(space.protect(at, 200 * PAGE_SIZE, rights)).toBe("ok");
  const moved = Number(space.remap({ address: at, bytes: 200 * PAGE_SIZE, newBytes: 300 * PAGE_SIZE, mayMove: true }));
  expect(space.protect(moved, 300 * PAGE_SIZE, 1)).toBe("ok");
  const clone = space.clone();
  expect(clone?.protect(moved, 300 * PAGE_SIZE, 3)).toBe("ok");
  expect([vmm.commit.charged, space.regions.count]).toEqual([0, 1]);
  vmm.check();
});
