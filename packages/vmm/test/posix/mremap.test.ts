/** Facts A148 to A169: moving, growing and shrinking. */
import { expect } from "vitest";

import { READ, USER_HIGH } from "@pagewright/vmm";

import { P, byteOf, fact, load, look, mapped, paint, poke, store, throwsCode } from "./kit.ts";

/** A place far from where mappings go by themselves. */
const T = 2 ** 40;

fact("A149", ({ space, map }) => {
  const at = map(1, { address: T, placement: "fixed" });
  paint(space, at, "t");
  for (const newBytes of [P, 2 * P, 3 * P])
    expect(space.remap({ address: 2 ** 30, bytes: 2 * P, newBytes, mayMove: true })).toBe("unmapped");
  expect(space.remap({ address: 2 ** 30, bytes: P, newBytes: P, mayMove: true, target: T })).toBe("unmapped");
  expect(look(space, at, 1)).toBe("t");
});

fact("A148", ({ space, map }) => {
  const at = map(1);
  paint(space, at, "a");
  throwsCode("bad-argument", () => space.remap({ address: at, bytes: P, newBytes: P, target: T }));
  throwsCode("unaligned", () => space.remap({ address: at + 1, bytes: P, newBytes: P, mayMove: true }));
  throwsCode("unaligned", () => space.remap({ address: at, bytes: P, newBytes: P, mayMove: true, target: T + 1 }));
  throwsCode("out-of-range", () => space.remap({ address: at, bytes: P, newBytes: 0, mayMove: true }));
  expect(look(space, at, 1)).toBe("a");
});

fact("A150", ({ space, map }) => {
  const at = map(1);
  paint(space, at, "a");
  throwsCode("out-of-range", () => space.remap({ address: at, bytes: P, newBytes: 2 ** 64 - 1 - P, mayMove: true }));
  expect(space.remap({ address: at, bytes: P, newBytes: 2 ** 47, mayMove: true })).toBe("no-space");
  const end = USER_HIGH * P;
  expect(space.remap({ address: at, bytes: P, newBytes: P, mayMove: true, target: end })).toBe("out-of-bounds");
  expect(look(space, at, 1)).toBe("a");
});

fact("A151", ({ space, map }) => {
  const at = map(4);
  paint(space, at, "abcd");
  const move = { bytes: 2 * P, newBytes: 2 * P, mayMove: true };
  expect(space.remap({ address: at, ...move, target: at })).toBe("overlap");
  expect(space.remap({ address: at, ...move, target: at + P })).toBe("overlap");
  expect(space.remap({ address: at + 2 * P, ...move, newBytes: 3 * P, target: at })).toBe("overlap");
  expect(look(space, at, 4)).toBe("abcd");
});

fact("A152", ({ space, map }) => {
  map(1, { address: T + 2 * P, placement: "fixed", rights: READ });
  const at = map(2, { address: T, placement: "fixed" });
  paint(space, at, "ab");
  expect(space.remap({ address: at, bytes: 2 * P, newBytes: 3 * P })).toBe("no-space");
  const moved = mapped(space.remap({ address: at, bytes: 2 * P, newBytes: 3 * P, mayMove: true }));
  expect(look(space, moved, 3)).toBe("ab.");
  expect(load(space, at)).toBe("unmapped");
});

fact("A153", ({ space, map }) => {
  const at = map(2, { address: T, placement: "fixed" });
  paint(space, at, "ab");
  expect(space.remap({ address: at, bytes: 2 * P, newBytes: 4 * P })).toBe(at);
  expect(look(space, at, 4)).toBe("ab..");
  expect(space.regions.count).toBe(1);
});

fact("A154", ({ space, map }) => {
  const at = map(4, { address: T, placement: "fixed" });
  paint(space, at, "abcd");
  expect(space.remap({ address: at, bytes: 2 * P, newBytes: 4 * P })).toBe("no-space");
  const moved = mapped(space.remap({ address: at, bytes: 2 * P, newBytes: 4 * P, mayMove: true }));
  expect(look(space, moved, 4)).toBe("ab..");
  expect(look(space, at, 4)).toBe("!!cd");
});

fact("A155", ({ space, map }) => {
  const at = map(4);
  paint(space, at, "abcd");
  expect(space.remap({ address: at, bytes: 4 * P, newBytes: P + 1 })).toBe(at);
  expect(look(space, at, 4)).toBe("ab!!");
});

fact("A156", ({ space, map }) => {
  const at = map(4);
  paint(space, at, "abcd");
  expect(space.remap({ address: at, bytes: 4 * P, newBytes: 2 * P, mayMove: true, target: T })).toBe(T);
  expect(look(space, T, 3)).toBe("ab!");
  expect(look(space, at, 4)).toBe("!!!!");
});

fact("A157", ({ space, map }) => {
  for (const [pages, seen] of [
    [2, "TAATT"],
    [3, "TAA.T"],
  ] as const) {
    const target = map(5, { address: T, placement: "fixed" });
    paint(space, target, "TTTTT");
    const at = map(2);
    paint(space, at, "AA");
    const request = { address: at, bytes: 2 * P, newBytes: pages * P, mayMove: true, target: target + P };
    expect(space.remap(request)).toBe(target + P);
    expect(look(space, target, 5)).toBe(seen);
  }
});

