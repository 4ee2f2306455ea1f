/** A slot of swap is given back with the last need for what is in it, whatever ends that need. */
import { expect, test } from "vitest";

import { MemorySwap, PAGE_SIZE, PlainMemory, SpaceMemory, Vmm, type AddressSpace } from "@pagewright/vmm";

import { spaceOf } from "./kit/rig.ts";

const PAGES = 32;

interface Bench {
  readonly vmm: Vmm;
  readonly space: AddressSpace;
  readonly at: number;
  readonly used: () => number;
}

/** A space with 32 private pages, all in swap. */
function bench(): Bench {
  const memory = new PlainMemory(64);
  const vmm = new Vmm({ frames: memory, window: memory, readAhead: 0, swap: [new MemorySwap(64)] });
  const space = spaceOf(vmm);
  const at = Number(space.map({ bytes: PAGES * PAGE_SIZE }));
  const bytes = new SpaceMemory(space);
  for (let page = 0; page < PAGES; page++) expect(bytes.store32(at + page * PAGE_SIZE, page + 1)).toBe(true);
  expect(vmm.reclaim(PAGES)).toBe(PAGES);
  const used = (): number => vmm.swapTiers()[0]?.used ?? -1;
  expect(used()).toBe(PAGES);
  return { vmm, space, at, used };
}

const ENDS: readonly [string, (space: AddressSpace, at: number, bytes: number) => unknown][] = [
  ["unmap", (space, at, bytes) => space.unmap(at, bytes)],
  ["makeUnusable", (space, at, bytes) => space.makeUnusable(at, bytes)],
  ["dont-need", (space, at, bytes) => space.advise(at, bytes, "dont-need")],
  ["free", (space, at, bytes) => space.advise(at, bytes, "free")],
  ["guard", (space, at, bytes) => space.advise(at, bytes, "guard")],
  ["discard", (space, at, bytes) => space.discard(at, bytes)],
  ["a fixed mapping", (space, address, bytes) => space.map({ address, bytes, placement: "fixed" }) === address && "ok"],
];

test.each(ENDS)("%s gives the slots of its range back, and no other", (_name, end) => {
  const { vmm, space, at, used } = bench();
  expect(end(space, at + 8 * PAGE_SIZE, 8 * PAGE_SIZE)).toBe("ok");
  expect([used(), vmm.residentPages]).toEqual([PAGES - 8, 0]);
  const bytes = new SpaceMemory(space);
  for (const page of [0, 7, 16, 31]) expect(bytes.load32(at + page * PAGE_SIZE)).toBe(page + 1);
  vmm.check();
});

test("memory that is freed lazily reads as zero, in a frame and in swap, until it is stored to", () => {
  const { vmm, space, at, used } = bench();
  const bytes = new SpaceMemory(space);
  expect(space.advise(at, 4 * PAGE_SIZE, "free")).toBe("ok");
  expect(bytes.store32(at, 77)).toBe(true);
  vmm.reclaim(PAGES);
  expect([bytes.load32(at), bytes.load32(at + PAGE_SIZE), bytes.load32(at + 4 * PAGE_SIZE)]).toEqual([77, 0, 5]);
  expect(used()).toBeGreaterThanOrEqual(PAGES - 4);
  vmm.check();
});

test("a slot that clones share goes with the last of them", () => {
  const { vmm, space, at, used } = bench();
  const clone = space.clone();
  if (clone === null) throw new Error("no clone");
  expect(clone.advise(at, PAGES * PAGE_SIZE, "free")).toBe("ok");
  expect(used()).toBe(PAGES);
  space.unmap(at, 8 * PAGE_SIZE);
  expect(used()).toBe(PAGES);
  clone.unmap(at, 16 * PAGE_SIZE);
  expect(used()).toBe(PAGES - 8);
  expect(new SpaceMemory(space).load32(at + 8 * PAGE_SIZE)).toBe(9);
  space.destroy();
  expect(used()).toBe(PAGES - 16);
  clone.destroy();
  expect([used(), vmm.residentPages]).toEqual([0, 0]);
  vmm.check();
});
