/** The auditor looks at 2M pages, and an unhelpful processor uses them. */
import { ETERNAL_TLB, Adversary, SeededRandom, physicalMapFromJson } from "@pagewright/machine";
import { FlushPlan, MemorySwap, PAGE_2M, READ, USER, WRITE } from "@pagewright/vmm";
import type { AddressSpace } from "@pagewright/vmm";
import { describe, expect, test } from "vitest";
import { audit, createStack } from "../src/index.ts";
import type { Stack, StackOptions } from "../src/index.ts";

const PAGE = 4096;
const UNITS = 3;

interface Bench {
  readonly stack: Stack;
  readonly space: AddressSpace;
  readonly base: number;
}

/** A space with three 2M pages, on a machine of 64 MiB. */
function bench(options: Partial<StackOptions> = {}): Bench {
  const map = physicalMapFromJson({ entries: [{ base: 0, length: 64 * 2 ** 20, type: 1 }] });
  const stack = createStack({ map, largePages: "always", swap: [new MemorySwap(4096)], ...options });
  const space = stack.vmm.createSpace();
  const base = space?.map({ bytes: UNITS * PAGE_2M, alignment: PAGE_2M });
  if (space === null || typeof base !== "number") throw new Error("no memory");
  for (let page = 0; page < UNITS * 512; page++) stack.enter(space).store32(base + page * PAGE, page + 1);
  expect(stack.vmm.large.stats().faults).toBe(UNITS);
  return { stack, space, base };
}

function demand({ stack, space, base }: Bench, pages: readonly number[]): void {
  for (const page of pages)
    expect({ page, got: stack.enter(space).load32(base + page * PAGE) }).toEqual({ page, got: page + 1 });
}

describe("the audit is clean", () => {
  test("while 2M pages are filled, split, shared by clones, evicted, collapsed and given up", () => {
    const made = bench();
    const { stack, space, base } = made;
    const problems = (): string => audit(stack).problems.join("\n");
    expect(problems()).toBe("");
    space.protect(base + PAGE_2M, 5 * PAGE, READ);
    expect(problems()).toBe("");
    const clone = space.clone();
    if (clone === null) throw new Error("no memory");
    expect(stack.enter(clone).store32(base, 77)).toBe(true);
    expect(stack.enter(clone).load32(base + 2 * PAGE_2M)).toBe(1025);
    expect(problems()).toBe("");
    clone.destroy();
    expect(problems()).toBe("");
    space.advise(base + 2 * PAGE_2M, 9 * PAGE, "page-out");
    space.unmap(base + 100 * PAGE, PAGE);
    space.protect(base + PAGE_2M, 5 * PAGE, READ | WRITE);
    expect(problems()).toBe("");
    demand(made, [0, 99, 101, 511, 512, 1023, 1024, 1500]);
    for (let page = 1024; page < 1536; page++) stack.enter(space).load32(base + page * PAGE);
    for (let step = 0; step < 60; step++) stack.vmm.background(64);
    expect(stack.vmm.large.stats().collapses).toBe(2);
    expect(problems()).toBe("");
    demand(made, [0, 99, 101, 511, 512, 1023, 1024, 1500]);
    space.destroy();
    expect(problems()).toBe("");
  });
});

test("kernel memory may be 2M pages, and the kernel half maps nothing else for it", () => {
  const { stack, space } = bench();
  const { kernel } = stack.vmm;
  if (kernel === null) throw new Error("no kernel half");
  const at = kernel.map({ bytes: 2 * PAGE_2M, alignment: PAGE_2M });
  if (typeof at !== "number") throw new Error(at);
  const cpu = stack.enter(space);
  cpu.setCpl(0);
  for (let page = 0; page < 1024; page += 9) expect(cpu.store32(at + page * PAGE, page)).toBe(true);
  expect(stack.vmm.large.stats().faults).toBe(UNITS + 2);
  expect(audit(stack).problems).toEqual([]);
  kernel.unmap(at + PAGE, PAGE);
  expect([cpu.load32(at + 9 * PAGE), cpu.load32(at + PAGE)]).toEqual([9, -1]);
  expect(audit(stack).problems).toEqual([]);
  kernel.unmap(at, 2 * PAGE_2M);
  expect(audit(stack).problems).toEqual([]);
});

describe("the audit finds", () => {
  test("a 4K entry that shows part of a 2M page elsewhere", () => {
    const { stack, space, base } = bench();
    space.tables.query(base / PAGE + 7);
    const pfn = space.tables.frame;
    const other = Number(space.map({ bytes: PAGE }));
    space.tables.map(other / PAGE, pfn, READ | USER, new FlushPlan(stack.vmm.core));
    expect(audit(stack).problems.join()).toContain("every mapping is counted");
  });

  test("a 2M leaf over frames that belong elsewhere, and a table too few for its split", () => {
    const { stack, space, base } = bench();
    const { tables } = space;
    tables.query(base / PAGE);
    const first = tables.frame;
    const plan = new FlushPlan(stack.vmm.core);
    plan.asid = space.asid;
    tables.unmap(base / PAGE + 512, base / PAGE + 1024, plan, null);
    stack.tables.large.map(tables as never, base / PAGE + 512, first, 512, READ | USER, plan);
    stack.tables.source.withdraw(1);
    const problems = audit(stack).problems.join();
    expect(problems).toContain("holds the page of its place");
    expect(problems).toContain("kept back");
  });
});

test("a processor that keeps every translation as long as it may never uses a stale one, on four processors", () => {
  const made = bench({ cpus: 4, translationBuffers: ETERNAL_TLB, residentLimit: 4 * 512 });
  const { stack, space, base } = made;
  const random = new SeededRandom(3);
  const adversaries = stack.machine.cpus.map((cpu) => new Adversary(cpu, random));
  const below = (bound: number): number => random.below(bound);
  const expected = Array.from({ length: UNITS * 512 }, (_, page) => page + 1);
  for (let step = 0; step < 180; step++) {
    const page = below(UNITS * 512);
    const pages = Math.min(1 + below(40), UNITS * 512 - page);
    const [at, bytes] = [base + page * PAGE, pages * PAGE];
    const cpu = stack.enter(space, below(4));
    const dice = below(40);
    if (dice === 0) {
      space.protect(at, bytes, READ);
      space.protect(at, bytes, READ | WRITE);
    } else if (dice === 1) {
      space.advise(at, bytes, "page-out");
    } else if (dice === 2) {
      space.advise(at, bytes, "dont-need");
      expected.fill(0, page, page + pages);
    } else if (dice === 3) {
      space.clone()?.destroy();
    } else if (dice < 8) {
      stack.vmm.background(600);
    } else if (dice < 24) {
      expected[page] = step + 5000;
      expect(cpu.store32(at, step + 5000)).toBe(true);
    } else {
      expect({ page, got: cpu.load32(at) }).toEqual({ page, got: expected[page] });
    }
  }
  expect(adversaries.flatMap((adversary) => adversary.reports)).toEqual([]);
  expect(stack.vmm.large.stats().splits).toBeGreaterThan(3);
  expect(stack.vmm.large.stats().collapses).toBeGreaterThan(0);
  for (const adversary of adversaries) adversary.detach();
  expect(audit(stack).problems).toEqual([]);
});
