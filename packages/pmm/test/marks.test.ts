import { once } from "node:events";

import { spawnTs } from "@pagewright/tooling/worker";
import { expect, test } from "vitest";

import { Arena, LEAVING, TAKEN, WIRED } from "../src/arena.ts";
import { NO_FRAME, ORDER_2M, Pmm } from "../src/index.ts";
import { changeByte, isTakenByte, setFlags } from "../src/marks.ts";
import { range } from "./ranges.ts";

test("workers that mark the same frames at once lose no mark of each other", async () => {
  const pmm = new Pmm({ ranges: [range(4096, 8192)], shared: true });
  while (pmm.take() !== NO_FRAME);
  const threads = [WIRED, LEAVING].map((flag) =>
    spawnTs(new URL("./marks.worker.ts", import.meta.url), { share: pmm.share, flag, rounds: 100_000 }),
  );
  await Promise.all(threads.map((thread) => once(thread, "exit")));
  const arena = new Arena(pmm.share.layout, pmm.share.buffer);
  expect([...arena.state.subarray(4096, 4100)]).toEqual([TAKEN, TAKEN, TAKEN, TAKEN]);
  pmm.check();
});

test("a frame that is free by now is not marked", () => {
  const pmm = new Pmm({ ranges: [range(4096, 8192)] });
  const arena = new Arena(pmm.share.layout, pmm.share.buffer);
  const pfn = pmm.take();
  pmm.give(pfn);
  const before = arena.state[pfn];
  expect(isTakenByte(setFlags(arena, pfn, LEAVING))).toBe(false);
  expect(arena.state[pfn]).toBe(before);
  expect(changeByte(arena, pfn, (code) => code)).toBe(before);
  pmm.check();
});

test("any worker wires, unwires and retires what another has taken", () => {
  const maker = new Pmm({ ranges: [range(4096, 8192)], shared: true, workers: 2, tables: { owners: true } });
  const other = new Pmm({ share: maker.share, worker: 1 });
  const pfn = maker.take({ order: 0, node: -1, colour: -1, movable: 1, owner: maker.client("a") });
  expect(other.wire(pfn)).toBe(true);
  expect(() => maker.give(pfn)).toThrow("wired");
  expect(other.unwire(pfn)).toBe(true);
  other.setOwner(pfn, other.client("b"));
  expect([other.ownerOf(pfn), maker.ownerOf(pfn)]).toEqual(["b", "client 2"]);
  expect(other.retire(pfn).retired).toBe(false);
  maker.give(pfn);
  expect(other.retire(pfn).retired).toBe(true);
  const block = other.take({ order: ORDER_2M, node: -1, colour: -1, movable: 1 });
  expect([maker.wire(block), maker.wire(block), other.unwire(block)]).toEqual([true, false, true]);
  other.give(block, ORDER_2M);
  maker.check();
});
