/** Facts A187 to A204: seals of shared memory. */
import { expect } from "vitest";

import { READ, WRITE, type AnonymousObject, type Seal } from "@pagewright/vmm";

import { P, fact, fork, load, look, paint, poke, readText, store, type Kit } from "./kit.ts";

/** Shared memory to which seals can be added. */
function sealable({ vmm }: Kit, pages: number): AnonymousObject {
  return vmm.createAnonymous(pages * P, true);
}

function sealsOf(object: AnonymousObject): string {
  return [...object.seals].sort().join(" ");
}

const BYTE = Uint8Array.of(1);

fact("A188", ({ shared }) => {
  const object = shared(1);
  expect(sealsOf(object)).toBe("seal");
  expect(object.addSeals(["write"])).toBe("sealed");
  expect(object.addSeals([])).toBe("sealed");
});

fact("A191", (kit) => {
  const { space, map } = kit;
  const object = sealable(kit, 1);
  const at = map(1, { object, shared: true });
  expect(object.addSeals(["write"])).toBe("busy");
  space.protect(at, P, READ);
  expect(object.addSeals(["write"])).toBe("busy");
  space.unmap(at, P);
  const readable = map(1, { object, shared: true, rights: READ });
  expect(object.addSeals(["write"])).toBe("busy");
  space.unmap(readable, P);
  expect(object.addSeals(["write"])).toBe("ok");
});

fact("A192", (kit) => {
  const object = sealable(kit, 1);
  kit.map(1, { object, shared: true, rights: READ, ceiling: READ });
  kit.map(1, { object });
  expect(object.addSeals(["write"])).toBe("ok");
});

fact("A193", (kit) => {
  const object = sealable(kit, 1);
  const at = kit.map(1, { object, shared: true });
  const child = fork(kit.space);
  kit.space.unmap(at, P);
  expect(object.addSeals(["write"])).toBe("busy");
  child.destroy();
  expect(object.addSeals(["write"])).toBe("ok");
});

fact("A194", (kit) => {
  const object = sealable(kit, 1);
  kit.map(1, { object, shared: true });
  expect(object.addSeals(["write", "grow"])).toBe("busy");
  expect(sealsOf(object)).toBe("");
});

fact("A195", (kit) => {
  const object = sealable(kit, 2);
  poke(object, 0, "a");
  expect(object.addSeals(["write"])).toBe("ok");
  expect(object.write(0, BYTE)).toBe("sealed");
  expect(object.write(2 * P, BYTE)).toBe("sealed");
  expect(kit.space.map({ bytes: P, object, shared: true })).toBe("sealed");
  expect(object.punch(0, P)).toBe("sealed");
  expect(object.write(0, new Uint8Array(0))).toBe(0);
  expect(readText(object, 0, 1)).toBe("a");
});

fact("A196", (kit) => {
  const { space, map } = kit;
  const object = sealable(kit, 1);
  object.addSeals(["write"]);
  const at = map(1, { object, shared: true, rights: READ });
  expect(load(space, at)).toBe(0);
  expect(space.protect(at, P, READ + WRITE)).toBe("rights");
  expect(store(space, at, 1)).toBe("no-write");
});

fact("A197", (kit) => {
  const { space, map } = kit;
  const object = sealable(kit, 1);
  poke(object, 0, "a");
  object.addSeals(["write"]);
  const at = map(1, { object });
  paint(space, at, "z");
  expect(look(space, at, 1) + readText(object, 0, 1)).toBe("za");
  expect(object.resize(3 * P)).toBe("ok");
  expect(object.resize(P)).toBe("ok");
});

fact("A198", (kit) => {
  const object = sealable(kit, 2);
  object.addSeals(["grow"]);
  expect(object.resize(2 * P + 1)).toBe("sealed");
  expect(object.write(2 * P, BYTE)).toBe(0);
  expect(object.size).toBe(2 * P);
});

fact("A199", (kit) => {
  const object = sealable(kit, 2);
  object.addSeals(["grow"]);
  expect(object.write(2 * P - 40, new Uint8Array(100).fill(1))).toBe(40);
  expect(object.size).toBe(2 * P);
});

fact("A200", (kit) => {
  const object = sealable(kit, 2);
  object.addSeals(["shrink"]);
  expect(object.resize(P)).toBe("sealed");
  expect(object.resize(0)).toBe("sealed");
  expect(object.resize(2 * P)).toBe("ok");
  expect(object.punch(0, P)).toBe("ok");
  expect(object.resize(3 * P)).toBe("ok");
  expect(object.resize(2 * P)).toBe("sealed");
});

fact("A201", (kit) => {
  const { space, map } = kit;
  const object = sealable(kit, 1);
  const at = map(1, { object, shared: true });
  expect(object.addSeals(["future-write"])).toBe("ok");
  paint(space, at, "z");
  expect(readText(object, 0, 1)).toBe("z");
  expect(space.map({ bytes: P, object, shared: true })).toBe("sealed");
  expect(object.write(0, BYTE)).toBe("sealed");
  expect(object.punch(0, P)).toBe("sealed");
});

fact("A202", (kit) => {
  const { space, map } = kit;
  const object = sealable(kit, 1);
  const before = map(1, { object, shared: true });
  object.addSeals(["future-write"]);
  const after = map(1, { object, shared: true, rights: READ });
  expect(space.protect(after, P, READ + WRITE)).toBe("rights");
  expect(space.protect(before, P, READ)).toBe("ok");
  expect(space.protect(before, P, READ + WRITE)).toBe("ok");
});

fact("A203", (kit) => {
  const object = sealable(kit, 1);
  expect(object.addSeals(["seal", "grow"])).toBe("ok");
  for (const seals of [["grow"], ["write"], ["seal"], []] as Seal[][]) expect(object.addSeals(seals)).toBe("sealed");
  poke(object, 0, "a");
  expect(readText(object, 0, 1)).toBe("a");
});

fact("A204", (kit) => {
  const object = sealable(kit, 1);
  const again = object.open();
  const child = fork(kit.space);
  expect(again.addSeals(["shrink"])).toBe("ok");
  expect(object.resize(0)).toBe("sealed");
  const at = Number(child.map({ bytes: P, object, shared: true }));
  expect(look(child, at, 1)).toBe(".");
  expect(sealsOf(object)).toBe("shrink");
});
