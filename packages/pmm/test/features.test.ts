import { expect, test } from "vitest";

import {
  Balloon,
  BalloonHost,
  BootAllocator,
  coloursOf,
  NO_FRAME,
  ORDER_1G,
  ORDER_2M,
  PluggableRegion,
  Pmm,
  Quarantine,
  Rates,
} from "../src/index.ts";
import type { Pfn } from "../src/index.ts";
import { range } from "./ranges.ts";

const any = { order: 0, node: -1, colour: -1, movable: 1 };

/** Ends a test: checks, then takes all that is left, and says how many that were. */
function exhaust(pmm: Pmm): number {
  pmm.check();
  let taken = 0;
  while (pmm.take({ ...any, borrow: true }) !== NO_FRAME) taken += 1;
  pmm.check();
  return taken;
}

test("the worked example of the marks: 1000 frames, min 40, low 50, high 60", () => {
  const pmm = new Pmm({ ranges: [range(4096, 5096)], watermarks: { min: 40, low: 50, high: 60 } });
  const held: Pfn[] = [];
  const downTo = (free: number): void => {
    while (pmm.freeFrames > free) held.push(pmm.take());
    while (pmm.freeFrames < free) pmm.give(held.pop() ?? NO_FRAME);
  };
  const levels = [51, 50, 55, 60, 61, 51, 50, 41, 40, 0, 45, 61].map((free) => {
    downTo(free);
    return pmm.level();
  });
  expect(levels).toEqual([
    "none", "low", "low", "low", "none", "none", "low", "low", "min", "min", "low", "none",
  ]); // prettier-ignore
  expect(pmm.level("normal")).toBe("none");
  for (const pfn of held) pmm.give(pfn);
  expect(exhaust(pmm)).toBe(1000);
});

test("the reserve is for those who cannot wait", () => {
  const pmm = new Pmm({ ranges: [range(4096, 5096)], reserveFrames: 100 });
  let taken = 0;
  while (pmm.take() !== NO_FRAME) taken += 1;
  expect(taken).toBe(900);
  expect(pmm.take({ ...any, reserve: true })).not.toBe(NO_FRAME);
  pmm.check();
});

test("the low zone is borrowed from last, and by choice only", () => {
  const pmm = new Pmm({ ranges: [range(0, 100), range(4096, 4196)] });
  const frames = new Float64Array(200);
  expect(pmm.takeMany(frames, 200)).toBe(100);
  const borrowed = pmm.take({ ...any, borrow: true });
  expect(borrowed).toBeLessThan(100);
  pmm.give(borrowed);
  expect(pmm.request({ frames: 100, below: 4096 }).ok).toBe(true);
  pmm.check();
});

test("nodes: the near one first, others by distance, none if strict", () => {
  const ranges = [0, 1, 2].map((node) => range(4096 + node * 1024, 4096 + (node + 1) * 1024, { node }));
  const pmm = new Pmm({ ranges, distances: [[10, 40, 20], [40, 10, 20], [20, 20, 10]] }); // prettier-ignore
  const nodeOf = (pfn: Pfn): number => Math.floor((pfn - 4096) / 1024);
  for (let i = 0; i < 1024; i += 1) expect(nodeOf(pmm.take({ ...any, node: 0 }))).toBe(0);
  expect(pmm.take({ ...any, node: 0, strict: true })).toBe(NO_FRAME);
  expect(nodeOf(pmm.take({ ...any, node: 0 }))).toBe(2);
  expect(exhaust(pmm)).toBe(2047);
});

test("colours: exact, round robin, and whatever is left", () => {
  const colours = coloursOf({ bytes: 2 ** 20, ways: 16 });
  expect(colours).toBe(16);
  const pmm = new Pmm({ ranges: [range(4096, 4096 + 2048)], colours });
  for (let i = 0; i < 128; i += 1) expect(pmm.take({ ...any, colour: 5 }) & 15).toBe(5);
  expect(pmm.take({ ...any, colour: 5 })).toBe(NO_FRAME);
  const robin = Array.from({ length: 4 }, () => pmm.take({ ...any, colour: -2 }) & 15);
  expect(new Set(robin).size).toBe(4);
  expect(pmm.census().colours[5]).toEqual({ free: 0, used: 128, wired: 0, retired: 0 });
  expect(exhaust(pmm)).toBe(2048 - 128 - 4);
});

