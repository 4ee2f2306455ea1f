/** Facts A125 to A147: advice, some of which destroys. */
import { expect } from "vitest";

import { READ, WRITE, type Advice } from "@pagewright/vmm";

import { NONE, P, byteOf, fact, fork, load, look, paint, readText, store, throwsCode } from "./kit.ts";

fact("A125", ({ space, map }) => {
  const at = map(1);
  throwsCode("unaligned", () => space.advise(at + 1, P, "dont-need"));
  throwsCode("unaligned", () => space.advise(at + 1, 0, "dont-need"));
  const unknown = "unheard-of" as Advice;
  throwsCode("bad-argument", () => space.advise(at, P, unknown));
  throwsCode("bad-argument", () => space.advise(at, 0, unknown));
});

fact("A126", ({ space, map }) => {
  const at = map(1);
  paint(space, at, "a");
  expect(space.advise(at, 0, "dont-need")).toBe("ok");
  expect(space.advise(2 ** 40, 0, "dont-need")).toBe("ok");
  expect(look(space, at, 1)).toBe("a");
});

fact("A128", ({ space, map }) => {
  const at = map(3);
  paint(space, at, "mmm");
  store(space, at + 2 * P - 1, 7);
  expect(space.advise(at, P + 1, "dont-need")).toBe("ok");
  expect(load(space, at + 2 * P - 1)).toBe(0);
  expect(look(space, at, 3)).toBe("..m");
});

fact("A129", ({ space, map, file, bytesOf }) => {
  const object = file("ab");
  const at = map(2, { object });
  paint(space, at, "xy");
  expect(space.advise(at, P, "dont-need")).toBe("ok");
  expect(look(space, at, 2)).toBe("ay");
  expect(bytesOf(object)).toBe("ab");
});

fact("A130", ({ space, map, file, shared }) => {
  for (const object of [file("a"), shared(1)]) {
    const at = map(1, { object, shared: true });
    paint(space, at, "z");
    expect(space.advise(at, P, "dont-need")).toBe("ok");
    expect(look(space, at, 1)).toBe("z");
  }
});

fact("A131", ({ space, map }) => {
  const at = map(1);
  paint(space, at, "a");
  space.protect(at, P, NONE);
  expect(space.advise(at, P, "dont-need")).toBe("ok");
  space.protect(at, P, READ);
  expect(look(space, at, 1)).toBe(".");
});

fact("A132", ({ space, map }) => {
  const at = map(1);
  paint(space, at, "a");
  const child = fork(space);
  child.advise(at, P, "dont-need");
  expect(look(child, at, 1) + look(space, at, 1)).toBe(".a");
});

fact("A134", ({ space, map, shared }) => {
  const at = map(1, { locked: "all" });
  paint(space, at, "a");
  for (const advice of ["dont-need", "free", "cold", "page-out"] as const)
    expect(space.advise(at, P, advice)).toBe("locked");
  const all = map(1, { object: shared(1), shared: true, locked: "all" });
  expect(space.advise(all, P, "remove")).toBe("locked");
  expect(look(space, at, 1)).toBe("a");
  expect(space.advise(at, P, "dont-need-locked")).toBe("ok");
  expect(look(space, at, 1)).toBe(".");
  expect(space.lockedPages).toBe(2);
});

fact("A135", ({ vmm, space, map }) => {
  const at = map(2);
  for (const page of [0, 1]) for (const offset of [0, 5, 9]) store(space, at + page * P + offset, byteOf("f"));
  expect(space.advise(at, 2 * P, "free")).toBe("ok");
  expect(store(space, at + 5, byteOf("s"))).toBe("ok");
  vmm.reclaim(2);
  expect(load(space, at + 5)).toBe(byteOf("s"));
  for (const page of [0, 1]) {
    const rest = [load(space, at + page * P), load(space, at + page * P + 9)];
    expect(rest[0]).toBe(rest[1]);
    expect([0, byteOf("f")]).toContain(rest[0]);
  }
});

fact("A136", ({ vmm, space, map }) => {
  const at = map(2);
  paint(space, at, "ff");
  space.advise(at, 2 * P, "free");
  expect(["ff", ".f", "f.", ".."]).toContain(look(space, at, 2));
  vmm.reclaim(2);
  const after = look(space, at, 2);
  for (let again = 0; again < 3; again++) {
    vmm.reclaim(2);
    const now = look(space, at, 2);
    for (const page of [0, 1]) if (after[page] === ".") expect(now[page]).toBe(".");
  }
});

