/** Facts A211 to A213: pages that a pager of the user's supplies. */
import { expect } from "vitest";

import type { Pager } from "@pagewright/vmm";

import { P, byteOf, fact, load, look, store } from "./kit.ts";

/** A pager that supplies nothing and is asked about stores. */
const NOTHING: Pager = { request: () => "poison", writeFault: () => "deny" };

const PAGE = new Uint8Array(P).fill(byteOf("d"));

fact("A211", ({ vmm, space, map }) => {
  const object = vmm.createPaged(2 * P, NOTHING);
  const at = map(2, { object, shared: true });
  object.provide(1, PAGE);
  expect(load(space, at)).toBe("bus");
  expect(store(space, at, 1)).toBe("bus");
  expect(look(space, at, 2)).toBe("#d");
  expect(store(space, at + P, byteOf("e"))).toBe("ok");
});

fact("A212", ({ vmm, space, map }) => {
  const object = vmm.createPaged(P, NOTHING);
  const at = map(1, { object, shared: true });
  expect(load(space, at)).toBe("bus");
  expect(object.provide(0, PAGE)).toBe("ok");
  expect(look(space, at, 1)).toBe("d");
  expect(object.provide(0, PAGE)).toBe("exists");
  expect(object.provide(0, new Uint8Array(P))).toBe("exists");
  expect(look(space, at, 1)).toBe("d");
});

fact("A213", ({ vmm, space, map }) => {
  const object = vmm.createPaged(2 * P, { request: () => "filled", writeFault: () => "deny" });
  const at = map(2, { object, shared: true, writeNotify: true });
  expect(store(space, at, byteOf("a"))).toBe("ok");
  object.protectPages(0, 2);
  expect(look(space, at, 1)).toBe("a");
  expect(store(space, at, byteOf("b"))).toBe("bus");
  expect(store(space, at + P, byteOf("c"))).toBe("ok"); // It was absent when its neighbour was protected.
  object.unprotectPages(0, 2);
  expect(store(space, at, byteOf("b"))).toBe("ok");
  expect(look(space, at, 2)).toBe("bc");
});
