/** Facts B001 to B028, B041, B070 and B071: regions that merge, grow and move. */
import { expect } from "vitest";

import { EXECUTE, READ, WRITE, type AddressSpace, type VirtAddr } from "@pagewright/vmm";

import { NONE, P, byteOf, fact, fork, load, look, paint, poke, readText, store } from "./kit.ts";

/** Regions that have pages of a range. */
function regions(space: AddressSpace, at: VirtAddr, pages: number): number {
  return space.regions.within(at / P, at / P + pages).length;
}

/** One digit for each page: 1 where it is in a frame. */
function core(space: AddressSpace, at: VirtAddr, pages: number): string {
  const into = new Uint8Array(pages);
  expect(space.residency(at, pages * P, into)).toBe("ok");
  return into.join("");
}

/** An address with room around it. */
const ROOM = 2 ** 36;

fact("B001", ({ space, map }) => {
  map(2, { address: ROOM });
  map(2, { address: ROOM + 2 * P });
  expect(regions(space, ROOM, 4)).toBe(1);
});

fact("B002", ({ space, map, file }) => {
  const object = file("ab");
  const at = map(2, { object, shared: true });
  paint(space, at, "X");
  map(1, { address: at, placement: "fixed" });
  expect(readText(object, 0, 1)).toBe("X");
  expect(look(space, at, 2)).toBe(".b");
});

fact("B003", ({ space, map }) => {
  const at = map(2);
  paint(space, at, "xy");
  space.unmap(at, 2 * P);
  map(2, { address: at, placement: "fixed-new" });
  expect(look(space, at, 2)).toBe("..");
});

fact("B004", ({ space, map, file }) => {
  const object = file("ab");
  const at = map(2, { object, populate: true });
  const followed = map(2, { object, populate: true, rights: READ });
  expect([core(space, at, 2), core(space, followed, 2)]).toEqual(["11", "11"]);
  paint(space, at, "X");
  expect(readText(object, 0, 1)).toBe("a");
  poke(object, P, "Y");
  expect([look(space, at, 2), look(space, followed, 2)]).toEqual(["Xb", "aY"]);
});

fact("B005", ({ space, map, file }) => {
  const at = map(3, { object: file("a"), shared: true, populate: true });
  expect(look(space, at, 3)).toBe("a##");
});

fact("B007", ({ space, map }) => {
  map(1, { address: ROOM + 100 * P });
  const at = map(2, { address: ROOM + 598 * P, growsDown: true });
  expect([store(space, at - P, 1), load(space, at - 2 * P)]).toEqual(["ok", 0]);
  expect(store(space, ROOM + (101 + 256) * P, 1)).toBe("ok");
  expect(store(space, ROOM + 300 * P, 1)).toBe("unmapped");
});

fact("B008", ({ space, map }) => {
  const at = map(4, { address: ROOM, growsDown: true });
  paint(space, at, "abcd");
  space.unmap(at, P);
  expect(look(space, at, 4)).toBe(".bcd");
});

fact("B009", ({ space, map }) => {
  const at = map(6);
  paint(space, at, "abcdef");
  space.protect(at + 2 * P, 2 * P, READ);
  expect(space.unmap(at + P, 4 * P)).toBe("ok");
  expect(look(space, at, 6)).toBe("a!!!!f");
});

fact("B012", ({ space, map }) => {
  const at = map(4);
  space.protect(at, 2 * P, READ);
  expect(regions(space, at, 4)).toBe(2);
  expect(space.protect(at, 4 * P, READ)).toBe("ok");
  expect(regions(space, at, 4)).toBe(1);
});

fact("B013", ({ space, map }) => {
  const at = map(1);
  paint(space, at, "k");
  space.protect(at, P, NONE);
  const child = fork(space);
  expect(look(child, at, 1)).toBe("!");
  child.protect(at, P, READ);
  expect(look(child, at, 1)).toBe("k");
});

fact("B014", ({ space, map }) => {
  const at = map(1);
  paint(space, at, "k");
  expect(space.protect(at, P, READ + EXECUTE)).toBe("ok");
  expect(look(space, at, 1)).toBe("k");
});

fact("B017", ({ space, map }) => {
  const at = map(2);
  const target = map(2, { locked: "all" });
  expect(space.lockedPages).toBe(2);
  expect(space.remap({ address: at, bytes: 2 * P, newBytes: 2 * P, mayMove: true, target })).toBe(target);
  expect(space.lockedPages).toBe(0);
});

fact("B018", ({ space, map }) => {
  const at = map(2);
  paint(space, at, "ab");
  space.lock(at, 2 * P);
  expect(space.remap({ address: at, bytes: 2 * P, newBytes: 2 * P, mayMove: true, target: ROOM })).toBe(ROOM);
  expect([space.lockedPages, core(space, ROOM, 2), look(space, ROOM, 2)]).toEqual([2, "11", "ab"]);
});

fact("B019", ({ space, map }) => {
  const at = map(2, { address: ROOM, locked: "all" });
  expect(space.remap({ address: at, bytes: 2 * P, newBytes: 4 * P })).toBe(at);
  expect([space.lockedPages, core(space, at, 4)]).toEqual([4, "1111"]);
});

