/** Facts A040 to A060: the end of a file, and what growing, shrinking and holes do to its mappings. */
import { expect } from "vitest";

import { NONE, P, byteOf, fact, load, look, paint, readText, store, storedBytes, throwsCode } from "./kit.ts";
import { READ } from "@pagewright/vmm";

fact("A040", ({ space, map, fileOf }) => {
  const at = map(2, { object: fileOf("x".repeat(100)), shared: true });
  expect([99, 100, P - 1].map((offset) => load(space, at + offset))).toEqual([byteOf("x"), 0, 0]);
});

fact("A041", ({ space, map, fileOf }) => {
  const at = map(2, { object: fileOf("x".repeat(100)), shared: true });
  expect(load(space, at + P)).toBe("bus");
  expect(store(space, at + P, 1)).toBe("bus");
});

fact("A042", ({ space, map, fileOf }) => {
  const object = fileOf("x".repeat(100));
  const at = map(2, { object, shared: true });
  expect(store(space, at + 200, 7)).toBe("ok");
  expect(space.sync(at, 2 * P)).toBe("ok");
  expect(object.size).toBe(100);
  expect(storedBytes(object)).toBe(100);
  expect(readText(object, 200, 1)).toBe("");
});

fact("A043", ({ space, map, fileOf }) => {
  const object = fileOf("x".repeat(100));
  const at = map(1, { object, shared: true });
  store(space, at + 200, 7);
  space.unmap(at, P);
  expect(load(space, map(1, { object, shared: true }) + 200)).toBe(0);
});

fact("A044", ({ space, map, fileOf }) => {
  const object = fileOf("x".repeat(100));
  const at = map(1, { object, shared: true });
  store(space, at + 200, 7);
  expect(object.resize(300)).toBe("ok");
  expect(readText(object, 200, 1)).toBe("\0");
  expect(load(space, at + 200)).toBe(0);
});

fact("A045", ({ space, map, fileOf }) => {
  const object = fileOf("");
  const at = map(1, { object, shared: true });
  expect(load(space, at)).toBe("bus");
  object.resize(P);
  expect(load(space, at)).toBe(0);
});

fact("A046", ({ space, map, file }) => {
  const at = map(2, { object: file("a") });
  expect(store(space, at + P, 1)).toBe("bus");
});

fact("A047", ({ space, map, file }) => {
  const at = map(2, { object: file("a"), rights: NONE });
  expect(load(space, at + P)).toBe("no-read");
});

fact("A048", ({ space, map, file }) => {
  const at = map(2, { object: file("a"), shared: true, rights: READ });
  expect(store(space, at + P, 1)).toBe("no-write");
  expect(load(space, at + P)).toBe("bus");
});

fact("A049", ({ space, map, file, bytesOf }) => {
  const object = file("a");
  const at = map(2, { object, shared: true });
  expect(load(space, at + P)).toBe("bus");
  object.resize(2 * P);
  expect(load(space, at + P)).toBe(0);
  paint(space, at + P, "z");
  expect(readText(object, P, 1)).toBe("z");
  space.sync(at, 2 * P);
  expect(bytesOf(object)).toBe("az");
});

fact("A050", ({ space, map, fileOf }) => {
  const object = fileOf("");
  const at = map(2, { object, shared: true });
  object.resize(11);
  object.write(10, Uint8Array.of(byteOf("d")));
  expect([0, 10, 11, P - 1].map((offset) => load(space, at + offset))).toEqual([0, byteOf("d"), 0, 0]);
  expect(load(space, at + P)).toBe("bus");
});

fact("A051", ({ space, map, file }) => {
  const object = file("ab");
  const at = map(2, { object, shared: true });
  paint(space, at, "xy");
  object.resize(P);
  expect(load(space, at + P)).toBe("bus");
  expect(store(space, at + P, 1)).toBe("bus");
  expect(look(space, at, 2)).toBe("x#");
});

fact("A052", ({ space, map, file }) => {
  const object = file("ab");
  const at = map(2, { object, shared: true });
  expect(look(space, at, 2)).toBe("ab");
  object.resize(P);
  object.resize(2 * P);
  expect(look(space, at, 2)).toBe("a.");
});

fact("A053", ({ space, map, file }) => {
  const object = file("abc");
  const at = map(3, { object, shared: true });
  expect(look(space, at, 3)).toBe("abc");
  object.resize(P + 10);
  const edge = (): unknown[] => [P + 9, P + 10, 2 * P - 1].map((offset) => load(space, at + offset));
  expect(edge()).toEqual([byteOf("b"), 0, 0]);
  expect(load(space, at + 2 * P)).toBe("bus");
  object.resize(3 * P);
  expect(edge()).toEqual([byteOf("b"), 0, 0]);
  expect(load(space, at + 2 * P)).toBe(0);
});

fact("A054", ({ space, map, file }) => {
  const object = file("abc");
  const at = map(3, { object });
  paint(space, at + 2 * P, "z");
  object.resize(P + 100);
  expect(load(space, at + 2 * P)).toBe("bus");
});

fact("A055", ({ space, map, file }) => {
  const object = file("abc");
  const at = map(3, { object });
  paint(space, at + 2 * P, "z");
  object.resize(P + 100);
  object.resize(3 * P);
  expect(load(space, at + 2 * P)).toBe(0);
});

fact("A056", ({ space, map, file }) => {
  const object = file("abc");
  const at = map(3, { object });
  store(space, at + P + 50, 1);
  store(space, at + P + 2000, 2);
  object.resize(P + 100);
  expect([load(space, at + P + 50), load(space, at + P + 2000)]).toEqual([1, 2]);
});

fact("A058", ({ space, map, file, bytesOf }) => {
  const object = file("abcd");
  const at = map(4, { object, shared: true });
  expect(look(space, at, 4)).toBe("abcd");
  object.punch(P, 3 * P);
  expect(look(space, at, 4)).toBe("a..d");
  expect(object.size).toBe(4 * P);
  expect(bytesOf(object)).toBe("a..d");
});

fact("A059", ({ space, map, file }) => {
  const object = file("abcd");
  const at = map(4, { object });
  paint(space, at + P, "z");
  expect(look(space, at, 4)).toBe("azcd");
  object.punch(P, 3 * P);
  expect(look(space, at, 4)).toBe("az.d");
});

fact("A060", ({ space, map, file }) => {
  const object = file("a");
  const at = map(1, { object, shared: true });
  object.punch(10, 30);
  const a = byteOf("a");
  expect([9, 10, 29, 30].map((offset) => load(space, at + offset))).toEqual([a, 0, 0, a]);
});

fact("A057", ({ file, shared }) => {
  for (const object of [file("a"), shared(1)]) {
    throwsCode("out-of-range", () => object.resize(-1));
    expect(object.size).toBe(P);
    object.close();
    throwsCode("destroyed", () => object.resize(1));
  }
});
