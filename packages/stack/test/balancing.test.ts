/** Automatic NUMA balancing on a machine with two nodes, two processors on each. */
import { physicalMapFromJson, uniformDistances } from "@pagewright/machine";
import type { AddressSpace, FramePlacement } from "@pagewright/vmm";
import { expect, test } from "vitest";
import { audit, createStack } from "../src/index.ts";
import type { Stack } from "../src/index.ts";

const PAGE = 4096;
const HALF = 32 * 2 ** 20;

function twoNodes(placement: FramePlacement): { stack: Stack; space: AddressSpace } {
  const map = physicalMapFromJson({
    entries: [{ base: 0, length: 2 * HALF, type: 1 }],
    srat: [
      { base: 0, length: HALF, node: 0 },
      { base: HALF, length: HALF, node: 1 },
    ],
  });
  const stack = createStack({ map, cpus: 4, timing: { distances: uniformDistances(2), cpuNodes: [0, 0, 1, 1] } });
  const space = stack.vmm.createSpace();
  if (space === null) throw new Error("no memory");
  space.placement = placement;
  return { stack, space };
}

/** The node on which each page of a range lies. */
function nodesOf(space: AddressSpace, at: number, pages: number): number[] {
  return Array.from({ length: pages }, (_, page) => {
    const { core } = space.vmm;
    const sheet = space.sheets.get(at / PAGE + page);
    const anon = sheet?.anons[(at / PAGE + page) & 511] ?? -1;
    return Math.floor((core.pages.pfn[anon]! * PAGE) / HALF);
  });
}

function touch(stack: Stack, space: AddressSpace, cpu: number, at: number, pages: number): number {
  const processor = stack.enter(space, cpu);
  let sum = 0;
  for (let page = 0; page < pages; page++) sum += processor.load32(at + page * PAGE);
  return sum;
}

test("the placement of a space holds for regions without one of their own", () => {
  const { stack, space } = twoNodes({ policy: "interleave", nodes: [0, 1, 1] });
  const [spread, bound] = [
    space.map({ bytes: 30 * PAGE }),
    space.map({ bytes: 8 * PAGE, frames: { policy: "bind", nodes: [0] } }),
  ];
  const cpu = stack.enter(space, 2);
  for (const [at, pages] of [
    [Number(spread), 30],
    [Number(bound), 8],
  ] as const)
    for (let page = 0; page < pages; page++) cpu.store32(at + page * PAGE, 1);
  expect(nodesOf(space, Number(spread), 30).filter((node) => node === 1).length).toBe(20);
  expect(nodesOf(space, Number(bound), 8)).toEqual(new Array<number>(8).fill(0));
});

test("pages move to the node that keeps using them, after two sampled uses, and keep what they hold", () => {
  const { stack, space } = twoNodes({ policy: "local" });
  const at = Number(space.map({ bytes: 64 * PAGE }));
  const first = stack.enter(space, 0);
  for (let page = 0; page < 64; page++) first.store32(at + page * PAGE, page);
  expect(nodesOf(space, at, 64)).toEqual(new Array<number>(64).fill(0));
  expect(stack.vmm.balance(64)).toBe(64);
  touch(stack, space, 2, at, 32);
  touch(stack, space, 1, at + 32 * PAGE, 32);
  expect(stack.vmm.balancing()).toMatchObject({ sampled: 64, remoteFaults: 32, localFaults: 32, moved: 0 });
  stack.vmm.balance(64);
  expect(touch(stack, space, 2, at, 32)).toBe((31 * 32) / 2);
  expect(stack.vmm.balancing()?.moved).toBe(32);
  expect(nodesOf(space, at, 64)).toEqual([...new Array<number>(32).fill(1), ...new Array<number>(32).fill(0)]);
  expect(audit(stack).problems).toEqual([]);
});

