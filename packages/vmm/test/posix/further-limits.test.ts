/** Facts B085 to B096: what requests for pages at once, holes, limits and moves over oneself come to. */
import { expect } from "vitest";

import { PlainMemory, READ, USER, Vmm, WRITE } from "@pagewright/vmm";

import { NONE, P, fact, fork, look, newSpace, paint, poke, readText, store } from "./kit.ts";

fact("B085", ({ space, map, file }) => {
  const object = file("ab");
  const locked = map(2, { object, locked: "all" });
  const later = map(2, { object });
  const populated = map(2, { object });
  const touched = map(2, { object });
  const reader = map(2, { object, rights: READ });
  expect(space.lock(later, 2 * P)).toBe("ok");
  expect(space.advise(populated, 2 * P, "populate-write")).toBe("ok");
  expect(space.lock(touched, 2 * P, "touched")).toBe("ok");
  expect(space.lock(reader, 2 * P)).toBe("ok");
  expect(look(space, touched, 2)).toBe("ab");
  poke(object, P, "Y");
  for (const at of [locked, later, populated]) expect(look(space, at, 2)).toBe("ab");
  for (const at of [touched, reader]) expect(look(space, at, 2)).toBe("aY");
});

fact("B086", ({ space, map, shared }) => {
  const object = shared(2);
  const at = map(2, { object, shared: true });
  object.close();
  expect(store(space, at + P, 65)).toBe("ok");
  expect(space.map({ bytes: 2 * P, object, shared: true, address: at, placement: "fixed" })).toBe(at);
  expect(look(space, at, 2)).toBe(".A");
});

fact("B087", ({ space, map, shared, file }) => {
  const memory = shared(4);
  for (const object of [memory, file("abcd")]) {
    const at = map(4, { object, shared: true });
    for (let page = 0; page < 4; page++) for (const byte of [0, 9, 10, P - 1]) poke(object, page * P + byte, "x");
    expect(object.punch(P + 10, 2 * P + 10)).toBe("ok");
    const kept = [0, 1, 2, 3].map((page) =>
      [0, 9, 10, P - 1].map((byte) => (readText(object, page * P + byte, 1) === "x" ? "x" : ".")).join(""),
    );
    expect(kept).toEqual(["xxxx", "xx..", "..xx", "xxxx"]);
    expect(look(space, at, 4)).toBe("xx.x");
  }
});

fact("B088", ({ space, map }) => {
  const at = map(3);
  space.limits.pages = 3;
  expect(space.map({ bytes: P, address: at + 64 * P, placement: "fixed" })).toBe("size-limit");
  expect(space.map({ bytes: 2 * P, address: at + 2 * P, placement: "fixed" })).toBe("size-limit");
  expect(space.map({ bytes: 2 * P, address: at + P, placement: "fixed" })).toBe(at + P);
  expect(space.mappedPages).toBe(3);
});

fact("B089", ({ space, map, shared }) => {
  const at = map(4, { object: shared(4), shared: true });
  for (const target of [at, at - P, at - 3 * P])
    expect(space.remap({ address: at, bytes: 0, newBytes: 4 * P, mayMove: true, target })).toBe("overlap");
  expect(space.remap({ address: at, bytes: 0, newBytes: 2 * P, mayMove: true, target: at + 2 * P })).toBe(at + 2 * P);
});

fact("B090", ({ space, map }) => {
  const at = map(2, { populate: true });
  for (const page of [0, 1]) expect(space.fault(at + page * P, WRITE + USER)).toBe("spurious");
});

fact("B091", ({ space, map, shared }) => {
  const at = map(2, { object: shared(2), shared: true, locked: "all" });
  const alias = Number(space.remap({ address: at, bytes: 0, newBytes: 2 * P, mayMove: true }));
  expect(space.lockedPages).toBe(4);
  expect(space.advise(alias, P, "cold")).toBe("locked");
});

fact("B092", ({ space, map, file }) => {
  const object = file("ab");
  const at = map(2, { object, rights: READ, locked: "all" });
  expect(space.protect(at, P, READ + WRITE)).toBe("ok");
  for (const page of [0, 1]) poke(object, page * P, "Y");
  expect(look(space, at, 2)).toBe("aY");
});

fact("B093", ({ space, map }) => {
  const at = map(3);
  paint(space, at, "abc");
  expect(space.advise(at, 2 * P, "wipe-on-clone")).toBe("ok");
  expect(space.advise(at, 3 * P, "no-clone")).toBe("ok");
  expect(space.advise(at, 3 * P, "keep-on-clone")).toBe("ok");
  expect(look(fork(space), at, 3)).toBe("!!!");
  expect(space.advise(at, P, "wipe-on-clone")).toBe("ok");
  expect(space.advise(at, 3 * P, "clone")).toBe("ok");
  expect(look(fork(space), at, 3)).toBe(".bc");
});

fact("B095", ({ space, map }) => {
  const base = 2 ** 36;
  map(1, { address: base, rights: NONE });
  map(1, { address: base + 4 * P, growsDown: true });
  expect(store(space, base + P, 1)).toBe("ok");
  map(1, { address: base + 2 ** 30, rights: READ });
  map(1, { address: base + 2 ** 30 + 260 * P, growsDown: true });
  expect(store(space, base + 2 ** 30 + 257 * P, 1)).toBe("ok");
  expect(store(space, base + 2 ** 30 + 256 * P, 1)).toBe("unmapped");
});

fact("B097", ({ space, map }) => {
  for (const size of [6, 2, 8]) {
    const at = map(8);
    paint(space, at, "abcdefgh");
    expect(space.protect(at + 4 * P, 4 * P, READ)).toBe("ok");
    expect(space.remap({ address: at, bytes: 8 * P, newBytes: size * P })).toBe(at);
    expect(look(space, at, 8)).toBe("abcdefgh".slice(0, size).padEnd(8, "!"));
  }
});

fact("B096", () => {
  const memory = new PlainMemory(64);
  const vmm = new Vmm({ frames: memory, window: memory, commit: "strict", commitLimit: 4 });
  const space = newSpace(vmm);
  const at = Number(space.map({ bytes: 4 * P, address: 2 ** 36 }));
  expect(space.map({ bytes: 2 * P, address: at + 3 * P, placement: "fixed" })).toBe("commit-limit");
  expect(space.map({ bytes: 2 * P, address: at + P, placement: "fixed" })).toBe(at + P);
  expect([space.map({ bytes: P }), vmm.commit.charged]).toEqual(["commit-limit", 4]);
  vmm.check();
});
