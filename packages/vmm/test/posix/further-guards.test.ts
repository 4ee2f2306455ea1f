/** Facts B010, B011, B015, B016, B025, B029 to B053, B064 to B069, B072 to B074: guards, locks, sealed addresses. */
import { expect } from "vitest";

import { READ, USER, WRITE, type AddressSpace, type VirtAddr } from "@pagewright/vmm";

import { NONE, P, byteOf, fact, fork, load, look, memoryOf, paint, poke, store, throwsCode } from "./kit.ts";

function core(space: AddressSpace, at: VirtAddr, pages: number): string {
  const into = new Uint8Array(pages);
  expect(space.residency(at, pages * P, into)).toBe("ok");
  return into.join("");
}

const ROOM = 2 ** 36;

fact("B010", ({ space, map }) => {
  const at = map(2);
  space.advise(at, P, "guard");
  space.unmap(at, 2 * P);
  map(2, { address: at, placement: "fixed" });
  expect(look(space, at, 2)).toBe("..");
});

fact("B011", ({ space, map }) => {
  const at = map(2, { locked: "all" });
  paint(space, at, "ab");
  space.protect(at, P, NONE);
  expect(space.lockedPages).toBe(2);
  space.protect(at, P, READ + WRITE);
  expect([look(space, at, 2), space.lockedPages]).toEqual(["ab", 2]);
});

fact("B015", ({ space, map }) => {
  const at = map(3);
  paint(space, at, "abc");
  space.advise(at + P, P, "guard");
  space.remap({ address: at, bytes: 3 * P, newBytes: 3 * P, mayMove: true, target: ROOM });
  expect(look(space, ROOM, 3)).toBe("a!c");
});

fact("B016", ({ space, map }) => {
  const at = map(3, { address: ROOM });
  paint(space, at, "abc");
  space.advise(at + 2 * P, P, "guard");
  space.remap({ address: at, bytes: 3 * P, newBytes: 2 * P });
  expect(space.remap({ address: at, bytes: 2 * P, newBytes: 3 * P })).toBe(at);
  expect(look(space, at, 3)).toBe("ab.");
});

fact("B025", ({ space, map }) => {
  const at = map(2);
  paint(space, at, "ab");
  space.advise(at + P, P, "guard");
  const to = Number(space.remap({ address: at, bytes: 2 * P, newBytes: 2 * P, mayMove: true, keepSource: true }));
  expect([look(space, at, 2), look(space, to, 2)]).toEqual(["..", "a!"]);
});

fact("B029", ({ space, map }) => {
  const at = map(1, { locked: "all" });
  expect(space.advise(at, P, "guard")).toBe("locked");
  expect(space.advise(at, P, "no-guard")).toBe("ok");
  space.unlock(at, P);
  expect(space.advise(at, P, "guard")).toBe("ok");
  expect(space.lock(at, P)).toBe("bus");
  expect(space.lockedPages).toBe(0);
});

fact("B030", ({ space, map, file, bytesOf }) => {
  const object = file("abc");
  const at = map(3, { object, shared: true });
  expect(space.advise(at + P, P, "guard")).toBe("ok");
  const other = map(3, { object, shared: true });
  expect([look(space, at, 3), look(space, other, 3), bytesOf(object)]).toEqual(["a!c", "abc", "abc"]);
  space.advise(at, 3 * P, "no-guard");
  expect(look(space, at, 3)).toBe("abc");
});

fact("B031", ({ space, map }) => {
  const at = map(2);
  paint(space, at, "ab");
  space.advise(at, P, "guard");
  expect(look(fork(space), at, 2)).toBe("!b");
});

fact("B032", ({ space, map, file }) => {
  const at = map(2, { object: file("ab"), shared: true });
  look(space, at, 2);
  space.advise(at, P, "guard");
  expect(look(fork(space), at, 2)).toBe("!b");
});

fact("B033", ({ space, map }) => {
  const at = map(2);
  paint(space, at, "ab");
  space.advise(at, 2 * P, "wipe-on-clone");
  space.advise(at, P, "guard");
  expect([look(fork(space), at, 2), look(space, at, 2)]).toEqual(["..", "!b"]);
});

fact("B034", ({ space, map }) => {
  const at = map(1);
  paint(space, at, "x");
  space.advise(at, P, "guard");
  space.advise(at, P, "no-guard");
  expect(look(space, at, 1)).toBe(".");
});