test("partial blocks serve before whole ones, and freed frames make blocks whole without a scan", () => {
  const pmm = new Pmm({ ranges: [range(4096, 4096 + 64 * 512)] });
  const frames = new Float64Array(700);
  pmm.takeMany(frames, 700);
  expect(pmm.orders().free2M).toBe(62);
  pmm.giveMany(frames, 700);
  pmm.drain();
  expect(pmm.orders().free2M).toBe(64);
  expect(pmm.orders().fragmentation).toBe(0);
  expect(exhaust(pmm)).toBe(64 * 512);
});

test("pinned frames keep to blocks of their own", () => {
  const pmm = new Pmm({ ranges: [range(4096, 4096 + 64 * 512)] });
  const frames = new Float64Array(5000);
  for (let i = 0; i < 5000; i += 1) frames[i] = pmm.take({ ...any, movable: i % 10 === 0 ? 0 : 1 });
  for (let i = 0; i < 5000; i += 1) if (i % 10 !== 0) pmm.give(frames[i]!);
  pmm.drain();
  expect(pmm.orders().free2M).toBeGreaterThanOrEqual(62);
  expect(exhaust(pmm)).toBe(64 * 512 - 500);
});

test("a 1G group is one page, or 512 blocks, and one page again", () => {
  const pmm = new Pmm({ ranges: [range(2 ** 18, 2 ** 20)] });
  const large = { ...any, order: ORDER_1G };
  const group = pmm.take(large);
  expect(group & (2 ** 18 - 1)).toBe(0);
  const block = pmm.take({ ...any, order: ORDER_2M });
  expect(pmm.take(large)).not.toBe(NO_FRAME);
  expect(pmm.take(large)).toBe(NO_FRAME);
  pmm.give(block, ORDER_2M);
  expect(pmm.take(large)).not.toBe(NO_FRAME);
  pmm.give(group, ORDER_1G);
  pmm.check();
});

test("a refused request has a plan; its frames moved and committed, it is a grant", () => {
  const pmm = new Pmm({ ranges: [range(4096, 4096 + 1024)] });
  const frames = new Float64Array(1024);
  pmm.takeMany(frames, 1024);
  for (const pfn of frames) if ((pfn & 7) !== 3) pmm.give(pfn);
  const refusal = pmm.request({ frames: 64, alignment: 64 });
  if (refusal.ok || refusal.plan === undefined) throw new Error("A plan is due");
  expect(refusal.reason).toBe("fragmented");
  expect(refusal.plan.moves.length).toBe(8);
  for (const pfn of refusal.plan.begin()) {
    const elsewhere = pmm.take();
    expect(elsewhere < refusal.plan.start || elsewhere >= refusal.plan.start + 64).toBe(true);
    pmm.give(pfn);
  }
  expect(refusal.plan.commit()).toBe(true);
  pmm.release(refusal.plan.start, 64);
  expect(() => refusal.plan?.cancel()).toThrow("committed or cancelled");
  expect(exhaust(pmm)).toBe(1024 - 128);
});

test("faulty frames retire: free at once, used when given back, and stay retired in the next allocator", () => {
  const ranges = [range(4096, 4096 + 2048, { faulty: [5000] })];
  const pmm = new Pmm({ ranges });
  const used = pmm.take();
  const block = pmm.take({ ...any, order: ORDER_2M });
  expect(pmm.retire(4096 + 2000)).toEqual({ retired: true });
  expect(pmm.retire(used)).toEqual({ retired: false, reason: "in-use", moves: [used] });
  expect(pmm.retire(block + 7)).toEqual({ retired: false, reason: "in-use", moves: [block], order: ORDER_2M });
  pmm.give(used);
  pmm.give(block, ORDER_2M);
  const list = pmm.retiredFrames();
  expect(list).toEqual([used, block + 7, 5000, 4096 + 2000].sort((a, b) => a - b));
  expect(() => pmm.give(used)).toThrow("retired");
  const next = new Pmm({ ranges, retired: list });
  expect(exhaust(next)).toBe(2044);
  expect(exhaust(pmm)).toBe(2044);
});

test("corrected errors fill a leaky bucket; the one too many retires the frame", () => {
  const pmm = new Pmm({ ranges: [range(4096, 5120)] });
  let now = 0;
  const quarantine = new Quarantine(pmm, { now: () => now }, { limit: 3, leakPerHour: 1 });
  expect(quarantine.corrected(4200)).toBeUndefined();
  expect(quarantine.corrected(4200)).toBeUndefined();
  now += 3_600_000;
  expect(quarantine.corrected(4200)).toBeUndefined();
  expect(quarantine.corrected(4200)).toEqual({ retired: true });
  quarantine.check();
  expect(exhaust(pmm)).toBe(1023);
});

