/** Facts A116 to A124: which pages are in frames. */
import { expect } from "vitest";

import { READ, type AddressSpace, type VirtAddr } from "@pagewright/vmm";

import { NONE, P, fact, fork, load, look, newSpace, paint, poke, store, throwsCode } from "./kit.ts";

function resident(space: AddressSpace, address: VirtAddr, pages: number): string {
  const into = new Uint8Array(pages);
  expect(space.residency(address, pages * P, into)).toBe("ok");
  return into.join("");
}

fact("A116", ({ space, map }) => {
  const at = map(3);
  store(space, at, 1);
  load(space, at + P);
  const into = new Uint8Array(5).fill(9);
  expect(space.residency(at, 3 * P, into)).toBe("ok");
  expect([...into]).toEqual([1, 1, 0, 9, 9]);
});

fact("A117", ({ space, map }) => {
  const at = map(2);
  throwsCode("unaligned", () => space.residency(at + 1, P, new Uint8Array(2)));
  throwsCode("unaligned", () => space.residency(at + 1, 0, new Uint8Array(2)));
  throwsCode("bad-argument", () => space.residency(at, 2 * P, new Uint8Array(1)));
});

fact("A118", ({ space, map }) => {
  const at = map(1);
  expect(space.residency(at, 2 ** 48, new Uint8Array(0).subarray(0))).toBe("unmapped");
});

fact("A119", ({ space, map }) => {
  const at = map(4);
  paint(space, at, "abcd");
  space.unmap(at + 2 * P, P);
  const into = new Uint8Array(4).fill(9);
  expect(space.residency(at, 4 * P, into)).toBe("unmapped");
  expect([...into]).toEqual([9, 9, 9, 9]);
});

fact("A120", ({ space, map }) => {
  const at = map(1);
  paint(space, at, "a");
  expect(resident(space, at, 1)).toBe("1");
  space.advise(at, P, "dont-need");
  expect(resident(space, at, 1)).toBe("0");
});

fact("A121", ({ space, map }) => {
  const at = map(1);
  paint(space, at, "a");
  space.protect(at, P, NONE);
  expect(resident(space, at, 1)).toBe("1");
});

fact("A122", ({ space, map, shared }) => {
  const object = shared(3);
  poke(object, 0, "a");
  poke(object, P, "b");
  for (const all of [true, false]) {
    const at = map(4, { object, shared: all, rights: READ });
    expect(resident(space, at, 4)).toBe("1100");
  }
  const at = map(4, { object, rights: READ });
  expect(load(space, at + 2 * P)).toBe(0);
  expect(resident(space, at, 4)).toBe("1110");
});

fact("A123", ({ vmm, space, map, file }) => {
  const object = file("ab");
  const other = newSpace(vmm);
  const there = Number(other.map({ bytes: 2 * P, object, rights: READ }));
  expect(look(other, there, 1)).toBe("a");
  expect(resident(space, map(2, { object, rights: READ }), 2).startsWith("1")).toBe(true);
});

fact("A124", ({ vmm, space, map }) => {
  const at = map(1);
  paint(space, at, "a");
  space.advise(at, P, "page-out");
  expect(vmm.stats.swapOuts).toBe(1);
  expect(resident(space, at, 1)).toBe("0");
  expect(resident(space, at, 1)).toBe("0");
  expect(look(space, at, 1)).toBe("a");
  expect(resident(space, at, 1)).toBe("1");
  const child = fork(space);
  expect(resident(child, at, 1)).toBe("1");
});
