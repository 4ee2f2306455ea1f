/** Facts A001 to A020: what a request to map may ask for. */
import { expect } from "vitest";

import { READ, WRITE } from "@pagewright/vmm";

import { P, fact, load, look, paint, refused, store, throwsCode } from "./kit.ts";

const USER_END = 2 ** 47 - P;

fact("A001", ({ space }) => {
  throwsCode("out-of-range", () => space.map({ bytes: 0 }));
  expect(space.regions.count).toBe(0);
});

fact("A003", ({ space, file }) => {
  const gone = file("a");
  gone.close();
  throwsCode("unaligned", () => space.map({ bytes: P, object: gone, offset: 100 }));
  throwsCode("unaligned", () => space.map({ bytes: P, object: file("a"), offset: 100 }));
  expect(space.regions.count).toBe(0);
});

fact("A004", ({ space, map }) => {
  throwsCode("unaligned", () => space.map({ bytes: P, offset: 100 }));
  expect(look(space, map(1, { offset: P }), 1)).toBe(".");
});

fact("A005", ({ space, map }) => {
  const at = map(1);
  paint(space, at, "q");
  throwsCode("unaligned", () => space.map({ bytes: P, address: at + 1, placement: "fixed" }));
  throwsCode("unaligned", () => space.map({ bytes: P, address: at + 123, placement: "fixed-new" }));
  expect(look(space, at, 1)).toBe("q");
});

fact("A010", ({ space, file }) => {
  const object = file("a");
  const readOnly = { object, shared: true, ceiling: READ };
  expect(space.map({ bytes: P, rights: WRITE, ...readOnly })).toBe("rights");
  expect(space.map({ bytes: P, rights: READ + WRITE, ...readOnly })).toBe("rights");
  expect(object.regions.size).toBe(0);
});

fact("A011", ({ space, file, map, bytesOf }) => {
  const object = file("a");
  const at = map(1, { object, rights: READ + WRITE });
  paint(space, at, "x");
  expect(look(space, at, 1)).toBe("x");
  expect(bytesOf(object)).toBe("a");
});

fact("A012", ({ space, file }) => {
  const gone = file("a");
  gone.close();
  throwsCode("destroyed", () => space.map({ bytes: P, object: gone }));
  expect(space.regions.count).toBe(0);
  expect(refused(space.map({ bytes: P }))).toBe(false);
});

fact("A014", ({ space, file }) => {
  throwsCode("out-of-range", () => space.map({ bytes: 2 * P, object: file("a"), offset: 2 ** 63 - P }));
  throwsCode("out-of-range", () => space.map({ bytes: 2 * P, object: file("a"), offset: 2 ** 53 - P }));
});

fact("A015", ({ space, file }) => {
  throwsCode("out-of-range", () => space.map({ bytes: P, object: file("a"), offset: 2 ** 63 - P }));
  throwsCode("out-of-range", () => space.map({ bytes: P, object: file("a"), offset: 2 ** 53 - P }));
  expect(refused(space.map({ bytes: P, object: file("a"), offset: 2 ** 53 - 2 * P }))).toBe(false);
});

fact("A016", ({ space, file }) => {
  for (const bytes of [P, 2 * P])
    throwsCode("out-of-range", () => space.map({ bytes, object: file("a"), offset: 2 ** 64 - P }));
});

fact("A017", ({ space }) => {
  throwsCode("out-of-range", () => space.map({ bytes: 2 ** 64 - 1 }));
  expect(space.map({ bytes: 2 ** 53 - 1 })).toBe("no-space");
});

fact("A018", ({ space }) => {
  expect(space.map({ bytes: 2 ** 47 })).toBe("no-space");
  expect(space.map({ bytes: 2 * P, address: USER_END, placement: "fixed" })).toBe("out-of-bounds");
  expect(space.map({ bytes: P, address: USER_END, placement: "fixed" })).toBe("out-of-bounds");
  expect(space.map({ bytes: P, address: USER_END - P, placement: "fixed" })).toBe(USER_END - P);
});

fact("A019", ({ space, file, map }) => {
  const object = file("a");
  const at = map(1, { object, shared: true, offset: 4 * P });
  expect(load(space, at)).toBe("bus");
  object.resize(5 * P);
  expect(load(space, at)).toBe(0);
});

fact("A020", ({ space, map }) => {
  space.limits.regions = 3;
  const wide = map(3);
  map(1, { rights: READ });
  paint(space, wide, "abc");
  map(1, { address: 2 ** 30, placement: "fixed" });
  expect(space.map({ bytes: P, address: 2 ** 31, placement: "fixed" })).toBe("region-limit");
  expect(space.protect(wide + P, P, READ)).toBe("region-limit");
  expect(space.unmap(wide + P, P)).toBe("region-limit");
  expect(look(space, wide, 3)).toBe("abc");
  expect(store(space, wide + P, 1)).toBe("ok");
});