test("memory is plugged in, taken offline, and put back when that is cancelled", () => {
  const pmm = new Pmm({ ranges: [range(4096, 8192)], spareFrames: 2 ** 18 });
  pmm.addRange(range(2 ** 20, 2 ** 20 + 2048, { hotPluggable: true }));
  expect(pmm.totalFrames).toBe(4096 + 2048);
  const frames = new Float64Array(5000);
  pmm.takeMany(frames, 5000);
  const inside = [...frames].filter((pfn) => pfn >= 2 ** 20);
  const answer = pmm.offline({ start: 2 ** 20, end: 2 ** 20 + 2048 });
  if (!answer.ok) throw new Error("All of it can move");
  expect(answer.plan.moves.length).toBe(inside.length);
  expect(answer.plan.progress()).toEqual({ isolatedFrames: 2048 - inside.length, frames: 2048 });
  answer.plan.cancel();
  const again = pmm.offline({ start: 2 ** 20, end: 2 ** 20 + 2048 });
  if (!again.ok) throw new Error("All of it can move");
  expect(again.plan.commit()).toBe(false);
  for (const pfn of inside) pmm.give(pfn);
  expect(again.plan.commit()).toBe(true);
  expect(pmm.totalFrames).toBe(4096);
  pmm.give([...frames].find((pfn) => pfn < 8192) ?? NO_FRAME);
  const pinned = pmm.take({ ...any, movable: 0 });
  expect(pmm.offline({ start: 4096, end: 8192 })).toEqual({ ok: false, fixed: [pinned] });
  expect(() => pmm.addRange(range(4000, 4200))).toThrow("overlaps");
  pmm.check();
});

test("ranks: active ones fill first, and a rank is emptied for self-refresh", () => {
  const ranges = [0, 1, 2, 3].map((rank) => range(4096 + rank * 4096, 8192 + rank * 4096, { rank }));
  const pmm = new Pmm({ ranges });
  const frames = new Float64Array(6000);
  pmm.takeMany(frames, 6000);
  expect(pmm.ranks().map(({ isIdle }) => isIdle)).toEqual([false, false, true, true]);
  for (let i = 0; i < 6000; i += 1) if (i % 3 !== 0) pmm.give(frames[i]!);
  const answer = pmm.emptyRank(1);
  if (!answer.ok) throw new Error("All of it can move");
  for (const pfn of answer.plan.begin()) {
    expect(pmm.take()).toBeLessThan(8192);
    pmm.give(pfn);
  }
  expect(answer.plan.commit()).toBe(true);
  expect(pmm.ranks().map(({ isIdle }) => isIdle)).toEqual([false, true, true, true]);
  expect(exhaust(pmm)).toBe(4 * 4096 - 2000);
});

test("what is taken keeps the busiest rank busy, so that quiet ranks fall idle", () => {
  const ranges = [0, 1, 2].map((rank) => range(4096 + rank * 4096, 8192 + rank * 4096, { rank }));
  const pmm = new Pmm({ ranges });
  const rankOf = (pfn: Pfn): number => Math.floor(pfn / 4096) - 1;
  const frames = new Float64Array(7000);
  pmm.takeMany(frames, 7000);
  const quiet = [...frames].filter((pfn) => rankOf(pfn) === 0).slice(0, 50);
  for (const pfn of frames) if (rankOf(pfn) === 0 && !quiet.includes(pfn)) pmm.give(pfn);
  pmm.drain();
  expect([pmm.usedOfRank(0), pmm.usedOfRank(1)]).toEqual([50, 2904]);
  for (let i = 0; i < 1100; i += 1) expect(rankOf(pmm.take())).toBe(1);
  for (const pfn of quiet) pmm.give(pfn);
  pmm.drain();
  expect(pmm.ranks().map(({ isIdle }) => isIdle)).toEqual([true, false, true]);
  expect(exhaust(pmm)).toBe(3 * 4096 - 2904 - 1100);
});

test("a balloon follows its target in frames and blocks, and gives way under pressure", () => {
  for (const order of [0, ORDER_2M]) {
    const pmm = new Pmm({ ranges: [range(4096, 4096 + 16 * 512)], watermarks: { min: 100, low: 200, high: 600 } });
    const balloon = new Balloon(pmm, { order });
    expect(balloon.resize(6144)).toBe(6144);
    while (pmm.freeFrames > 200) pmm.take();
    expect(pmm.level()).toBe("low");
    expect(balloon.relieve()).toBeGreaterThan(400);
    expect(pmm.level()).toBe("none");
    balloon.check();
    balloon.resize(0);
    pmm.check();
  }
});

