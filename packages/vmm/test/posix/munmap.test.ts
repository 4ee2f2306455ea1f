/** Facts A061 to A068: unmapping. */
import { expect } from "vitest";

import { READ } from "@pagewright/vmm";

import { P, fact, load, look, paint, readText, throwsCode } from "./kit.ts";

fact("A061", ({ space, map }) => {
  const at = map(2);
  paint(space, at, "ab");
  throwsCode("unaligned", () => space.unmap(at + 1, P));
  throwsCode("out-of-range", () => space.unmap(at, 0));
  throwsCode("out-of-range", () => space.unmap(2 ** 40, 0));
  expect(space.unmap(2 ** 47 - P, P)).toBe("out-of-bounds");
  throwsCode("out-of-range", () => space.unmap(at, 2 ** 64 - P));
  expect(space.unmap(at, 2 ** 52)).toBe("out-of-bounds");
  expect(look(space, at, 2)).toBe("ab");
});

fact("A062", ({ space, map }) => {
  const at = map(1);
  paint(space, at, "a");
  expect(space.unmap(at - 4 * P, P)).toBe("ok");
  expect(look(space, at, 1)).toBe("a");
});

fact("A063", ({ space, map }) => {
  const at = map(4);
  paint(space, at, "uuuu");
  expect(space.unmap(at + P, 1)).toBe("ok");
  expect(load(space, at + P)).toBe("unmapped");
  expect(look(space, at, 4)).toBe("u!uu");
  expect(space.regions.count).toBe(2);
});

fact("A064", ({ space, map }) => {
  const at = map(4);
  space.unmap(at + P, P);
  expect(space.unmap(at, 4 * P)).toBe("ok");
  expect(look(space, at, 4)).toBe("!!!!");
  expect(space.regions.count).toBe(0);
});

fact("A065", ({ space, map, file }) => {
  const at = map(3, { object: file("abc"), rights: READ });
  space.unmap(at, P);
  expect(look(space, at, 3)).toBe("!bc");
});

fact("A066", ({ space, map }) => {
  const at = map(2);
  space.lock(at, 2 * P);
  expect(space.lockedPages).toBe(2);
  space.unmap(at, P);
  expect(space.lockedPages).toBe(1);
});

fact("A067", ({ space, map }) => {
  const at = map(3);
  const other = map(1, { rights: READ });
  paint(space, at, "abc");
  space.limits.regions = 2;
  expect(space.unmap(at + P, P)).toBe("region-limit");
  expect(look(space, at, 3)).toBe("abc");
  expect(space.unmap(at, P)).toBe("ok");
  expect(space.unmap(other, P)).toBe("ok");
  expect(look(space, at, 3)).toBe("!bc");
});

fact("A068", ({ space, map, file, bytesOf }) => {
  const object = file("a");
  const at = map(1, { object, shared: true });
  paint(space, at, "z");
  space.unmap(at, P);
  expect(readText(object, 0, 1)).toBe("z");
  expect(object.sync(object.cursor())).toBe("ok");
  expect(bytesOf(object)).toBe("z");
});