fact("B020", ({ space, map }) => {
  const at = map(2);
  paint(space, at, "ab");
  space.lock(at, 2 * P);
  const to = space.remap({ address: at, bytes: 2 * P, newBytes: 2 * P, mayMove: true, keepSource: true });
  expect([space.advise(at, 2 * P, "cold"), space.advise(Number(to), 2 * P, "cold")]).toEqual(["ok", "locked"]);
});

fact("B021", ({ space, map }) => {
  const at = map(1);
  paint(space, at, "p");
  const child = fork(space);
  child.remap({ address: at, bytes: P, newBytes: P, mayMove: true, target: ROOM });
  paint(child, ROOM, "c");
  expect([look(child, at, 1), look(child, ROOM, 1), look(space, at, 1)]).toEqual(["!", "c", "p"]);
});

fact("B022", ({ space, map }) => {
  const at = map(1);
  paint(space, at, "w");
  space.advise(at, P, "wipe-on-clone");
  space.remap({ address: at, bytes: P, newBytes: P, mayMove: true, target: ROOM });
  expect([look(fork(space), ROOM, 1), look(space, ROOM, 1)]).toEqual([".", "w"]);
});

fact("B023", ({ space, map }) => {
  const at = map(4);
  paint(space, at, "abcd");
  space.protect(at + 2 * P, 2 * P, READ);
  expect(space.remap({ address: at, bytes: 4 * P, newBytes: 4 * P, mayMove: true, target: ROOM })).toBe(ROOM);
  expect(look(space, ROOM, 4)).toBe("abcd");
  expect([store(space, ROOM + P, 1), store(space, ROOM + 2 * P, 1)]).toEqual(["ok", "no-write"]);
});

fact("B024", ({ space, map }) => {
  const at = map(2);
  paint(space, at, "ab");
  expect(space.remap({ address: at, bytes: 2 * P, newBytes: 4 * P, mayMove: true, target: ROOM })).toBe(ROOM);
  expect(look(space, ROOM, 4)).toBe("ab..");
});

fact("B026", ({ space, map }) => {
  const at = map(1);
  paint(space, at, "p");
  const child = fork(space);
  expect(child.advise(at, P, "populate-write")).toBe("ok");
  paint(space, at, "Q");
  expect(look(child, at, 1)).toBe("p");
});

fact("B027", ({ space, map }) => {
  const at = map(1);
  expect([space.advise(at, 0, "populate-read"), space.advise(at, 0, "populate-write")]).toEqual(["ok", "ok"]);
  expect(core(space, at, 1)).toBe("0");
});

fact("B028", ({ space, map }) => {
  const at = map(2);
  space.advise(at, P, "populate-read");
  expect(core(space, at, 2)).toBe("10");
});

fact("B041", ({ space, map }) => {
  const at = map(3);
  space.advise(at + P, P, "sequential");
  expect(regions(space, at, 3)).toBe(3);
  space.advise(at + P, P, "normal");
  expect(regions(space, at, 3)).toBe(1);
});

fact("B070", ({ space, map }) => {
  const at = map(3);
  paint(space, at, "abc");
  map(1, { address: at + P, placement: "fixed", rights: READ });
  expect([regions(space, at, 3), look(space, at, 3)]).toEqual([3, "a.c"]);
});

fact("B071", ({ space, map, file }) => {
  const object = file("abcd");
  const request = { object, shared: true, rights: READ, placement: "fixed" } as const;
  map(2, { ...request, address: ROOM });
  map(2, { ...request, address: ROOM + 2 * P, offset: 2 * P });
  expect(regions(space, ROOM, 4)).toBe(1);
  map(2, { ...request, address: ROOM + 2 * P, offset: P });
  expect([regions(space, ROOM, 4), look(space, ROOM, 4)]).toEqual([2, "abbc"]);
});

fact("B075", ({ space, map, shared }) => {
  const at = map(1, { object: shared(1), shared: true });
  space.advise(at, P, "no-clone");
  expect(look(fork(space), at, 1)).toBe("!");
});

fact("B076", ({ space, map }) => {
  const at = map(2, { address: ROOM, growsDown: true });
  space.limits.pages = space.mappedPages + 1;
  expect([store(space, at - P, 1), store(space, at - 4 * P, 1)]).toEqual(["ok", "unmapped"]);
});

fact("B077", ({ space, map, shared }) => {
  const at = map(1, { object: shared(1), shared: true, rights: READ });
  const child = fork(space);
  child.protect(at, P, READ + WRITE);
  store(child, at, byteOf("s"));
  expect(look(space, at, 1)).toBe("s");
});

fact("B078", ({ space, map }) => {
  const at = map(1);
  paint(space, at, "w");
  space.advise(at, P, "wipe-on-clone");
  const to = Number(space.remap({ address: at, bytes: P, newBytes: P, mayMove: true, keepSource: true }));
  paint(space, at, "v");
  const child = fork(space);
  expect([look(child, at, 1), look(child, to, 1), look(space, at, 1), look(space, to, 1)]).toEqual([
    ".",
    ".",
    "v",
    "w",
  ]);
});
