/**
 * Memory that runs short under four processors, in a stack as `createStack` makes it: programs that come back to some pages more often than to others, every load
 * checked, the auditor at the end of each case.
 */
import { physicalMapFromJson } from "@pagewright/machine";
import { MemorySwap, SeededRandom } from "@pagewright/vmm";
import type { AddressSpace, IoOutcome } from "@pagewright/vmm";
import type { PressureLevel } from "@pagewright/vmm/pressure";
import { expect, test } from "vitest";
import { audit, createStack } from "../src/index.ts";
import type { Stack, StackOptions } from "../src/index.ts";

const PAGE = 4096;
const CPUS = 4;
const LIMIT = 128;
/** What a page from the slow store costs. */
const READ_NS = 40_000_000;

function stackOf(options: Omit<Partial<StackOptions>, "map"> = {}): Stack {
  const map = physicalMapFromJson({ entries: [{ base: 0, length: 64 * 2 ** 20, type: 1 }] });
  return createStack({ map, cpus: CPUS, residentLimit: LIMIT, swap: [new MemorySwap(2048)], ...options });
}

function spaceOf(stack: Stack): AddressSpace {
  const space = stack.vmm.createSpace();
  if (space === null) throw new Error("no frame for tables");
  return space;
}

/** A program on one processor: what each of its pages should hold, and which it uses next. */
class Program {
  readonly space: AddressSpace;
  readonly at: number;
  readonly #stack: Stack;
  readonly #cpu: number;
  readonly #words: Uint32Array;
  readonly #random: SeededRandom;

  constructor(stack: Stack, cpu: number, pages: number, seed: number) {
    this.space = spaceOf(stack);
    this.at = Number(this.space.map({ bytes: pages * PAGE }));
    this.#stack = stack;
    this.#cpu = cpu;
    this.#words = new Uint32Array(pages);
    this.#random = new SeededRandom(seed);
  }

