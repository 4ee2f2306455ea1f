/** Facts A069 to A083: changes of rights. */
import { expect } from "vitest";

import { READ, WRITE } from "@pagewright/vmm";

import { NONE, P, fact, load, look, paint, store, throwsCode } from "./kit.ts";

fact("A069", ({ space, map }) => {
  const at = map(1);
  throwsCode("unaligned", () => space.protect(at + 1, P, READ));
  throwsCode("unaligned", () => space.protect(at + 1, 0, READ));
});

fact("A070", ({ space, map }) => {
  const at = map(1, { rights: READ });
  expect(space.protect(at, 0, READ + WRITE)).toBe("ok");
  expect(space.protect(2 ** 40, 0, READ + WRITE)).toBe("ok");
  expect(store(space, at, 1)).toBe("no-write");
});

fact("A071", ({ space, map }) => {
  const at = map(1);
  throwsCode("bad-argument", () => space.protect(at, P, READ + 0x100));
  throwsCode("bad-argument", () => space.protect(2 ** 40, P, READ + 0x100));
  expect(store(space, at, 1)).toBe("ok");
});

fact("A072", ({ space, map }) => {
  const at = map(1);
  throwsCode("out-of-range", () => space.protect(at, 2 ** 64 - P, READ));
  expect(space.protect(at, 2 ** 52, READ)).toBe("unmapped");
  expect(store(space, at, 1)).toBe("ok");
});

fact("A074", ({ space, map }) => {
  const at = map(2);
  space.unmap(at, P);
  expect(space.protect(at, 2 * P, READ)).toBe("unmapped");
  expect(store(space, at + P, 1)).toBe("ok");
});

fact("A076", ({ space, map, file, shared }) => {
  for (const object of [file("a"), shared(1)]) {
    const at = map(1, { object, shared: true, rights: READ, ceiling: READ });
    expect(space.protect(at, P, READ + WRITE)).toBe("rights");
    expect(store(space, at, 1)).toBe("no-write");
  }
});

fact("A077", ({ space, map, file, bytesOf }) => {
  const object = file("a");
  const at = map(1, { object, rights: READ });
  expect(space.protect(at, P, READ + WRITE)).toBe("ok");
  paint(space, at, "z");
  expect(look(space, at, 1)).toBe("z");
  expect(bytesOf(object)).toBe("a");
});

fact("A078", ({ space, map }) => {
  const at = map(2);
  paint(space, at, "ab");
  expect(space.protect(at, 1, READ)).toBe("ok");
  expect(store(space, at + P - 1, 1)).toBe("no-write");
  expect(store(space, at + P, 1)).toBe("ok");
});

fact("A079", ({ space, map }) => {
  const at = map(1);
  paint(space, at, "k");
  expect(space.protect(at, P, NONE)).toBe("ok");
  expect(load(space, at)).toBe("no-read");
  expect(store(space, at, 1)).toBe("no-write");
  expect(space.protect(at, P, READ)).toBe("ok");
  expect(look(space, at, 1)).toBe("k");
  expect(store(space, at, 1)).toBe("no-write");
});

fact("A080", ({ space, map, file, bytesOf }) => {
  const object = file("a");
  const at = map(1, { object, shared: true });
  paint(space, at, "b");
  expect(space.protect(at, P, READ)).toBe("ok");
  expect(store(space, at, 1)).toBe("no-write");
  space.sync(at, P);
  expect(bytesOf(object)).toBe("b");
});

fact("A081", ({ space, map, file, vmm }) => {
  const at = map(1, { object: file("a") });
  paint(space, at, "z");
  const copies = vmm.stats.copyFaults;
  space.protect(at, P, READ);
  expect(look(space, at, 1)).toBe("z");
  space.protect(at, P, READ + WRITE);
  expect(store(space, at + 1, 1)).toBe("ok");
  expect(look(space, at, 1)).toBe("z");
  expect(vmm.stats.copyFaults).toBe(copies);
});

fact("A082", ({ space, map }) => {
  const at = map(3);
  expect(space.regions.count).toBe(1);
  space.protect(at + P, P, READ);
  expect(space.regions.count).toBe(3);
  space.protect(at + P, P, READ + WRITE);
  expect(space.regions.count).toBe(1);
});

fact("A083", ({ space, map }) => {
  const at = map(3);
  space.limits.regions = 2;
  expect(space.protect(at + P, P, READ)).toBe("region-limit");
  expect(store(space, at + P, 1)).toBe("ok");
  expect(space.protect(at, P, READ)).toBe("ok");
});