test("guests share less real memory than they believe to have", () => {
  const host = new BalloonHost(new Pmm({ ranges: [range(4096, 4096 + 1000)] }));
  const make = (name: string) => {
    const guest = host.admit(name);
    const pmm = new Pmm({ ranges: [range(4096, 4096 + 900)] });
    guest.balloon = new Balloon(pmm, { order: 0, onInflate: (pfn) => guest.reclaim(pfn, 1) });
    return { guest, pmm };
  };
  const a = make("a");
  const b = make("b");
  const frames = new Float64Array(800);
  a.pmm.takeMany(frames, 800);
  for (const pfn of frames) expect(a.guest.touch(pfn)).toBe("fresh");
  a.pmm.giveMany(frames, 800);
  for (let i = 0; i < 200; i += 1) expect(b.guest.touch(b.pmm.take())).toBe("fresh");
  const wanted = b.pmm.take();
  expect(b.guest.touch(wanted)).toBe("out-of-memory");
  expect(host.squeeze(100, b.guest)).toBe(100);
  expect(b.guest.touch(wanted)).toBe("fresh");
  host.check();
  a.pmm.check();
  b.pmm.check();
});

test("a region is plugged and unplugged block by block; a block with a pinned frame stays", () => {
  const pmm = new Pmm({ ranges: [range(4096, 4608)], spareFrames: 2 ** 18 });
  const region = new PluggableRegion(pmm, { start: 2 ** 20, blocks: 8, blockFrames: 1024, node: 0 });
  expect(region.resize(5000)).toBe(4096);
  const frames = new Float64Array(4608);
  pmm.takeMany(frames, 4608);
  const kept = [...frames].find((pfn) => pfn >= 2 ** 20 + 1024) ?? NO_FRAME;
  for (const pfn of frames) if (pfn !== kept) pmm.give(pfn);
  pmm.wire(kept);
  expect(region.resize(0)).toBe(1024);
  pmm.unwire(kept);
  expect(region.resize(0, (moves) => moves.forEach((pfn) => pmm.give(pfn)))).toBe(0);
  expect(exhaust(pmm)).toBe(512);
});

test("the early allocator hands over exactly, the state's own frames included", () => {
  const ranges = [range(0, 159), range(256, 8192, { faulty: [8190] })];
  const boot = new BootAllocator(ranges);
  expect(boot.take()).toBe(8191);
  expect(boot.take(4, 4)).toBe(8184);
  boot.check();
  const pmm = new Pmm({ ranges, boot });
  expect(boot.stateFrames).toBe(Math.ceil(pmm.stats().stateBytes / 4096));
  expect(() => boot.take()).toThrow("handed its map over");
  expect(pmm.useOf(8191)).toBe("boot");
  expect(pmm.census().uses.boot).toBe(boot.takenFrames);
  expect(exhaust(pmm)).toBe(159 + 7936 - 1 - boot.takenFrames);
});

test("statistics say who has what, how fast, and why a block is not whole", () => {
  let now = 0;
  const pmm = new Pmm({ ranges: [range(4096, 8192)], tables: { owners: true }, clients: ["net", "disk"] });
  const rates = new Rates(pmm, { now: () => now });
  const disk = pmm.take({ ...any, owner: pmm.client("disk"), movable: 0 });
  for (let i = 0; i < 9; i += 1) pmm.take({ ...any, owner: pmm.client("net") });
  now = 2000;
  expect(rates.read().zones).toEqual([{ name: "normal", takenPerSecond: 5, givenPerSecond: 0 }]);
  const more = new Float64Array(600);
  pmm.takeMany(more, 600);
  pmm.giveMany(more, 600);
  pmm.give(pmm.take({ ...any, order: ORDER_2M }), ORDER_2M);
  now = 4000;
  expect(rates.read().zones).toEqual([{ name: "normal", takenPerSecond: 556, givenPerSecond: 556 }]);
  expect(pmm.census().clients).toEqual({
    disk: { used: 1, wired: 0, retired: 0 },
    net: { used: 9, wired: 0, retired: 0 },
  });
  expect(pmm.census().pinnedFrames).toBe(1);
  const mine = pmm.obstacles(disk).filter(({ use }) => use === "taken");
  expect(mine).toContainEqual({ pfn: disk, use: "taken", owner: "disk", movable: false });
  pmm.drain();
  expect(pmm.draw()).toBe(`0x0000000000 ${" ".repeat(8)}11......`);
  expect(exhaust(pmm)).toBe(4086);
});
