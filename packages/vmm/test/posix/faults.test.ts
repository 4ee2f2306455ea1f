/** Facts A205 to A210: what an access that cannot be done comes to, and transfers that end in the middle. */
import { expect } from "vitest";

import { READ } from "@pagewright/vmm";

import { NONE, P, byteOf, fact, load, memoryOf, paint, store } from "./kit.ts";

fact("A205", ({ space }) => {
  expect(load(space, 2 ** 40)).toBe("unmapped");
  expect(store(space, 2 ** 40, 1)).toBe("unmapped");
});

fact("A206", ({ space, map }) => {
  const none = map(1, { rights: NONE });
  expect(load(space, none)).toBe("no-read");
  expect(store(space, none, 1)).toBe("no-write");
  expect(store(space, map(1, { rights: READ }), 1)).toBe("no-write");
});

fact("A207", ({ space, map, file }) => {
  const at = map(2, { object: file("a"), shared: true });
  expect(load(space, at + P)).toBe("bus");
  expect(store(space, at + P, 1)).toBe("bus");
});

fact("A208", ({ space, map }) => {
  const memory = memoryOf(space);
  const bytes = Uint8Array.of(1, 2, 3);
  expect([memory.copyIn(map(1, { rights: NONE }), bytes), memory.fault]).toEqual([0, "no-write"]);
  expect([memory.copyIn(map(1, { rights: READ }), bytes), memory.fault]).toEqual([0, "no-write"]);
  expect([memory.copyIn(2 ** 40, bytes), memory.fault]).toEqual([0, "unmapped"]);
});

fact("A209", ({ space, map }) => {
  const at = map(2);
  space.protect(at + P, P, NONE);
  expect(memoryOf(space).copyIn(at + P - 5, new Uint8Array(10).fill(7))).toBe(5);
  expect([load(space, at + P - 6), load(space, at + P - 5)]).toEqual([0, 7]);
});

fact("A210", ({ space, map, file }) => {
  const at = map(2, { object: file("a"), shared: true });
  paint(space, at, "b");
  const memory = memoryOf(space);
  expect([memory.copyOut(at + P, new Uint8Array(8)), memory.fault]).toEqual([0, "bus"]);
  const into = new Uint8Array(8).fill(1);
  expect(memory.copyOut(at + P - 4, into)).toBe(4);
  const a = byteOf("a");
  expect([...into]).toEqual([a, a, a, a, 1, 1, 1, 1]);
});
