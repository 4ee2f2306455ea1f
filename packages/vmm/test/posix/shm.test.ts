/** Facts A179 to A186: shared memory by name. */
import { expect } from "vitest";

import { READ, SharedNames, WRITE, type NameRefusal, type SharedHandle } from "@pagewright/vmm";

import { P, fact, load, look, mapped, paint } from "./kit.ts";

function opened(outcome: SharedHandle | NameRefusal): SharedHandle {
  if (typeof outcome === "string") throw new Error(`refused: ${outcome}`);
  return outcome;
}

const CREATE = { create: true };

fact("A179", ({ vmm }) => {
  const names = new SharedNames(vmm);
  expect(names.open("n")).toBe("absent");
  const made = opened(names.open("n", CREATE));
  expect([made.object.size, names.count]).toEqual([0, 1]);
  expect(opened(names.open("n")).object).toBe(made.object);
});

fact("A180", ({ vmm }) => {
  const names = new SharedNames(vmm);
  opened(names.open("n", { create: true, exclusive: true }));
  expect(names.open("n", { create: true, exclusive: true })).toBe("exists");
  names.check();
});

fact("A181", ({ vmm, space }) => {
  const handle = opened(new SharedNames(vmm).open("n", CREATE));
  const at = mapped(space.map(handle.mapping({ bytes: P, shared: true })));
  expect(load(space, at)).toBe("bus");
  expect(handle.resize(P)).toBe("ok");
  expect(load(space, at)).toBe(0);
});

fact("A182", ({ vmm, space }) => {
  const names = new SharedNames(vmm);
  opened(names.open("n", CREATE)).resize(P);
  const handle = opened(names.open("n", { writable: false }));
  expect(handle.resize(2 * P)).toBe("rights");
  expect(space.map(handle.mapping({ bytes: P, shared: true }))).toBe("rights");
  const at = mapped(space.map(handle.mapping({ bytes: P, shared: true, rights: READ })));
  expect(space.protect(at, P, READ + WRITE)).toBe("rights");
  const own = mapped(space.map(handle.mapping({ bytes: P })));
  paint(space, own, "z");
  expect(look(space, own, 1) + look(space, at, 1)).toBe("z.");
});

fact("A183", ({ vmm, space }) => {
  const names = new SharedNames(vmm);
  const handle = opened(names.open("n", CREATE));
  handle.resize(P);
  const at = mapped(space.map(handle.mapping({ bytes: P, shared: true })));
  paint(space, at, "h");
  const again = opened(names.open("n", { create: true, truncate: true }));
  expect(again.object).toBe(handle.object);
  expect(handle.object.size).toBe(0);
  expect(load(space, at)).toBe("bus");
  handle.resize(P);
  expect(load(space, at)).toBe(0);
});

fact("A184", ({ vmm }) => {
  const names = new SharedNames(vmm);
  expect(names.open("x".repeat(256), CREATE)).toBe("too-long");
  for (const name of ["", "/", "/a/b"]) expect(names.open(name, CREATE)).toBe("bad-name");
  expect(names.count).toBe(0);
  opened(names.open("x".repeat(255), CREATE));
});

fact("A185", ({ vmm, space }) => {
  const names = new SharedNames(vmm);
  const handle = opened(names.open("n", CREATE));
  handle.resize(P);
  const at = mapped(space.map(handle.mapping({ bytes: P, shared: true })));
  paint(space, at, "h");
  expect(names.unlink("n")).toBe("ok");
  expect(names.open("n")).toBe("absent");
  expect(names.unlink("n")).toBe("absent");
  const other = opened(names.open("n", CREATE));
  expect(other.object).not.toBe(handle.object);
  expect(other.object.size).toBe(0);
  expect(look(space, at, 1)).toBe("h");
});

fact("A186", ({ vmm, space }) => {
  const names = new SharedNames(vmm);
  const handle = opened(names.open("n", CREATE));
  handle.resize(P);
  const at = mapped(space.map(handle.mapping({ bytes: P, shared: true })));
  names.unlink("n");
  handle.close();
  paint(space, at, "h");
  expect(look(space, at, 1)).toBe("h");
  expect(handle.object.isDestroyed).toBe(false);
  space.unmap(at, P);
  expect(handle.object.isDestroyed).toBe(true);
});
