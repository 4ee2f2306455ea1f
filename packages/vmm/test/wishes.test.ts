/** Frames of the right node and colour for pages that get them by other ways than their first fault. */
import { describe, expect, test } from "vitest";

import { Pmm } from "@pagewright/pmm";
import {
  MemoryBacking,
  MemorySwap,
  PAGE_2M,
  PAGE_SIZE,
  SpaceMemory,
  Vmm,
  WRITE,
  type AddressSpace,
  type FramePlacement,
  type MapRequest,
  type VmmOptions,
} from "@pagewright/vmm";

import { LateSwap } from "./kit/late-swap.ts";
import { spaceOf } from "./kit/rig.ts";

const NODE_FRAMES = 2048;
const FIRST = 8192;
const BOUND: FramePlacement = { policy: "bind", nodes: [1] };

interface World {
  readonly pmm: Pmm;
  readonly vmm: Vmm;
  readonly space: AddressSpace;
}

/** A manager on two nodes of 2048 frames each; who runs is on node 0. */
function world(options: Partial<VmmOptions> = {}, colours = 1): World {
  const ranges = [0, 1].map((node) => ({
    start: FIRST + node * NODE_FRAMES,
    end: FIRST + (node + 1) * NODE_FRAMES,
    node,
    rank: node,
    hotPluggable: false,
    faulty: [],
  }));
  const pmm = new Pmm({ ranges, colours });
  const window = { read: nothing, write: nothing, copy: nothing, zero: nothing };
  const vmm = new Vmm({
    frames: pmm,
    special: pmm,
    window,
    swap: [new MemorySwap(4096)],
    currentNode: () => 0,
    nodeOf,
    ...options,
  });
  return { pmm, vmm, space: spaceOf(vmm) };
}

function nothing(): void {
  return;
}

function nodeOf(pfn: number): number {
  return Math.floor((pfn - FIRST) / NODE_FRAMES);
}

function mapped(space: AddressSpace, request: MapRequest): number {
  const at = space.map({ alignment: PAGE_2M, ...request });
  if (typeof at === "string") throw new Error(at);
  return at / PAGE_SIZE;
}

/** Stores to each page of a range. */
function touch(space: AddressSpace, vpn: number, pages: number): void {
  const bytes = new SpaceMemory(space);
  for (let at = 0; at < pages; at++) expect(bytes.store32((vpn + at) * PAGE_SIZE, at)).toBe(true);
}

/** The frames of the pages of a range, mapped or not; −1 where there is none. */
function framesAt({ vmm, space }: World, vpn: number, pages: number): number[] {
  const { pfn } = vmm.core.pages;
  return Array.from({ length: pages }, (_, at) => {
    const page = space.sheets.get(vpn + at)?.anons[(vpn + at) & 511] ?? -1;
    return page < 0 ? -1 : (pfn[page] ?? -1);
  });
}

/** How many pages of a range lie on each node. */
function spread(where: World, vpn: number, pages: number): number[] {
  const nodes = framesAt(where, vpn, pages).filter((pfn) => pfn >= 0);
  return [0, 1].map((node) => nodes.filter((pfn) => nodeOf(pfn) === node).length);
}

