import { expect, test } from "vitest";

import { NO_FRAME, Pmm, PmmError } from "@pagewright/pmm";
import type { FrameRange, Pfn } from "@pagewright/pmm";

const BLOCK = { order: 9, node: -1, colour: -1, movable: 1 };
const GROUP = { order: 18, node: -1, colour: -1, movable: 1 };

function range(start: Pfn, end: Pfn): FrameRange {
  return { start, end, node: 0, rank: 0, hotPluggable: false, faulty: [] };
}

function codeOf(work: () => void): string {
  try {
    work();
  } catch (error) {
    if (PmmError.is(error)) return error.code;
  }
  return "none";
}

test("the frames of a split block are given back one by one, and make it whole again", () => {
  const pmm = new Pmm({ ranges: [range(4096, 4096 + 1024)] });
  const [first, second] = [pmm.take(BLOCK), pmm.take(BLOCK)];
  expect(pmm.take(BLOCK)).toBe(NO_FRAME);
  pmm.split(first, 9);
  pmm.check();
  expect(pmm.freeFrames).toBe(0);
  for (let at = 0; at < 512; at += 2) pmm.give(first + at);
  pmm.check();
  expect([pmm.freeFrames, pmm.useOf(first), pmm.useOf(first + 1)]).toEqual([256, "stacked", "taken"]);
  expect(codeOf(() => pmm.give(first, 9))).not.toBe("none");
  const odd = Float64Array.from({ length: 256 }, (_, at) => first + 2 * at + 1);
  pmm.giveMany(odd, 256);
  pmm.check();
  expect(pmm.take(BLOCK)).toBe(first);
  pmm.give(first, 9);
  pmm.give(second, 9);
  pmm.check();
  expect(pmm.stats().usedFrames).toBe(0);
});

test("a split 1G page becomes whole again too", () => {
  const pmm = new Pmm({ ranges: [range(262144, 2 * 262144)] });
  const page = pmm.take(GROUP);
  pmm.split(page, 18);
  pmm.check();
  expect([pmm.freeFrames, pmm.take()]).toEqual([0, NO_FRAME]);
  for (let at = 0; at < 262144; at++) pmm.give(page + at);
  pmm.check();
  expect(pmm.take(GROUP)).toBe(page);
});

test("pinned blocks, owners and frames to be retired stay what they are", () => {
  const pmm = new Pmm({ ranges: [range(4096, 4096 + 1024)], tables: { owners: true, counts: true } });
  const client = pmm.client("tables");
  const block = pmm.take({ ...BLOCK, movable: 0, owner: client });
  pmm.retire(block + 7);
  pmm.split(block, 9);
  pmm.check();
  expect([pmm.ownerOf(block), pmm.ownerOf(block + 100), pmm.usersOf(block + 511)]).toEqual(["tables", "tables", 1]);
  for (let at = 0; at < 512; at++) pmm.give(block + at);
  pmm.check();
  expect(pmm.retiredFrames()).toEqual([block + 7]);
  expect(pmm.freeFrames).toBe(1023);
});

test("what is no taken block of that order is not split", () => {
  const pmm = new Pmm({ ranges: [range(4096, 4096 + 1024)] });
  const block = pmm.take(BLOCK);
  const frame = pmm.take();
  for (const work of [
    () => pmm.split(frame, 9),
    () => pmm.split(block + 1, 9),
    () => pmm.split(block, 18),
    () => pmm.split(block, 0),
    () => pmm.split(1, 9),
  ])
    expect(codeOf(work)).not.toBe("none");
  pmm.split(block, 9);
  expect(codeOf(() => pmm.split(block, 9))).not.toBe("none");
  pmm.check();
});

test("a worker may split what another has taken, and others give the frames", () => {
  const maker = new Pmm({ ranges: [range(4096, 4096 + 1024)], shared: true, workers: 2 });
  const other = new Pmm({ share: maker.share, worker: 1 });
  const block = maker.take(BLOCK);
  other.split(block, 9);
  for (let at = 0; at < 512; at++) (at % 3 === 0 ? maker : other).give(block + at);
  maker.drain();
  other.drain();
  maker.check();
  expect(maker.freeFrames).toBe(1024);
});

test("a frame of a 1G page retires when the page is split and the frame alone is given back", () => {
  const pmm = new Pmm({ ranges: [range(262144, 2 * 262144)] });
  const page = pmm.take(GROUP);
  expect(pmm.retire(page + 1000)).toEqual({ retired: false, reason: "in-use", moves: [page], order: 18 });
  expect(pmm.retire(page)).toEqual({ retired: false, reason: "in-use", moves: [page], order: 18 });
  pmm.split(page, 18);
  pmm.give(page + 1000);
  pmm.give(page);
  expect(pmm.retiredFrames()).toEqual([page, page + 1000]);
  expect(pmm.useOf(page + 1)).toBe("taken");
  pmm.check();
});