fact("A137", ({ space, map, file, shared }) => {
  expect(space.advise(map(1, { object: file("a") }), P, "free")).toBe("not-anonymous");
  expect(space.advise(map(1, { object: shared(1), shared: true }), P, "free")).toBe("not-anonymous");
  expect(space.advise(map(1, { rights: READ }), P, "free")).toBe("ok");
});

fact("A138", ({ space, map }) => {
  const at = map(2);
  paint(space, at, "ww");
  expect(space.advise(at, P, "wipe-on-clone")).toBe("ok");
  const child = fork(space);
  expect(look(child, at, 2)).toBe(".w");
  paint(child, at, "c");
  expect(look(fork(child), at, 2)).toBe(".w");
  expect(look(space, at, 2)).toBe("ww");
});

fact("A139", ({ space, map, file, shared }) => {
  expect(space.advise(map(1, { object: file("a") }), P, "wipe-on-clone")).toBe("not-anonymous");
  expect(space.advise(map(1, { object: shared(1), shared: true }), P, "wipe-on-clone")).toBe("not-anonymous");
  const at = map(2);
  paint(space, at, "ww");
  expect(space.advise(at, 0, "wipe-on-clone")).toBe("ok");
  space.advise(at + P, P, "wipe-on-clone");
  space.advise(at + P, P, "keep-on-clone");
  expect(look(fork(space), at, 2)).toBe("ww");
});

fact("A140", ({ space, map }) => {
  const at = map(3);
  paint(space, at, "abc");
  expect(space.advise(at + P, P, "no-clone")).toBe("ok");
  const child = fork(space);
  expect(load(child, at + P)).toBe("unmapped");
  expect(look(child, at, 3)).toBe("a!c");
  expect(look(space, at, 3)).toBe("abc");
  space.advise(at + P, P, "clone");
  expect(look(fork(space), at, 3)).toBe("abc");
});

fact("A141", ({ space, map, shared }) => {
  const object = shared(3);
  const at = map(3, { object, shared: true });
  const other = map(3, { object, shared: true, rights: READ });
  const own = map(3, { object });
  paint(space, at, "abc");
  paint(space, own + P, "z");
  expect(look(space, other, 3)).toBe("abc");
  expect(space.advise(at + P, P, "remove")).toBe("ok");
  expect(look(space, at, 3) + look(space, other, 3)).toBe("a.ca.c");
  expect(look(space, own, 3)).toBe("azc");
  expect(readText(object, P, 1)).toBe("\0");
  expect(object.size).toBe(3 * P);
});

fact("A142", ({ space, map, file }) => {
  expect(space.advise(map(1), P, "remove")).toBe("not-shared");
  expect(space.advise(map(1, { object: file("a") }), P, "remove")).toBe("rights");
  const readOnly = map(1, { object: file("a"), shared: true, rights: READ, ceiling: READ });
  expect(space.advise(readOnly, P, "remove")).toBe("rights");
});

fact("A143", ({ space, map }) => {
  expect(space.advise(map(1, { rights: NONE }), P, "populate-read")).toBe("rights");
  expect(space.advise(map(1, { rights: WRITE }), P, "populate-read")).toBe("rights");
  expect(space.advise(map(1, { rights: READ }), P, "populate-write")).toBe("rights");
});

fact("A145", ({ space, map, file }) => {
  expect(space.advise(map(2, { object: file("a") }), 2 * P, "populate-read")).toBe("bus");
  const at = map(2);
  space.advise(at + P, P, "guard");
  expect(space.advise(at, 2 * P, "populate-read")).toBe("bus");
});

fact("A146", ({ space, map }) => {
  const at = map(1);
  paint(space, at, "z");
  for (const advice of ["page-out", "cold", "will-need"] as const) {
    expect(space.advise(at, P, advice)).toBe("ok");
    expect(look(space, at, 1)).toBe("z");
  }
  expect(space.advise(at, 2 * P, "will-need")).toBe("unmapped");
});

fact("A147", ({ space, map }) => {
  const at = map(3);
  paint(space, at, "abc");
  expect(space.advise(at + P, P, "guard")).toBe("ok");
  expect(load(space, at + P)).toBe("guard");
  expect(store(space, at + P, 1)).toBe("guard");
  expect(space.regions.count).toBe(1);
  for (const advice of ["dont-need", "free"] as const) space.advise(at, 3 * P, advice);
  space.protect(at, 3 * P, READ);
  space.protect(at, 3 * P, READ + WRITE);
  expect(load(space, at + P)).toBe("guard");
  expect(space.advise(at + P, P, "no-guard")).toBe("ok");
  expect(load(space, at + P)).toBe(0);
});
