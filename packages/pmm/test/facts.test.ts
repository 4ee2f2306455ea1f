import { expect, test } from "vitest";

import { NO_FRAME, ORDER_1G, ORDER_2M, Pmm } from "../src/index.ts";
import { range } from "./ranges.ts";

const any = { order: 0, node: -1, colour: -1, movable: 1 };

test("a frame's facts say what it is used for, as part of what, by whom", () => {
  const tables = { owners: true, counts: true };
  const ranges = [range(0, 159), range(4096, 8192), range(2 ** 18, 2 ** 19, { node: 1, rank: 3 })];
  const pmm = new Pmm({ ranges, tables, clients: ["net"] });
  const none = { order: 0, isPinned: false, isWired: false, isRetiring: false, owner: undefined, users: 0 };
  expect(pmm.factsOf(200)).toEqual({ ...none, use: "hole", head: 200, zone: "", node: -1, rank: -1 });
  expect(pmm.factsOf(NO_FRAME).use).toBe("hole");
  expect(pmm.factsOf(5000)).toEqual({ ...none, use: "free", head: 5000, zone: "normal/0", node: 0, rank: 0 });

  const pfn = pmm.take({ ...any, movable: 0, owner: pmm.client("net") });
  pmm.wire(pfn);
  pmm.addUsers(pfn, 2);
  const place = { zone: "normal/0", node: 0, rank: 0, order: 0, head: pfn };
  const flags = { isPinned: true, isWired: true, isRetiring: false };
  expect(pmm.factsOf(pfn)).toEqual({ use: "taken", ...place, ...flags, owner: "net", users: 3 });

  const page = pmm.take({ ...any, node: 1, order: ORDER_1G });
  pmm.retire(page + 12_345);
  expect(pmm.factsOf(page + 12_345)).toMatchObject({
    use: "inside-1G",
    head: page,
    order: 18,
    isRetiring: true,
    rank: 3,
  });
  expect(pmm.factsOf(page + 1)).toMatchObject({ head: page, isRetiring: false, users: 1, node: 1 });
  const block = pmm.take({ ...any, order: ORDER_2M });
  expect(pmm.factsOf(block + 511)).toMatchObject({ use: "inside-2M", head: block, order: 9 });

  const other = pmm.take(any);
  pmm.give(other);
  expect(pmm.factsOf(other)).toMatchObject({ use: "stacked", users: 0, head: other });
  pmm.retire(other);
  expect(pmm.factsOf(other)).toMatchObject({ use: "retired", users: 0 });
  const grant = pmm.request({ frames: 4, below: 4096 });
  expect(grant.ok && pmm.factsOf(grant.start + 1)).toMatchObject({ use: "granted", zone: "low/0" });
  pmm.check();
});
