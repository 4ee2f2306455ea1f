import { expect, test } from "vitest";

import {
  MemorySwap,
  PAGE_SIZE,
  PlainMemory,
  SpaceMemory,
  Vmm,
  type AddressSpace,
  type VmmOptions,
} from "@pagewright/vmm";

import { SpaceGroups } from "../../src/reclaim/space-groups.ts";
import { rigOf, spaceOf } from "../kit/rig.ts";

const FRAMES = 64;

interface Program {
  readonly space: AddressSpace;
  /** Touches pages `[first, end)` in turn; returns how many of them had to be waited for. */
  touch(first: number, end: number): number;
}

function world(options: Partial<VmmOptions> = {}): { vmm: Vmm; program: () => Program } {
  const memory = new PlainMemory(256);
  const settings = { residentLimit: FRAMES, swap: [new MemorySwap(4096)], readAhead: 0, fairness: true, ...options };
  const vmm = new Vmm({ frames: memory, window: memory, ...settings });
  const program = (): Program => {
    const space = spaceOf(vmm);
    const at = Number(space.map({ bytes: 1024 * PAGE_SIZE }));
    const bytes = new SpaceMemory(space);
    return {
      space,
      touch: (first, end) => {
        const before = vmm.stats.majorFaults;
        for (let page = first; page < end; page++) expect(bytes.store32(at + page * PAGE_SIZE, page)).toBe(true);
        return vmm.stats.majorFaults - before;
      },
    };
  };
  return { vmm, program };
}

const residentOf = (vmm: Vmm, group: number): number =>
  vmm.shares().find((share) => share.group === group)?.resident ?? 0;

test("a space that walks through much memory leaves another one its part", () => {
  for (const fairness of [true, false]) {
    const { vmm, program } = world({ fairness });
    const [quiet, greedy] = [program(), program()];
    quiet.touch(0, 24);
    for (let round = 0; round < 8; round++) greedy.touch(0, 512);
    const waits = quiet.touch(0, 24);
    if (fairness) expect(waits).toBe(0);
    else expect(waits).toBeGreaterThan(0);
    vmm.check();
  }
});

test("a group keeps its minimum, and never has more than its limit", () => {
  const { vmm, program } = world();
  const [safe, other, small] = [program(), program(), program()];
  vmm.setShare(safe.space.group, { minimum: 40 });
  vmm.setShare(small.space.group, { limit: 5 });
  safe.touch(0, 40);
  small.touch(0, 30);
  expect(residentOf(vmm, small.space.group)).toBe(5);
  other.touch(0, 300);
  expect(residentOf(vmm, safe.space.group)).toBe(40);
  expect(safe.touch(0, 40)).toBe(0);
  vmm.check();
});

test("spaces of one group share its part, and weights divide what is contended for", () => {
  const { vmm, program } = world();
  const [one, two, heavy] = [program(), program(), program()];
  two.space.group = one.space.group;
  vmm.setShare(heavy.space.group, { weight: 3 });
  for (let round = 0; round < 4; round++) {
    one.touch(0, 100);
    two.touch(0, 100);
    heavy.touch(0, 100);
  }
  const parts = [residentOf(vmm, one.space.group), residentOf(vmm, heavy.space.group)];
  expect(parts[0]).toBeGreaterThanOrEqual(14);
  expect(parts[0]).toBeLessThanOrEqual(18);
  expect(parts[1]).toBe(FRAMES - (parts[0] ?? 0));
  vmm.check();
  for (const { space } of [one, two, heavy]) space.destroy();
  vmm.check();
  expect(vmm.shares().every(({ resident }) => resident === 0)).toBe(true);
});

test("the working set is estimated from refaults", () => {
  const { vmm, program } = world({ fairness: false });
  const loop = program();
  for (let round = 0; round < 12; round++) loop.touch(0, 96);
  const { refaults, workingSetFrames } = vmm.workingSet();
  expect(refaults).toBeGreaterThan(200);
  expect(workingSetFrames).toBeGreaterThanOrEqual(90);
  expect(workingSetFrames).toBeLessThanOrEqual(2 * 96);
  vmm.check();
});

test("the estimate of the working set falls with the program, to the pages that are resident at last", () => {
  const { vmm, program } = world({ fairness: false });
  const loop = program();
  const estimate = (): number => vmm.workingSet().workingSetFrames;
  for (let round = 0; round < 12; round++) loop.touch(0, 256);
  const large = estimate();
  expect(large).toBeGreaterThanOrEqual(192);
  for (let round = 0; round < 40; round++) loop.touch(0, FRAMES + 4);
  const small = estimate();
  expect(small).toBeLessThan(large / 2);
  expect(small).toBeGreaterThan(FRAMES);
  const { refaults } = vmm.workingSet();
  for (let round = 0; round < 400; round++) {
    loop.touch(0, 16);
    vmm.background(8);
    if (round % 50 === 0) vmm.check();
  }
  expect(estimate()).toBeLessThanOrEqual(FRAMES);
  expect(vmm.workingSet().refaults - refaults).toBeLessThanOrEqual(16);
});

test("a fault in the middle of another one, at a yield point, charges its own pages alone", () => {
  const groups = new SpaceGroups();
  const reclaimer = rigOf().vmm.core.reclaimer;
  const outer = groups.begin(1);
  const inner = groups.begin(2);
  groups.policy.insert(10);
  groups.end(2, inner, reclaimer);
  groups.policy.insert(11);
  groups.end(1, outer, reclaimer);
  groups.policy.insert(12);
  expect([10, 11, 12].map((page) => groups.policy.groupOf(page))).toEqual([2, 1, 0]);
});

test("a space that goes takes its group along, unless the group has other spaces, pages of shared memory, or a share", () => {
  const memory = new PlainMemory(256);
  const vmm = new Vmm({ frames: memory, window: memory, residentLimit: 64, fairness: true });
  const shared = vmm.createAnonymous(4 * PAGE_SIZE);
  const fill = (space: AddressSpace, object = false): AddressSpace => {
    const at = Number(space.map({ bytes: 4 * PAGE_SIZE, ...(object ? { object: shared, shared: true } : {}) }));
    for (let page = 0; page < 4; page++) new SpaceMemory(space).store8(at + page * PAGE_SIZE, 1);
    return space;
  };
  const groups = (): number[] => vmm.shares().map(({ group }) => group);
  for (let round = 0; round < 20; round++) fill(spaceOf(vmm)).destroy();
  expect(groups()).toEqual([]);
  const [one, two, promised] = [spaceOf(vmm), spaceOf(vmm), spaceOf(vmm)];
  two.group = one.group;
  vmm.setShare(promised.group, { minimum: 8 });
  fill(one, true);
  fill(two);
  fill(promised);
  one.destroy();
  promised.destroy();
  expect(groups().sort((a, b) => a - b)).toEqual([one.group, promised.group].sort((a, b) => a - b));
  two.destroy();
  expect(vmm.shares().find(({ group }) => group === one.group)).toMatchObject({ resident: 4 });
  shared.close();
  expect(groups()).toEqual([promised.group]);
  vmm.check();
});
