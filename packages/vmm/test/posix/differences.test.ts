/** What holds in place of the facts that are not held: all or nothing, and no third state. */
import { expect } from "vitest";

import { READ } from "@pagewright/vmm";

import { NONE, P, different, fork, load, look, paint, store, type Kit } from "./kit.ts";

/** Five painted pages with a hole at page 2. */
function withHole({ space, map }: Kit): number {
  const at = map(5);
  paint(space, at, "abcde");
  space.unmap(at + 2 * P, P);
  return at;
}

different("A002", "a length of 0 throws", ({ space, file }) => {
  const gone = file("a");
  gone.close();
  expect(() => space.map({ bytes: 0, object: gone })).toThrow(expect.objectContaining({ code: "out-of-range" }));
});

different("A073", "protecting over a hole changes nothing", (kit) => {
  const at = withHole(kit);
  expect(kit.space.protect(at, 5 * P, READ)).toBe("unmapped");
  for (const page of [0, 1, 3, 4]) expect(store(kit.space, at + page * P, 1)).toBe("ok");
});

different("A075", "protecting over a region that refuses changes nothing", ({ space, map, file }) => {
  const at = map(2, { rights: READ });
  map(1, { address: at + P, placement: "fixed", object: file("a"), shared: true, rights: READ, ceiling: READ });
  expect(space.protect(at, 2 * P, READ + 2)).toBe("rights");
  expect(store(space, at, 1)).toBe("no-write");
});

different("A088", "syncing over a hole writes nothing", ({ space, map, file, bytesOf }) => {
  const object = file("abcd");
  const at = map(4, { object, shared: true });
  paint(space, at, "wxyz");
  space.unmap(at + P, P);
  expect(space.sync(at, 4 * P)).toBe("unmapped");
  expect(bytesOf(object)).toBe("abcd");
});

different("A094", "unlocking over a hole unlocks nothing", (kit) => {
  const { space } = kit;
  const at = withHole(kit);
  space.lock(at, 2 * P);
  space.lock(at + 3 * P, 2 * P);
  expect(space.unlock(at, 5 * P)).toBe("unmapped");
  expect(space.lockedPages).toBe(4);
});

different("A099", "a lock that cannot populate locks nothing", ({ space, map }) => {
  expect(space.lock(map(1, { rights: NONE }), P)).toBe("rights");
  expect(space.lockedPages).toBe(0);
});

different("A100", "a lock beyond the end of a file locks nothing", ({ space, map, file }) => {
  expect(space.lock(map(3, { object: file("a"), shared: true }), 3 * P)).toBe("bus");
  expect(space.lockedPages).toBe(0);
});

different("A108", "locking neither now nor in future does nothing", ({ space, map }) => {
  map(1);
  expect(space.lockAll(false, "none")).toBe("ok");
  expect(space.lockedPages).toBe(0);
});

different("A127", "dropping over a hole drops nothing", (kit) => {
  const at = withHole(kit);
  expect(kit.space.advise(at, 5 * P, "dont-need")).toBe("unmapped");
  expect(look(kit.space, at, 5)).toBe("ab!de");
});

different("A133", "dropping up to a locked page drops nothing", ({ space, map }) => {
  const at = map(2);
  paint(space, at, "ab");
  space.lock(at + P, P);
  expect(space.advise(at, 2 * P, "dont-need")).toBe("locked");
  expect(look(space, at, 2)).toBe("ab");
});

different("A144", "populating over a hole populates nothing", ({ space, map, vmm }) => {
  const at = map(3);
  space.unmap(at + P, P);
  expect(space.advise(at, 3 * P, "populate-read")).toBe("unmapped");
  expect(vmm.residentPages).toBe(0);
});

different("A214", "a clone asks the pager of the object too", ({ vmm, space, map }) => {
  let asked = 0;
  const object = vmm.createPaged(P, { request: () => (asked++, "filled") });
  const at = map(1, { object });
  const child = fork(space);
  expect(load(child, at)).toBe(0);
  expect(asked).toBe(1);
  expect(load(space, at)).toBe(0);
  expect(asked).toBe(1);
});

different("A215", "a sealed page keeps a whole range as it is", ({ space, map }) => {
  const at = map(3);
  paint(space, at, "abc");
  expect(space.seal(at + P, P)).toBe("ok");
  for (const [page, pages] of [
    [1, 1],
    [0, 3],
  ] as const)
    expect(space.unmap(at + page * P, pages * P)).toBe("sealed");
  expect(space.map({ bytes: P, address: at + P, placement: "fixed" })).toBe("sealed");
  expect(space.remap({ address: at + P, bytes: P, newBytes: P, mayMove: true, target: 2 ** 40 })).toBe("sealed");
  expect(space.protect(at, 3 * P, READ)).toBe("sealed");
  expect(look(space, at, 3)).toBe("abc");
  expect(store(space, at, 1)).toBe("ok");
});

different("B098", "a range to shrink has no hole", ({ space, map }) => {
  const at = map(8);
  paint(space, at, "abcdefgh");
  expect(space.unmap(at + 6 * P, P)).toBe("ok");
  expect(space.remap({ address: at, bytes: 8 * P, newBytes: 2 * P })).toBe("unmapped");
  expect(look(space, at, 8)).toBe("abcdef!h");
});

different("B099", "ranges move over any number of regions, unless they grow", ({ space, map }) => {
  const [at, target] = [map(8), 2 ** 40];
  paint(space, at, "abcdefgh");
  expect(space.protect(at + 4 * P, 4 * P, READ)).toBe("ok");
  expect(space.remap({ address: at, bytes: 8 * P, newBytes: 6 * P, mayMove: true, target })).toBe(target);
  expect([look(space, at, 8), look(space, target, 7)]).toEqual(["!!!!!!!!", "abcdef!"]);
  const kept = { address: target, bytes: 6 * P, newBytes: 6 * P, mayMove: true, keepSource: true };
  const to = Number(space.remap(kept));
  expect([look(space, to, 6), look(space, target, 6)]).toEqual(["abcdef", "......"]);
  expect(space.remap({ ...kept, newBytes: 7 * P, keepSource: false })).toBe("mixed");
});

different("B094", "a lock moves with the pages alone, and is counted once", ({ space, map }) => {
  const at = map(3, { locked: "all" });
  const to = Number(space.remap({ address: at, bytes: 2 * P, newBytes: 2 * P, mayMove: true, keepSource: true }));
  expect(space.lockedPages).toBe(3);
  expect(space.advise(at + 2 * P, P, "cold")).toBe("locked");
  space.unmap(at, 3 * P);
  space.unmap(to, 2 * P);
  expect(space.lockedPages).toBe(0);
});