describe("pages that come back from swap", () => {
  test("fetched ahead, they lie on the node that their region is bound to", () => {
    const where = world();
    const vpn = mapped(where.space, { bytes: 400 * PAGE_SIZE, frames: BOUND });
    touch(where.space, vpn, 400);
    where.space.advise(vpn * PAGE_SIZE, 400 * PAGE_SIZE, "page-out");
    expect(spread(where, vpn, 400)).toEqual([0, 0]);
    touch(where.space, vpn, 400);
    expect(where.vmm.stats.fetchedAhead).toBeGreaterThan(200);
    expect(spread(where, vpn, 400)).toEqual([0, 400]);
    where.vmm.check();
  });

  test("so they do from a store that answers later", async () => {
    const where = world({ swap: [new LateSwap(4096)] });
    const vpn = mapped(where.space, { bytes: 64 * PAGE_SIZE, frames: BOUND });
    touch(where.space, vpn, 64);
    where.space.advise(vpn * PAGE_SIZE, 64 * PAGE_SIZE, "page-out");
    await where.vmm.core.swapper.settled();
    for (let at = vpn; at < vpn + 64; at++)
      while (where.space.fault(at * PAGE_SIZE, WRITE) === "pending") await where.space.pending;
    expect(where.vmm.stats.fetchedAhead).toBeGreaterThan(10);
    expect(spread(where, vpn, 64)).toEqual([0, 64]);
    where.vmm.check();
  });

  test("and so do pages of a file that are read ahead for a region", () => {
    const where = world();
    const { space, vmm } = where;
    const object = vmm.openFile(new MemoryBacking(256 * PAGE_SIZE));
    const vpn = mapped(space, { bytes: 256 * PAGE_SIZE, object, frames: BOUND });
    const bytes = new SpaceMemory(space);
    for (let at = 0; at < 256; at++) expect(bytes.load32((vpn + at) * PAGE_SIZE)).toBe(0);
    expect(vmm.stats.fetchedAhead).toBeGreaterThan(100);
    const nodes = Array.from({ length: 256 }, (_, at) => nodeOf(vmm.core.pages.frameOf(object.pages.get(at))));
    expect(nodes.filter((node) => node !== 1)).toEqual([]);
    vmm.check();
  });

  test("in idle time, and by advice, too", () => {
    for (const way of ["idle", "advice"]) {
      const where = world();
      where.space.placement = BOUND;
      const vpn = mapped(where.space, { bytes: 64 * PAGE_SIZE });
      touch(where.space, vpn, 64);
      where.space.advise(vpn * PAGE_SIZE, 64 * PAGE_SIZE, "page-out");
      if (way === "advice") where.space.advise(vpn * PAGE_SIZE, 64 * PAGE_SIZE, "will-need");
      else for (let step = 0; step < 20; step++) where.vmm.core.prefetcher.refill(16, 0);
      expect([way, ...spread(where, vpn, 64)]).toEqual([way, 0, 64]);
      where.vmm.check();
    }
  });

  test("frames keep the colours of their pages, before and after", () => {
    const where = world({}, 64);
    const vpn = mapped(where.space, { bytes: 400 * PAGE_SIZE, frames: { policy: "local", colours: 64 } });
    const wrong = (): number[] =>
      framesAt(where, vpn, 400).filter((pfn, at) => pfn < 0 || (pfn & 63) !== ((vpn + at) & 63));
    touch(where.space, vpn, 400);
    expect(wrong()).toEqual([]);
    where.space.advise(vpn * PAGE_SIZE, 400 * PAGE_SIZE, "page-out");
    touch(where.space, vpn, 400);
    expect(where.vmm.stats.fetchedAhead).toBeGreaterThan(200);
    expect(wrong()).toEqual([]);
  });
});

test("the clone's copy of a page that a device writes lies where the region is bound to", () => {
  const where = world();
  const vpn = mapped(where.space, { bytes: 4 * PAGE_SIZE, frames: BOUND });
  touch(where.space, vpn, 4);
  const transfer = where.vmm.beginTransfer(where.space, vpn * PAGE_SIZE, 4 * PAGE_SIZE, "from-device");
  if (typeof transfer === "string") throw new Error(transfer);
  const clone = where.space.clone();
  if (clone === null) throw new Error("no clone");
  const copies = framesAt({ ...where, space: clone }, vpn, 4);
  expect(copies.map(nodeOf)).toEqual([1, 1, 1, 1]);
  expect(copies).not.toEqual(framesAt(where, vpn, 4));
  transfer.complete();
  where.vmm.check();
});

test("a page of an object comes back where a region of it is bound to, though who mapped it last is gone", () => {
  const where = world();
  const { space, vmm } = where;
  const object = vmm.createAnonymous(64 * PAGE_SIZE);
  mapped(space, { bytes: 64 * PAGE_SIZE, object, shared: true, frames: BOUND });
  const other = spaceOf(vmm);
  const there = Number(other.map({ bytes: 64 * PAGE_SIZE, object, shared: true }));
  touch(other, there / PAGE_SIZE, 64);
  other.advise(there, 64 * PAGE_SIZE, "page-out");
  other.destroy();
  for (let step = 0; step < 20; step++) vmm.core.prefetcher.refill(16, 0);
  const nodes = Array.from({ length: 64 }, (_, at) => nodeOf(vmm.core.pages.frameOf(object.pages.get(at))));
  expect(nodes.filter((node) => node !== 1)).toEqual([]);
  vmm.check();
});

