/** Facts A027 to A039: whose stores are seen by whom, and when. */
import { expect } from "vitest";

import { READ } from "@pagewright/vmm";

import { P, byteOf, fact, load, look, newSpace, paint, poke, readText, store } from "./kit.ts";

fact("A027", ({ space, map, file }) => {
  const at = map(2, { object: file("abc"), offset: P, rights: READ });
  expect(look(space, at, 2)).toBe("bc");
});

fact("A028", ({ space, map }) => {
  const at = map(2);
  for (const offset of [0, 1, P - 1, P]) expect(load(space, at + offset)).toBe(0);
  expect(store(space, at + 7, 9)).toBe("ok");
  expect([6, 7, 8].map((offset) => load(space, at + offset))).toEqual([0, 9, 0]);
});

fact("A029", ({ space, map, file }) => {
  const object = file("a");
  const at = map(1, { object, shared: true });
  paint(space, at, "z");
  expect(readText(object, 0, 1)).toBe("z");
});

fact("A030", ({ space, map, file }) => {
  const object = file("a");
  const at = map(1, { object, shared: true });
  expect(look(space, at, 1)).toBe("a");
  poke(object, 0, "z");
  expect(look(space, at, 1)).toBe("z");
});

fact("A031", ({ space, map, file }) => {
  const object = file("a");
  const one = map(1, { object, shared: true });
  const two = map(1, { object, shared: true });
  expect(look(space, two, 1)).toBe("a");
  paint(space, one, "z");
  expect(look(space, two, 1)).toBe("z");
});

fact("A032", ({ vmm, space, map, shared }) => {
  const object = shared(1);
  const at = map(1, { object, shared: true });
  const other = newSpace(vmm);
  const there = other.map({ bytes: P, object, shared: true });
  expect(look(other, Number(there), 1)).toBe(".");
  paint(space, at, "z");
  expect(look(other, Number(there), 1)).toBe("z");
});

fact("A033", ({ space, map, file, bytesOf }) => {
  const object = file("a");
  const one = map(1, { object });
  const two = map(1, { object });
  paint(space, one, "x");
  expect(look(space, two, 1)).toBe("a");
  paint(space, two, "y");
  expect(look(space, one, 1) + look(space, two, 1)).toBe("xy");
  expect(bytesOf(object)).toBe("a");
});

fact("A034", ({ space, map, file }) => {
  const object = file("ab");
  const own = map(2, { object });
  const all = map(2, { object, shared: true });
  expect(look(space, own, 2)).toBe("ab");
  poke(object, 0, "y");
  paint(space, all + P, "z");
  expect(look(space, own, 2)).toBe("yz");
});

fact("A035", ({ space, map, file }) => {
  const object = file("a");
  const at = map(1, { object });
  store(space, at, byteOf("m"));
  poke(object, 0, "x");
  poke(object, 1, "y");
  expect([load(space, at), load(space, at + 1)]).toEqual([byteOf("m"), byteOf("a")]);
});

fact("A036", ({ space, map, file }) => {
  const object = file("a");
  const at = map(1, { object });
  paint(space, at, "x");
  expect(space.sync(at, P)).toBe("ok");
  expect(space.unmap(at, P)).toBe("ok");
  expect(look(space, map(1, { object }), 1)).toBe("a");
});

fact("A037", ({ space, map, file }) => {
  const object = file("a");
  const at = map(1, { object, shared: true });
  object.close();
  expect(look(space, at, 1)).toBe("a");
  paint(space, at, "z");
  expect(look(space, at, 1)).toBe("z");
});

fact("A038", ({ space, map, shared }) => {
  const object = shared(1);
  const at = map(1, { object, shared: true });
  object.close();
  paint(space, at, "z");
  expect(space.sync(at, P)).toBe("ok");
  expect(look(space, at, 1)).toBe("z");
  expect(object.isDestroyed).toBe(false);
  space.unmap(at, P);
  expect(object.isDestroyed).toBe(true);
});

fact("A039", ({ space, map, file }) => {
  const object = file("a");
  const at = map(1, { object, shared: true });
  load(space, at);
  const before = object.changes;
  store(space, at, 1);
  space.sync(at, P);
  const after = object.changes;
  expect(after).toBeGreaterThan(before);
  store(space, at, 2);
  space.sync(at, P);
  expect(object.changes).toBeGreaterThan(after);
});
