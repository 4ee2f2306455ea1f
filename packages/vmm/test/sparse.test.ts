/** What is done to reserved memory costs what is there of it, not its addresses. */
import { expect, test } from "vitest";

import { MemorySwap, PAGE_SIZE, PlainMemory, READ, SpaceMemory, UNCACHED, Vmm, WRITE } from "@pagewright/vmm";

import { spaceOf } from "./kit/rig.ts";

/** 16 TiB. */
const BYTES = 2 ** 44;

test("advice, rights, types, counts and clones of 16 TiB in which two pages are used look at a few thousand entries", () => {
  const memory = new PlainMemory(64);
  const vmm = new Vmm({ frames: memory, window: memory, swap: [new MemorySwap(64)] });
  const space = spaceOf(vmm);
  const at = Number(space.map({ bytes: BYTES }));
  const bytes = new SpaceMemory(space);
  for (const offset of [2 ** 30, 2 ** 43]) expect(bytes.store32(at + offset, 7)).toBe(true);
  let looked = 0;
  const query = space.tables.query.bind(space.tables);
  space.tables.query = (vpn) => {
    looked++;
    return query(vpn);
  };
  for (const advice of ["cold", "page-out", "will-need", "no-guard", "large", "normal"] as const)
    expect([advice, space.advise(at, BYTES, advice)]).toEqual([advice, "ok"]);
  expect([space.usage().residentPages, space.usageByRegion().length]).toEqual([2, 1]);
  expect(vmm.chooseVictim().victim?.residentPages).toBe(2);
  expect([space.protect(at, BYTES, READ), space.protect(at, BYTES, READ + WRITE)]).toEqual(["ok", "ok"]);
  expect([space.lock(at, BYTES, "touched"), space.unlock(at, BYTES)]).toEqual(["ok", "ok"]);
  expect(space.setMemoryType(at, BYTES, UNCACHED)).toBe("ok");
  space.clone()?.destroy();
  expect(looked).toBeLessThan(30_000);
  expect(bytes.load32(at + 2 ** 43)).toBe(7);
  expect(space.unmap(at, BYTES)).toBe("ok");
  vmm.check();
});

test("a region that reaches far beyond its device or file costs no more than they have", () => {
  const memory = new PlainMemory(64);
  const vmm = new Vmm({ frames: memory, window: memory });
  const space = spaceOf(vmm);
  const object = vmm.createAnonymous(2 * PAGE_SIZE);
  const [at] = [object, vmm.openDevice(2 ** 20, 4)].map((each) =>
    Number(space.map({ bytes: BYTES, object: each, shared: true })),
  );
  if (at === undefined) throw new Error("not mapped");
  new SpaceMemory(space).store32(at, 7);
  expect([space.advise(at, BYTES, "will-need"), space.setMemoryType(at, PAGE_SIZE, UNCACHED)]).toEqual(["ok", "ok"]);
  expect([new SpaceMemory(space).load32(at), space.usage().residentPages]).toEqual([7, 1]);
  vmm.check();
});