describe("2M pages", () => {
  test("without a wish are assembled where their pages lie, and not at all where these lie on both nodes", () => {
    for (const [far, placement] of [
      [512, null],
      [460, null],
      [512, { policy: "local" }],
      [300, null],
      [300, { policy: "local" }],
    ] as const) {
      const where = world();
      const { space, vmm } = where;
      const vpn = mapped(space, { bytes: PAGE_2M });
      // As balancing leaves them: the first pages on the node that uses them.
      for (let at = 511; at >= 0; at--) {
        space.placement = { policy: "bind", nodes: [at < far ? 1 : 0] };
        touch(space, vpn + at, 1);
      }
      space.placement = placement;
      space.advise(vpn * PAGE_SIZE, PAGE_2M, "large");
      for (let step = 0; step < 100; step++) vmm.collapser.step(64);
      const expected = far === 300 ? [0, 212, 300] : [1, 0, 512];
      expect([far, vmm.large.stats().collapses, ...spread(where, vpn, 512)]).toEqual([far, ...expected]);
      vmm.check();
    }
  });

  test("are assembled on the node that their region is bound to, or not at all", () => {
    for (const isFull of [false, true]) {
      const where = world();
      const { space, vmm, pmm } = where;
      const vpn = mapped(space, { bytes: PAGE_2M, frames: BOUND });
      for (let at = 511; at >= 0; at--) touch(space, vpn + at, 1);
      if (isFull) while (pmm.take({ order: 0, node: 1, colour: -1, movable: 0, strict: true } as const) >= 0);
      space.advise(vpn * PAGE_SIZE, PAGE_2M, "large");
      for (let step = 0; step < 100; step++) vmm.background(64);
      expect([vmm.large.stats().collapses, ...spread(where, vpn, 512)]).toEqual([isFull ? 0 : 1, 0, 512]);
      vmm.check();
    }
  });

  test("that are asked for come from the node that the request names", () => {
    const where = world();
    const vpn = mapped(where.space, { bytes: PAGE_2M, pageSize: PAGE_2M, frames: BOUND });
    expect(spread(where, vpn, 512)).toEqual([0, 512]);
  });
});

describe("pages that move", () => {
  test("stay on their node, and keep their colours", () => {
    const where = world({}, 64);
    const vpn = mapped(where.space, { bytes: 100 * PAGE_SIZE, frames: { ...BOUND, colours: 64 } });
    touch(where.space, vpn, 100);
    const before = framesAt(where, vpn, 100);
    for (const pfn of before) expect(typeof where.vmm.migrator.vacate(pfn)).toBe("number");
    expect(spread(where, vpn, 100)).toEqual([0, 100]);
    const after = framesAt(where, vpn, 100);
    expect(after.filter((pfn, at) => (pfn & 63) !== ((vpn + at) & 63) || before[at] === pfn)).toEqual([]);
    where.vmm.check();
  });

  test("leave it only when no frame of it is left", () => {
    const where = world();
    const vpn = mapped(where.space, { bytes: 100 * PAGE_SIZE, frames: BOUND });
    touch(where.space, vpn, 100);
    const half = where.pmm.offline({ start: FIRST + NODE_FRAMES, end: FIRST + NODE_FRAMES * 1.5 });
    if (!half.ok) throw new Error("refused");
    where.vmm.core.keeper.emptyStock();
    expect(where.vmm.migrator.evacuate(half.plan).ok).toBe(true);
    expect(spread(where, vpn, 100)).toEqual([0, 100]);
    for (const must of [false, true]) {
      const rest = where.pmm.offline({ start: FIRST + NODE_FRAMES * 1.5, end: FIRST + NODE_FRAMES * 2 });
      if (!rest.ok) throw new Error("refused");
      expect(where.vmm.migrator.evacuate(rest.plan, must).ok).toBe(must);
      expect(spread(where, vpn, 100)).toEqual(must ? [100, 0] : [0, 100]);
    }
    where.vmm.check();
  });
});

test("a preferred node that is full falls over to the other", () => {
  const where = world();
  const pages = NODE_FRAMES + 100;
  const vpn = mapped(where.space, { bytes: pages * PAGE_SIZE, frames: { policy: "preferred", nodes: [1] } });
  touch(where.space, vpn, pages);
  const [low = 0, high = 0] = spread(where, vpn, pages);
  expect([low + high, where.vmm.stats.evictions]).toEqual([pages, 0]);
  expect(low).toBeGreaterThanOrEqual(100);
  expect(high).toBeGreaterThan(NODE_FRAMES * 0.9);
});