test("a step samples no more than it may, and bound pages never", () => {
  const { stack, space } = twoNodes({ policy: "local" });
  const at = Number(space.map({ bytes: 40 * PAGE }));
  const bound = Number(space.map({ bytes: 10 * PAGE, frames: { policy: "bind", nodes: [1] } }));
  const cpu = stack.enter(space, 0);
  for (let page = 0; page < 40; page++) cpu.store32(at + page * PAGE, page);
  for (let page = 0; page < 10; page++) cpu.store32(bound + page * PAGE, page);
  expect([stack.vmm.balance(16), stack.vmm.balance(16), stack.vmm.balance(16)]).toEqual([16, 16, 8]);
  expect(stack.vmm.balance(16)).toBe(0);
  expect(stack.vmm.stats.migrations).toBe(0);
});

/** Accesses of the other node's memory so far. */
function remoteAccesses(stack: Stack): number {
  return stack.machine.meters.reduce((sum, meter) => sum + meter.stats().remoteAccesses, 0);
}

test("background work moves the pages of a program that moved, and then lets them be", () => {
  const { stack, space } = twoNodes({ policy: "local" });
  const at = Number(space.map({ bytes: 256 * PAGE }));
  const first = stack.enter(space, 0);
  for (let page = 0; page < 256; page++) first.store32(at + page * PAGE, page);
  const round = (): number => {
    const before = remoteAccesses(stack);
    const cpu = stack.enter(space, 2);
    for (let page = 0; page < 256; page++)
      for (let line = 0; line < 64; line++) cpu.load32(at + page * PAGE + line * 64);
    return remoteAccesses(stack) - before;
  };
  const still = round();
  expect(still).toBeGreaterThan(10_000);
  for (let step = 0; step < 40; step++) {
    stack.as(2, () => stack.vmm.background(64));
    round();
  }
  expect(nodesOf(space, at, 256)).toEqual(new Array<number>(256).fill(1));
  expect(round()).toBeLessThan(still / 100);
  const { sampled = 0, moved = 0 } = stack.vmm.balancing() ?? {};
  expect(moved).toBe(256);
  for (let step = 0; step < 400; step++) {
    stack.as(2, () => stack.vmm.background(64));
    touch(stack, space, 2, at, 256);
  }
  const after = stack.vmm.balancing();
  expect([after?.moved, (after?.sampled ?? 0) - sampled < 256 * 16]).toEqual([256, true]);
  for (let page = 0; page < 256; page++) expect(stack.enter(space, 2).load32(at + page * PAGE)).toBe(page);
  expect(audit(stack).problems).toEqual([]);
});

test("background work samples nothing while everything is on one node, and nothing beyond its budget", () => {
  const { stack, space } = twoNodes({ policy: "local" });
  const at = Number(space.map({ bytes: 100 * PAGE }));
  const cpu = stack.enter(space, 0);
  for (let page = 0; page < 100; page++) cpu.store32(at + page * PAGE, page);
  for (let step = 0; step < 20; step++) expect(stack.as(1, () => stack.vmm.background(32))).toBe(0);
  expect(stack.vmm.balancing()?.sampled).toBe(0);
  stack.as(3, () => stack.vmm.background(32));
  expect(stack.vmm.balancing()?.sampled).toBe(32);
});

test("a page that two nodes use in turn moves ever more seldom", () => {
  const { stack, space } = twoNodes({ policy: "local" });
  const at = Number(space.map({ bytes: PAGE }));
  stack.enter(space, 0).store32(at, 7);
  const moves: number[] = [];
  for (let round = 0; round < 400; round++) {
    const cpu = round % 8 < 4 ? 0 : 2;
    const before = stack.vmm.balancing()?.moved ?? 0;
    stack.vmm.balance(4);
    expect(touch(stack, space, cpu, at, 1)).toBe(7);
    if ((stack.vmm.balancing()?.moved ?? 0) > before) moves.push(round);
  }
  expect(moves.length).toBeGreaterThan(1);
  expect(moves.length).toBeLessThan(9);
  expect(stack.vmm.balancing()?.damped).toBeGreaterThan(20);
  stack.check();
});