fact("A158", ({ space, map, file, bytesOf }) => {
  const object = file("abc");
  const at = map(1, { object, shared: true, offset: P });
  const moved = mapped(space.remap({ address: at, bytes: P, newBytes: P, mayMove: true, target: T }));
  paint(space, moved, "z");
  space.sync(moved, P);
  expect(bytesOf(object)).toBe("azc");
});

fact("A159", ({ space, map, file }) => {
  for (const readOnly of [-1, 0, 2]) {
    const at = map(4, { object: file("abcd"), shared: true });
    if (readOnly >= 0) space.protect(at + readOnly * P, P, READ);
    const move = { bytes: P, newBytes: P, mayMove: true };
    expect(space.remap({ address: at + P, ...move, target: T })).toBe(T);
    expect(look(space, at, 4) + look(space, T, 1)).toBe("a!cdb");
    expect(space.remap({ address: T, ...move, target: at + P })).toBe(at + P);
    expect(look(space, at, 4)).toBe("abcd");
  }
});

fact("A160", ({ space, map, file }) => {
  const object = file("abc");
  const at = map(1, { address: T, placement: "fixed", object, shared: true, offset: P });
  const grown = mapped(space.remap({ address: at, bytes: P, newBytes: 4 * P, mayMove: true }));
  expect(look(space, grown, 4)).toBe("bc##");
  object.resize(5 * P);
  expect(look(space, grown, 4)).toBe("bc..");
});

fact("A161", ({ space, map, shared }) => {
  const at = map(1, { object: shared(1), shared: true });
  paint(space, at, "a");
  const grown = mapped(space.remap({ address: at, bytes: P, newBytes: 2 * P, mayMove: true }));
  expect(look(space, grown, 2)).toBe("a#");
});

fact("A162", ({ space, map, file }) => {
  const object = file("ab");
  const at = map(2, { object });
  paint(space, at, "x");
  const moved = mapped(space.remap({ address: at, bytes: 2 * P, newBytes: 2 * P, mayMove: true, target: T }));
  poke(object, P, "y");
  expect(look(space, moved, 2)).toBe("xy");
});

fact("A163", ({ space, map, shared }) => {
  const at = map(3, { object: shared(3), shared: true });
  paint(space, at, "abc");
  const alias = mapped(space.remap({ address: at + P, bytes: 0, newBytes: 2 * P, mayMove: true }));
  expect(look(space, alias, 2)).toBe("bc");
  paint(space, alias, "x");
  expect(look(space, at, 3)).toBe("axc");
  paint(space, at + 2 * P, "y");
  expect(look(space, alias, 2)).toBe("xy");
});

fact("A164", ({ space, map, shared }) => {
  const own = map(1);
  expect(space.remap({ address: own, bytes: 0, newBytes: P, mayMove: true })).toBe("not-shared");
  const all = map(1, { object: shared(1), shared: true });
  throwsCode("bad-argument", () => space.remap({ address: all, bytes: 0, newBytes: P }));
});

fact("A165", ({ space, map }) => {
  const at = map(2);
  paint(space, at, "ab");
  space.protect(at + P, P, READ);
  expect(space.remap({ address: at, bytes: 2 * P, newBytes: 3 * P, mayMove: true })).toBe("mixed");
  expect(look(space, at, 2)).toBe("ab");
});

fact("A166", ({ space, map }) => {
  const at = map(2, { locked: "all" });
  paint(space, at, "ab");
  space.limits.lockedPages = 2;
  const grow = { address: at, bytes: 2 * P, newBytes: 3 * P, mayMove: true };
  expect(space.remap(grow)).toBe("lock-limit");
  expect(space.remap({ ...grow, target: T })).toBe("lock-limit");
  expect(look(space, at, 2)).toBe("ab");
  expect(space.lockedPages).toBe(2);
});

fact("A167", ({ space, map }) => {
  for (const target of [undefined, T]) {
    const at = map(2);
    paint(space, at, "DD");
    const request = { address: at, bytes: 2 * P, newBytes: 2 * P, mayMove: true, keepSource: true };
    const moved = mapped(space.remap(target === undefined ? request : { ...request, target }));
    expect(look(space, moved, 2) + look(space, at, 2)).toBe("DD..");
    expect(store(space, at, byteOf("x"))).toBe("ok");
    expect(look(space, moved, 2) + look(space, at, 2)).toBe("DDx.");
  }
});

fact("A168", ({ space, map }) => {
  const at = map(2);
  const keep = { address: at, bytes: 2 * P, keepSource: true };
  throwsCode("bad-argument", () => space.remap({ ...keep, newBytes: 3 * P, mayMove: true }));
  throwsCode("bad-argument", () => space.remap({ ...keep, newBytes: 2 * P }));
});

fact("A169", ({ space, map, file, shared }) => {
  const all = map(1, { object: shared(1), shared: true });
  paint(space, all, "s");
  const own = map(1, { object: file("f") });
  paint(space, own, "p");
  const keep = { bytes: P, newBytes: P, mayMove: true, keepSource: true };
  const allMoved = mapped(space.remap({ address: all, ...keep }));
  const ownMoved = mapped(space.remap({ address: own, ...keep }));
  expect(look(space, all, 1) + look(space, allMoved, 1)).toBe("ss");
  expect(look(space, own, 1) + look(space, ownMoved, 1)).toBe("fp");
});
