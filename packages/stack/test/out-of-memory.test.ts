/** Memory is all there is: no swap, and a program that stores until nothing is left. */
import { physicalMapFromJson } from "@pagewright/machine";
import { expect, test } from "vitest";

import { audit, createStack } from "../src/index.ts";

const PAGE = 4096;

test("what was stored before memory ran out can be loaded afterwards", () => {
  const map = physicalMapFromJson({ entries: [{ base: 0, length: 24 * 2 ** 20, type: 1 }] });
  const stack = createStack({ map, swap: [] });
  const space = stack.vmm.createSpace();
  if (space === null) throw new Error("no space");
  const at = Number(space.map({ bytes: 6144 * PAGE, accounted: false }));
  const cpu = stack.enter(space);
  const pages = Array.from({ length: 6144 }, (_, page) => page);
  const stored = pages.filter((page) => cpu.store32(at + page * PAGE, page + 1));
  expect(stored.length).toBeGreaterThan(1000);
  expect(stored.length).toBeLessThan(6144);
  const lost = stored.filter((page) => cpu.load32(at + page * PAGE) !== page + 1);
  expect(lost).toEqual([]);
  expect(audit(stack).problems).toEqual([]);
});
