import { expect, test } from "vitest";

import { Pmm } from "@pagewright/pmm";
import { PAGE_SIZE, PlainTranslationSystem, Vmm, WRITE, type FramePlacement } from "@pagewright/vmm";

import { spaceOf } from "./kit/rig.ts";

const NODE_FRAMES = 2048;

const ranges = [0, 1].map((at) => ({
  start: 8192 + at * NODE_FRAMES,
  end: 8192 + (at + 1) * NODE_FRAMES,
  node: at,
  rank: 0,
  hotPluggable: false,
  faulty: [],
}));

/** Frames that `pages` pages of a region get on two nodes of 2048 frames each. */
function framesOf(placement: FramePlacement, pages: number, node = 0): number[] {
  const pmm = new Pmm({ ranges });
  const window = { read: nothing, write: nothing, copy: nothing, zero: nothing };
  const vmm = new Vmm({ frames: pmm, window, tables: new PlainTranslationSystem(), currentNode: () => node });
  const space = spaceOf(vmm);
  const at = Number(space.map({ bytes: pages * PAGE_SIZE, frames: placement, alignment: 64 * PAGE_SIZE }));
  const frames: number[] = [];
  for (let page = 0; page < pages; page++) {
    if (space.fault(at + page * PAGE_SIZE, WRITE) !== "zero") break;
    space.tables.query(at / PAGE_SIZE + page);
    frames.push(space.tables.frame - 8192);
  }
  vmm.check();
  return frames;
}

function nothing(): void {
  return;
}

const nodeOf = (frame: number): number => Math.floor(frame / NODE_FRAMES);

test("local and preferred frames come from their node", () => {
  expect(new Set(framesOf({ policy: "local" }, 100, 1).map(nodeOf))).toEqual(new Set([1]));
  expect(new Set(framesOf({ policy: "preferred", nodes: [0] }, 100, 1).map(nodeOf))).toEqual(new Set([0]));
});

test("interleaved pages take turns, weighted by listing a node more than once", () => {
  const nodes = framesOf({ policy: "interleave", nodes: [0, 1, 1] }, 90).map(nodeOf);
  expect(nodes.filter((node) => node === 1).length).toBe(60);
});

test("a bound region gets no frame of another node", () => {
  const frames = framesOf({ policy: "bind", nodes: [1] }, NODE_FRAMES + 10);
  expect(frames.length).toBe(NODE_FRAMES + 10); // Where its node is full, its own pages make room.
  expect(new Set(frames.map(nodeOf))).toEqual(new Set([1]));
});

test("a placement that means nothing is a bug", () => {
  expect(() => framesOf({ policy: "bind" }, 1)).toThrow("needs nodes");
  expect(() => framesOf({ policy: "local", colours: 3 }, 1)).toThrow("power of two");
});

test("a clone's pages come from where its original's do", () => {
  const pmm = new Pmm({ ranges });
  const window = { read: nothing, write: nothing, copy: nothing, zero: nothing };
  const vmm = new Vmm({ frames: pmm, window, tables: new PlainTranslationSystem(), currentNode: () => 0 });
  const space = spaceOf(vmm);
  space.placement = { policy: "bind", nodes: [1] };
  const at = Number(space.map({ bytes: PAGE_SIZE }));
  const clone = space.clone();
  expect(clone?.fault(at, WRITE)).toBe("zero");
  clone?.tables.query(at / PAGE_SIZE);
  expect(nodeOf((clone?.tables.frame ?? 0) - 8192)).toBe(1);
  vmm.check();
});