  /** Runs so many accesses; false: one of them was refused. A page that was never stored to reads as zero. */
  run(accesses: number): boolean {
    const cpu = this.#stack.enter(this.space, this.#cpu);
    for (let done = 0; done < accesses; done++) {
      // The product of two even draws: half of the accesses go to a fifth of the pages.
      const page = Math.floor(this.#draw() * this.#draw() * this.#words.length);
      const address = this.at + page * PAGE + (page % 1000) * 4;
      if (this.#random.uint32() % 3 === 0) {
        const value = this.#random.uint32();
        if (!cpu.store32(address, value)) return false;
        this.#words[page] = value;
      } else {
        const value = cpu.load32(address);
        if (value < 0) return false;
        if (value !== this.#words[page]) throw new Error(`page ${page} holds ${value}, not ${this.#words[page] ?? 0}`);
      }
    }
    return true;
  }

  #draw(): number {
    return this.#random.uint32() / 2 ** 32;
  }
}

function programsOf(stack: Stack, pages: number): Program[] {
  return Array.from({ length: CPUS }, (_, cpu) => new Program(stack, cpu, pages, 100 + cpu));
}

function clean(stack: Stack): void {
  stack.check();
  expect(audit(stack).problems).toEqual([]);
}

test("levels are told once each way: no flutter at a watermark while pages come and go", () => {
  const stack = stackOf({ compressed: { limitFrames: 24 } });
  const { pressure } = stack.vmm;
  const told: { level: PressureLevel; free: number }[] = [];
  pressure.onLevel((level, free) => told.push({ level, free }));
  const programs = programsOf(stack, 96);
  for (let round = 0; round < 40; round++) {
    for (const program of programs) expect(program.run(50)).toBe(true);
    stack.vmm.background(8);
  }
  const marks = { min: 2, low: 4, high: 8 }; // 1/64, 1/32 and 1/16 of the limit.
  for (const [at, { level, free }] of told.entries()) {
    const before = told[at - 1]?.level ?? "none";
    expect(level).not.toBe(before);
    if (level === "min") expect(free).toBeLessThan(marks.min);
    else if (level === "none") expect(free).toBeGreaterThanOrEqual(marks.high);
    else if (before === "min") expect(free).toBeGreaterThanOrEqual(marks.low);
    else expect(free).toBeLessThan(marks.low);
  }
  expect(told.map(({ level }) => level)).toContain("min");
  // Without hysteresis every round of 200 accesses would cross the lowest mark several times.
  expect(told.length).toBeLessThan(4 * 40);
  for (const program of programs) program.space.destroy();
  expect(pressure.level).toBe("none");
  clean(stack);
});

test("subscribers are asked by priority and give all they have before the first page is compressed or swapped", () => {
  const stack = stackOf({ compressed: { limitFrames: 24 } });
  const { vmm } = stack;
  const owner = spaceOf(stack);
  const asked: string[] = [];
  const outWhenAsked: number[] = [];
  const cache = (name: string, priority: number, pages: number): void => {
    const at = Number(owner.map({ bytes: pages * PAGE }));
    const cpu = stack.enter(owner, 0);
    for (let page = 0; page < pages; page++) cpu.store32(at + page * PAGE, page);
    let left = pages;
    vmm.pressure.addShrinker({
      name,
      priority,
      shrink: (wanted) => {
        if (left > 0) {
          asked.push(name);
          outWhenAsked.push(vmm.stats.swapOuts);
        }
        const gave = Math.min(wanted, left);
        left -= gave;
        if (gave > 0) owner.unmap(at + left * PAGE, gave * PAGE);
        return gave;
      },
    });
  };
  cache("web cache", 2, 24);
  cache("file-system cache", 1, 40);
  const programs = programsOf(stack, 64);
  for (let round = 0; round < 30; round++) for (const program of programs) expect(program.run(40)).toBe(true);
  expect(outWhenAsked.every((out) => out === 0)).toBe(true);
  expect(asked.lastIndexOf("file-system cache")).toBeLessThanOrEqual(asked.indexOf("web cache"));
  expect(vmm.pressure.shrinkerStats()).toMatchObject([
    { name: "file-system cache", gave: 40, failures: 0 },
    { name: "web cache", gave: 24, failures: 0 },
  ]);
  expect(vmm.stats.swapOuts).toBeGreaterThan(0);
  clean(stack);
});

test("stalls: some while one of four waits for its store, full where it runs alone, and both fade", () => {
  const stack = stackOf({
    residentLimit: 64,
    swap: [
      new (class extends MemorySwap {
        override read(slot: number, into: Uint8Array): IoOutcome {
          stack.machine.clock.spend(0, READ_NS);
          return super.read(slot, into);
        }
      })(512),
    ],
  });
  const { pressure } = stack.vmm;
  const programs = programsOf(stack, 48);
  for (let round = 0; round < 20; round++) for (const program of programs) expect(program.run(20)).toBe(true);
  const together = { some: pressure.some(), full: pressure.full() };
  expect(together.some.totalNanoseconds).toBeGreaterThan(0.9 * stack.vmm.stats.swapIns * READ_NS);
  expect(together.full.totalNanoseconds).toBeLessThan(together.some.totalNanoseconds / 10);
  for (let cpu = 1; cpu < CPUS; cpu++) stack.rest(cpu);
  for (let round = 0; round < 40; round++) expect(programs[0]?.run(40)).toBe(true);
  for (const program of programs.slice(1)) program.space.destroy();
  const alone = new Program(stack, 0, 160, 7);
  for (let round = 0; round < 40; round++) expect(alone.run(40)).toBe(true);
  const [some, full] = [pressure.some(), pressure.full()];
  expect(full.totalNanoseconds - together.full.totalNanoseconds).toBe(
    some.totalNanoseconds - together.some.totalNanoseconds,
  );
  expect(some.average10).toBeGreaterThan(0.5);
  expect(some.average10).toBeGreaterThan(some.average300);
  stack.machine.clock.spend(0, 30e9);
  const later = pressure.some();
  expect(later.average10).toBeLessThan(some.average10 / 10);
  expect(later.average300).toBeGreaterThan(later.average10);
  expect(later.totalNanoseconds).toBe(some.totalNanoseconds);
  clean(stack);
});

test("purgeable memory that nobody holds goes before a page is written, and says so when it is held again", () => {
  const stack = stackOf();
  const { vmm } = stack;
  const owner = spaceOf(stack);
  const at = Number(owner.map({ bytes: 64 * PAGE }));
  const cpu = stack.enter(owner, 1);
  for (let page = 0; page < 64; page++) cpu.store32(at + page * PAGE, page + 1);
  const [pictures, held] = [0, 32].map((first) => vmm.makePurgeable(owner, at + first * PAGE, 32 * PAGE));
  pictures?.release();
  let outBefore = -1; // Pages that were out when the first of the pictures went.
  vmm.pressure.addShrinker({
    name: "asked after purgeable memory",
    priority: 0,
    shrink: () => {
      if (outBefore < 0) outBefore = vmm.stats.swapOuts;
      return 0;
    },
  });
  const program = new Program(stack, 0, 160, 3);
  expect(program.run(1000)).toBe(true);
  expect(outBefore).toBe(0);
  expect(pictures?.hold()).toBe("purged");
  expect(held?.hold()).toBe("intact");
  expect(stack.enter(owner, 1).load32(at)).toBe(0);
  for (let page = 32; page < 64; page++) expect(cpu.load32(at + page * PAGE)).toBe(page + 1);
  expect(vmm.stats.swapOuts).toBeGreaterThan(0);
  expect(program.run(500)).toBe(true);
  clean(stack);
});

test("when memory is out the owner is told who should go and why; whoever stays goes on with what it had", () => {
  const spaces = new Map<number, Program>();
  const told: string[] = [];
  const stack = stackOf({
    swap: [],
    compressed: { limitFrames: 8, slots: 64 },
    outOfMemory: ({ victim, scores }, needy) => {
      told.push(scores[0]?.because ?? "");
      const program = victim === null ? undefined : spaces.get(victim.id);
      if (program === undefined || program.space === needy) return false;
      spaces.delete(program.space.asid);
      program.space.destroy();
      return true;
    },
  });
  const sizes = [40, 120, 80, 160];
  for (const [cpu, pages] of sizes.entries()) {
    const program = new Program(stack, cpu, pages, 11 + cpu);
    program.space.name = `program ${cpu}`;
    if (cpu === 1) program.space.limits.outOfMemoryAdjustment = -1000; // The largest that may not go.
    spaces.set(program.space.asid, program);
  }
  const ended = new Set<Program>();
  for (let round = 0; round < 60; round++)
    for (const program of [...spaces.values()])
      if (!ended.has(program) && !program.space.isDestroyed && !program.run(30)) {
        expect(stack.lastFault).toBe("no-memory");
        ended.add(program);
        program.space.destroy();
        spaces.delete(program.space.asid);
      }
  expect(told.length).toBeGreaterThan(0);
  for (const because of told)
    expect(because).toMatch(/^program [023] would free \d+: \d+ resident \+ \d+ swapped \+ \d+ table pages/);
  expect([...spaces.values()].map(({ space }) => space.name)).toContain("program 1");
  for (const program of spaces.values()) expect(program.run(200)).toBe(true);
  clean(stack);
});