fact("B035", ({ space, map }) => {
  const at = map(2);
  space.advise(at, P, "guard");
  space.protect(at, 2 * P, READ);
  space.protect(at, 2 * P, READ + WRITE);
  expect(look(space, at, 2)).toBe("!.");
});

fact("B036", ({ space, map }) => {
  const at = map(2);
  paint(space, at, "ab");
  expect([space.advise(at, P, "guard"), space.advise(at, P, "guard")]).toEqual(["ok", "ok"]);
  expect(space.advise(at, 2 * P, "no-guard")).toBe("ok");
  expect(look(space, at, 2)).toBe(".b");
});

fact("B038", ({ space, map }) => {
  const at = map(2);
  paint(space, at, "ab");
  space.advise(at, P, "guard");
  expect(core(space, at, 2)).toBe("01");
});

fact("B039", ({ space, map }) => {
  const at = map(1);
  paint(space, at, "p");
  expect(fork(space).advise(at, P, "free")).toBe("ok");
  space.vmm.reclaim(4);
  expect(look(space, at, 1)).toBe("p");
});

fact("B040", ({ space, map }) => {
  const at = map(1);
  paint(space, at, "p");
  expect(space.advise(at, P, "dont-need-locked")).toBe("ok");
  expect(look(space, at, 1)).toBe(".");
});

fact("B042", ({ space, map }) => {
  const at = map(3);
  space.lock(at, 3 * P, "touched");
  expect(core(space, at, 3)).toBe("000");
  expect(space.lock(at, 3 * P)).toBe("ok");
  expect([core(space, at, 3), space.lockedPages]).toEqual(["111", 3]);
});

fact("B043", ({ space, map, file }) => {
  const at = map(1, { object: file("a") });
  space.lock(at, P);
  paint(space, at, "z");
  space.vmm.reclaim(8);
  expect([core(space, at, 1), space.lockedPages, look(space, at, 1)]).toEqual(["1", 1, "z"]);
});

fact("B044", ({ space, map }) => {
  const at = map(3, { locked: "all" });
  space.unlock(at + P, P);
  expect(space.lockedPages).toBe(2);
});

fact("B045", ({ space, map }) => {
  const at = map(1);
  paint(space, at, "s");
  space.seal(at, P);
  const child = fork(space);
  expect(child.unmap(at, P)).toBe("sealed");
  expect(look(child, at, 1)).toBe("s");
});

fact("B046", ({ space, map }) => {
  const at = map(1);
  paint(space, at, "s");
  space.protect(at, P, READ);
  space.seal(at, P);
  for (const advice of ["dont-need", "free", "no-clone", "wipe-on-clone", "guard", "dont-need-locked"] as const)
    expect([advice, space.advise(at, P, advice)]).toEqual([advice, "sealed"]);
  expect(look(space, at, 1)).toBe("s");
});

fact("B047", ({ space, map }) => {
  const at = map(1);
  paint(space, at, "s");
  space.seal(at, P);
  expect(space.advise(at, P, "dont-need")).toBe("ok");
  expect(look(space, at, 1)).toBe(".");
});

fact("B048", ({ space, map, file }) => {
  const object = file("f");
  for (const shared of [false, true]) {
    const at = map(1, { object, shared, rights: READ });
    space.seal(at, P);
    expect(space.advise(at, P, "dont-need")).toBe("ok");
    expect(look(space, at, 1)).toBe("f");
  }
});

fact("B049", ({ space, map }) => {
  const at = map(1);
  paint(space, at, "s");
  space.seal(at, P);
  expect(space.protect(at, P, READ + WRITE)).toBe("sealed");
  expect([space.lock(at, P), space.unlock(at, P), space.sync(at, P), space.advise(at, P, "will-need")]).toEqual([
    "ok",
    "ok",
    "ok",
    "ok",
  ]);
});

fact("B050", ({ space, map }) => {
  const at = map(3);
  space.unmap(at + P, P);
  expect(space.seal(at, 3 * P)).toBe("unmapped");
  expect(space.unmap(at, P)).toBe("ok");
  const other = map(1);
  expect([space.seal(other, P), space.seal(other, P), space.seal(other, 0)]).toEqual(["ok", "ok", "ok"]);
  throwsCode("unaligned", () => space.seal(other + 1, P));
});

fact("B051", ({ space, map }) => {
  const at = map(3);
  paint(space, at, "abc");
  space.seal(at + P, P);
  expect([space.unmap(at, P), space.unmap(at + 2 * P, P), look(space, at, 3)]).toEqual(["ok", "ok", "!b!"]);
});

