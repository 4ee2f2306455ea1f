/** Facts A021 to A026: where a mapping goes and what it replaces. */
import { expect } from "vitest";

import { READ, WRITE } from "@pagewright/vmm";

import { P, fact, look, paint } from "./kit.ts";

const BASE = 2 ** 32;

fact("A021", ({ space, map }) => {
  for (const [start, pages] of [
    [0, 3],
    [5, 1],
    [9, 20],
  ] as const)
    map(pages, { address: BASE + start * P, placement: "fixed" });
  const taken: [number, number][] = [
    [BASE, BASE + 3 * P],
    [BASE + 5 * P, BASE + 6 * P],
    [BASE + 9 * P, BASE + 29 * P],
  ];
  for (const search of ["top-down", "bottom-up", "random"] as const)
    for (let pages = 1; pages < 5; pages++) {
      const at = map(pages, { search, address: 0 });
      expect(at & (P - 1)).toBe(0);
      expect(at).toBeGreaterThan(0);
      for (const [start, end] of taken) expect(at >= end || at + pages * P <= start).toBe(true);
      taken.push([at, at + pages * P]);
    }
  expect(space.mappedPages).toBe(24 + 3 * 10);
});

fact("A022", ({ map }) => {
  expect(map(1, { address: BASE + 123 })).toBe(BASE);
});

fact("A023", ({ space, map }) => {
  const at = map(2, { address: BASE });
  paint(space, at, "ab");
  const other = map(2, { address: BASE + P });
  expect(other >= BASE + 2 * P || other + 2 * P <= BASE).toBe(true);
  expect(look(space, at, 2)).toBe("ab");
});

fact("A024", ({ space, map }) => {
  const at = map(3, { address: BASE + P, placement: "fixed" });
  paint(space, at, "abc");
  for (const [start, pages] of [
    [1, 3],
    [2, 1],
    [0, 2],
    [3, 2],
    [0, 5],
  ] as const)
    expect(space.map({ bytes: pages * P, address: BASE + start * P, placement: "fixed-new" })).toBe("exists");
  expect(look(space, BASE, 5)).toBe("!abc!");
  map(1, { address: BASE, placement: "fixed-new" });
  map(1, { address: BASE + 4 * P, placement: "fixed-new" });
  expect(look(space, BASE, 5)).toBe(".abc.");
});

fact("A025", ({ space, map, file }) => {
  map(2, { address: BASE, placement: "fixed" });
  paint(space, BASE, "11");
  map(2, { address: BASE + 2 * P, placement: "fixed", object: file("ab"), rights: READ });
  map(2, { address: BASE + 4 * P, placement: "fixed", object: file("cd"), shared: true, rights: READ });
  expect(look(space, BASE, 6)).toBe("11abcd");
  map(4, { address: BASE + P, placement: "fixed" });
  expect(look(space, BASE, 6)).toBe("1....d");
});

fact("A026", ({ space, map, file }) => {
  const at = map(3);
  paint(space, at, "qqq");
  const fixed = { bytes: P, address: at + P, placement: "fixed" } as const;
  expect(space.map({ ...fixed, object: file("a"), shared: true, ceiling: READ, rights: READ + WRITE })).toBe("rights");
  space.limits.lockedPages = 0;
  expect(space.map({ ...fixed, locked: "all" })).toBe("lock-limit");
  space.limits.regions = 1;
  expect(space.map({ ...fixed, rights: READ })).toBe("region-limit");
  expect(look(space, at, 3)).toBe("qqq");
});
