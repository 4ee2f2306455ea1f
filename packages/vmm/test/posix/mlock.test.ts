/** Facts A091 to A115: keeping pages in frames. */
import { expect } from "vitest";

import { READ, type AddressSpace, type VirtAddr } from "@pagewright/vmm";

import { P, fact, fork, load, look, newSpace, paint, store, throwsCode } from "./kit.ts";

/** Residency of pages as text. */
function resident(space: AddressSpace, address: VirtAddr, pages: number): string {
  const into = new Uint8Array(pages);
  expect(space.residency(address, pages * P, into)).toBe("ok");
  return into.join("");
}

fact("A091", ({ space, map }) => {
  const at = map(2);
  // A range of whole pages is asked for by its first page; its length is rounded up.
  expect(space.lock(at, P + 1)).toBe("ok");
  expect(space.lockedPages).toBe(2);
});

fact("A092", ({ space, map }) => {
  const at = map(1);
  throwsCode("out-of-range", () => space.lock(at, 2 ** 64 - 2 * P));
  expect(space.lock(at, 2 ** 52)).toBe("unmapped");
  expect(space.lockedPages).toBe(0);
});

fact("A093", ({ space, map }) => {
  const at = map(5);
  space.unmap(at + 2 * P, P);
  expect(space.lock(at, 5 * P)).toBe("unmapped");
  expect(space.lockedPages).toBe(0); // POSIX: no lock changed.
});

fact("A095", ({ space, map }) => {
  const at = map(1);
  space.lock(at, P);
  space.lock(at, P);
  expect(space.lockedPages).toBe(1);
  expect(space.unlock(at, P)).toBe("ok");
  expect(space.lockedPages).toBe(0);
  expect(space.advise(at, P, "dont-need")).toBe("ok");
});

fact("A096", ({ vmm, space, map, shared }) => {
  const object = shared(1);
  const one = map(1, { object, shared: true });
  const two = map(1, { object, shared: true });
  paint(space, one, "a");
  space.lock(one, P);
  space.lock(two, P);
  space.unlock(one, P);
  expect(space.lockedPages).toBe(1);
  vmm.reclaim(100);
  expect(resident(space, two, 1)).toBe("1");
  space.unlock(two, P);
  vmm.reclaim(100);
  expect(resident(space, two, 1)).toBe("0");
});

fact("A097", ({ vmm, space, map, shared }) => {
  const object = shared(1);
  const at = map(1, { object, shared: true });
  const other = newSpace(vmm);
  const there = Number(other.map({ bytes: P, object, shared: true }));
  space.lock(at, P);
  other.lock(there, P);
  space.unlock(at, P);
  expect(other.lockedPages).toBe(1);
  vmm.reclaim(100);
  expect(resident(other, there, 1)).toBe("1");
});

fact("A098", ({ space, map }) => {
  const at = map(2, { locked: "all" });
  expect(space.lockedPages).toBe(2);
  map(1, { address: at, placement: "fixed" });
  expect(space.lockedPages).toBe(1);
  expect(resident(space, at, 2)).toBe("01");
});

fact("A101", ({ space, map }) => {
  const at = map(3);
  expect(resident(space, at, 3)).toBe("000");
  space.lock(at, 3 * P);
  expect(resident(space, at, 3)).toBe("111");
});

fact("A102", ({ space, map }) => {
  const at = map(1);
  space.limits.lockedPages = 0;
  expect(space.lock(at, P)).toBe("lock-limit");
  expect(space.lock(at, 0)).toBe("lock-limit");
  expect(space.lockAll(true, "none")).toBe("lock-limit");
  expect(space.unlock(at, P)).toBe("ok");
  space.unlockAll();
  expect(space.lockedPages).toBe(0);
});

fact("A103", ({ space, map }) => {
  const at = map(4);
  space.limits.lockedPages = 3;
  expect(space.lock(at, 2 * P)).toBe("ok");
  expect(space.lock(at + P, 2 * P)).toBe("ok");
  expect(space.lockedPages).toBe(3);
  expect(space.lock(at + 3 * P, P)).toBe("lock-limit");
});

fact("A104", ({ space, map }) => {
  const at = map(5);
  space.limits.lockedPages = 3;
  expect(space.lock(at, 3 * P + 1)).toBe("lock-limit");
  expect(space.lockedPages).toBe(0);
  expect(resident(space, at, 5)).toBe("00000");
});

fact("A105", ({ vmm, space, map }) => {
  const at = map(2, { locked: "all" });
  const child = fork(space);
  expect([child.lockedPages, space.lockedPages]).toEqual([0, 2]);
  paint(child, at, "cc");
  vmm.reclaim(100);
  expect(resident(child, at, 2)).toBe("00");
  expect(resident(space, at, 2)).toBe("11");
});

fact("A106", ({ space }) => {
  space.limits.lockedPages = 0;
  expect(space.map({ bytes: P, locked: "all" })).toBe("lock-limit");
  space.limits.lockedPages = 2;
  expect(space.map({ bytes: 3 * P, locked: "all" })).toBe("lock-limit");
  expect(typeof space.map({ bytes: 2 * P, locked: "all" })).toBe("number");
  expect(space.lockedPages).toBe(2);
});

fact("A107", ({ space, map, file }) => {
  const at = map(3, { object: file("a"), locked: "all", rights: READ });
  expect(space.lockedPages).toBe(3);
  expect(look(space, at, 3)).toBe("a##");
});

fact("A109", ({ space, map }) => {
  expect(space.lockAll(false, "all")).toBe("ok");
  const at = map(2);
  expect(resident(space, at, 2)).toBe("11");
  expect(space.lockedPages).toBe(2);
});

fact("A110", ({ space, map }) => {
  space.lockAll(false, "all");
  space.lockAll(true, "none");
  const at = map(2);
  expect(space.lockedPages).toBe(0);
  expect(resident(space, at, 2)).toBe("00");
});

fact("A111", ({ space }) => {
  space.lockAll(false, "all");
  const child = fork(space);
  child.map({ bytes: P });
  expect(child.lockedPages).toBe(0);
});

fact("A112", ({ space, map }) => {
  const live = map(3);
  paint(space, live, "abc");
  space.limits.lockedPages = 2;
  space.lockAll(false, "all");
  expect(space.map({ bytes: 3 * P })).toBe("lock-limit");
  expect(space.map({ bytes: 3 * P, address: live, placement: "fixed" })).toBe("lock-limit");
  expect(look(space, live, 3)).toBe("abc");
  map(1);
  expect(space.lockedPages).toBe(1);
});

fact("A113", ({ space, map }) => {
  map(3);
  space.limits.lockedPages = 2;
  expect(space.lockAll(true, "none")).toBe("lock-limit");
  expect(space.lockedPages).toBe(0);
});

fact("A114", ({ space, map }) => {
  space.unlockAll();
  map(2, { locked: "all" });
  space.lockAll(true, "all");
  space.unlockAll();
  expect(space.lockedPages).toBe(0);
  map(1);
  expect(space.lockedPages).toBe(0);
});

fact("A115", ({ space, map }) => {
  const at = map(4);
  expect(space.lock(at, 4 * P, "touched")).toBe("ok");
  expect(space.lockedPages).toBe(4);
  expect(load(space, at)).toBe(0);
  expect(store(space, at, 1)).toBe("ok");
  expect(resident(space, at, 4)).toBe("1000");
});