fact("B052", ({ space, map, shared }) => {
  const object = shared(2);
  const at = map(2, { object, shared: true });
  paint(space, at, "ab");
  space.seal(at, 2 * P);
  expect(object.resize(P)).toBe("ok");
  expect(look(space, at, 2)).toBe("a#");
});

fact("B053", ({ space, map }) => {
  const at = map(2);
  paint(space, at, "ab");
  space.protect(at, P, NONE);
  space.advise(at + P, P, "guard");
  for (const page of [0, 1]) expect(memoryOf(space).copyOut(at + page * P, new Uint8Array(8))).toBe(0);
});

fact("B054", ({ space, map }) => {
  const at = map(1);
  paint(space, at, "a");
  space.protect(at, P, READ);
  expect(memoryOf(space).copyIn(at, Uint8Array.of(1))).toBe(0);
  expect(look(space, at, 1)).toBe("a");
});

fact("B055", ({ space, map }) => {
  const at = map(1);
  paint(space, at, "p");
  const child = fork(space);
  expect(memoryOf(child).copyIn(at, Uint8Array.of(byteOf("z")))).toBe(1);
  expect([look(child, at, 1), look(space, at, 1)]).toEqual(["z", "p"]);
});

fact("B063", ({ space, map, shared }) => {
  const at = map(2, { object: shared(2), shared: true });
  paint(space, at, "ab");
  const child = fork(space);
  child.unmap(at, P);
  store(child, at + P, byteOf("c"));
  expect([look(child, at, 2), look(space, at, 2)]).toEqual(["!c", "ac"]);
});

fact("B064", ({ space, map }) => {
  const at = map(3);
  paint(space, at, "abc");
  space.advise(at + P, P, "guard");
  space.advise(at, 3 * P, "dont-need");
  expect(look(space, at, 3)).toBe(".!.");
});

fact("B065", ({ space, map }) => {
  const at = map(1);
  paint(space, at, "z");
  const child = fork(space);
  expect(child.advise(at, P, "page-out")).toBe("ok");
  expect(look(child, at, 1)).toBe("z");
  paint(child, at, "y");
  expect([look(child, at, 1), look(space, at, 1)]).toEqual(["y", "z"]);
});

fact("B066", ({ space, map, file }) => {
  const at = map(1, { object: file("a"), shared: true });
  load(space, at);
  expect([space.advise(at, P, "cold"), look(space, at, 1)]).toEqual(["ok", "a"]);
});

fact("B067", ({ space, map, shared }) => {
  const object = shared(1);
  const at = map(3, { object, shared: true });
  paint(space, at, "a");
  expect(space.advise(at + P, 2 * P, "remove")).toBe("ok");
  expect([look(space, at, 3), object.size]).toEqual(["a##", P]);
});

fact("B068", ({ space, map, shared }) => {
  const object = shared(2);
  poke(object, 0, "a");
  poke(object, P, "b");
  const at = map(2, { object, shared: true });
  const own = map(2, { object });
  paint(space, own, "P");
  expect(look(space, own, 2)).toBe("Pb");
  expect(space.advise(at, 2 * P, "remove")).toBe("ok");
  expect([look(space, at, 2), look(space, own, 2)]).toEqual(["..", "P."]);
});

fact("B069", ({ space, map }) => {
  const at = map(1);
  expect([space.unlock(at, P), space.sync(at, P)]).toEqual(["ok", "ok"]);
});

fact("B072", ({ space, map }) => {
  const at = map(2, { locked: "all" });
  space.unmap(at, P);
  map(1, { address: at, placement: "fixed" });
  expect([space.lockedPages, core(space, at, 2)]).toEqual([1, "01"]);
});

fact("B073", ({ space, map }) => {
  const at = map(1);
  paint(space, at, "x");
  space.protect(at, P, NONE);
  expect([space.advise(at, P, "free"), space.advise(at, P, "will-need")]).toEqual(["ok", "ok"]);
});

fact("B074", ({ space, map }) => {
  const at = map(2, { address: ROOM });
  space.advise(at + P, P, "guard");
  expect(space.remap({ address: at, bytes: 2 * P, newBytes: 3 * P })).toBe(at);
  expect(look(space, at, 3)).toBe(".!.");
});

fact("B083", ({ space, map }) => {
  space.lockAll(false, "touched");
  const at = map(3);
  expect([space.lockedPages, core(space, at, 3)]).toEqual([3, "000"]);
  space.fault(at + P, WRITE + USER);
  space.vmm.reclaim(4);
  expect(core(space, at, 3)).toBe("010");
});
