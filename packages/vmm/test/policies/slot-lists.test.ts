import { describe, expect, test } from "vitest";

import { isVmmError } from "../../src/errors.ts";
import { SlotLists } from "../../src/reclaim/policies/slot-lists.ts";

describe("slot lists", () => {
  test("growing keeps every list in its order", () => {
    const lists = new SlotLists(3, 2);
    for (const slot of [0, 1]) lists.pushHead(0, slot);
    lists.pushTail(1, 2);
    lists.grow(10);
    lists.check();
    lists.pushHead(0, 9);
    expect([lists.popTail(0), lists.popTail(0), lists.popTail(0), lists.popTail(0)]).toEqual([0, 1, 9, -1]);
    expect(lists.popTail(1)).toBe(2);
    lists.check();
  });

  test("check names a slot that is linked on a list it does not name", () => {
    const lists = new SlotLists(3, 1);
    lists.pushHead(0, 1);
    lists.listOf[1] = -1;
    let thrown: unknown;
    try {
      lists.check();
    } catch (error) {
      thrown = error;
    }
    expect(isVmmError(thrown) && thrown.code).toBe("invariant");
    expect(String(thrown)).toContain("linked on a list that it does not name");
  });
});
