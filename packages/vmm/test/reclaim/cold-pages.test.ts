/** Advice `cold` and `free`: such pages leave before all others, whatever the policy makes of the rest. */
import { describe, expect, test } from "vitest";

import { MemorySwap, PAGE_2M, PAGE_SIZE, PlainMemory, SpaceMemory, Vmm, type VmmOptions } from "@pagewright/vmm";
import { policies } from "@pagewright/vmm/policies";

import { spaceOf } from "../kit/rig.ts";

const FRAMES = 32;

/** A program that uses as many pages as there are frames, over and over. */
class Program {
  readonly vmm: Vmm;
  readonly space;
  readonly at: number;
  readonly bytes: SpaceMemory;
  #next = FRAMES;

  constructor(options: Partial<VmmOptions> = {}) {
    const memory = new PlainMemory(256);
    const settings = { residentLimit: FRAMES, swap: [new MemorySwap(1024)], readAhead: 0, ...options };
    this.vmm = new Vmm({ frames: memory, window: memory, ...settings });
    this.space = spaceOf(this.vmm);
    this.at = Number(this.space.map({ bytes: 512 * PAGE_SIZE }));
    this.bytes = new SpaceMemory(this.space);
    for (let page = 0; page < FRAMES; page++) this.bytes.store32(this.place(page), page + 1);
    for (let round = 0; round < 4; round++) {
      for (let page = 0; page < FRAMES; page++) this.bytes.load32(this.place(page));
      this.vmm.core.reclaimer.harvest();
    }
  }

  place(page: number): number {
    return this.at + page * PAGE_SIZE;
  }

  advise(page: number, advice: "cold" | "free"): void {
    expect(this.space.advise(this.place(page), PAGE_SIZE, advice)).toBe("ok");
  }

  /** Stores to a new page; those of the first pages that left for it. */
  press(): number[] {
    const before = this.#resident();
    this.bytes.store32(this.place(this.#next++), 1);
    const after = this.#resident();
    return [...before].filter((page) => !after.has(page));
  }

  #resident(): Set<number> {
    const into = new Uint8Array(FRAMES);
    expect(this.space.residency(this.at, FRAMES * PAGE_SIZE, into)).toBe("ok");
    return new Set([...into.keys()].filter((page) => into[page] === 1));
  }
}

/** What managers choose victims with: each policy that needs no future, shares of groups, a limit of the space's own. */
const CHOICES: [string, () => Partial<VmmOptions>, residentPages: number][] = [
  ...Object.entries(policies)
    .filter(([name]) => name !== "opt")
    .map(([name, make]): [string, () => Partial<VmmOptions>, number] => [
      name,
      () => ({ policy: make({ slots: 1024, frames: FRAMES, requests: new Uint32Array() }) }),
      Infinity,
    ]),
  ["fairness", () => ({ fairness: true }), Infinity],
  ["a space's limit", () => ({ residentLimit: 2 * FRAMES }), FRAMES],
];

describe.each(CHOICES)("%s", (_name, optionsOf, residentPages) => {
  const start = (): Program => {
    const program = new Program(optionsOf());
    program.space.limits.residentPages = residentPages;
    return program;
  };

  test("cold pages leave first, in the order of the advice", () => {
    const program = start();
    for (const page of [11, 3, 17]) program.advise(page, "cold");
    expect([program.press(), program.press(), program.press()]).toEqual([[11], [3], [17]]);
    for (const page of [11, 3, 17]) expect(program.bytes.load32(program.place(page))).toBe(page + 1);
    program.vmm.check();
  });

  test("freed pages leave first, and read as zero", () => {
    const program = start();
    for (const page of [20, 9]) program.advise(page, "free");
    const before = program.vmm.stats.writebacks;
    expect([program.press(), program.press()]).toEqual([[20], [9]]);
    expect(program.vmm.stats.writebacks).toBe(before);
    for (const page of [20, 9]) expect(program.bytes.load32(program.place(page))).toBe(0);
    program.vmm.check();
  });

  test("a cold page that is used again is like any other", () => {
    const program = start();
    for (const page of [8, 5]) program.advise(page, "cold");
    program.bytes.load32(program.place(8));
    program.advise(22, "free");
    program.bytes.store32(program.place(22), 7);
    expect(program.press()).toEqual([5]);
    expect(program.vmm.core.cold.count).toBeLessThanOrEqual(2);
    program.press();
    expect(program.bytes.load32(program.place(22))).toBe(7);
    program.vmm.check();
  });
});

test("cold pages that are pinned, unmapped or locked are cold no more", () => {
  const { vmm, space, ...program } = new Program();
  const { at, bytes } = program;
  expect(space.advise(at, 8 * PAGE_SIZE, "cold")).toBe("ok");
  expect(vmm.core.cold.count).toBe(8);
  expect(space.unmap(at, PAGE_SIZE)).toBe("ok");
  expect(space.lock(at + PAGE_SIZE, PAGE_SIZE)).toBe("ok");
  const transfer = space.vmm.beginTransfer(space, at + 2 * PAGE_SIZE, PAGE_SIZE, "to-device");
  if (typeof transfer === "string") throw new Error(transfer);
  expect(vmm.core.cold.count).toBe(5);
  vmm.check();
  transfer.complete();
  expect(space.unlock(at + PAGE_SIZE, PAGE_SIZE)).toBe("ok");
  expect(vmm.core.cold.count).toBe(5);
  expect(bytes.load32(at + PAGE_SIZE)).toBe(2);
  space.destroy();
  expect(vmm.core.cold.count).toBe(0);
  vmm.check();
});

test("part of a 2M page can be cold while the rest is used", () => {
  const memory = new PlainMemory(4096);
  const vmm = new Vmm({ frames: memory, window: memory, swap: [new MemorySwap(1024)], largePages: "always" });
  const space = spaceOf(vmm);
  const at = Number(space.map({ bytes: PAGE_2M, alignment: PAGE_2M }));
  const bytes = new SpaceMemory(space);
  for (let page = 0; page < 512; page++) bytes.store32(at + page * PAGE_SIZE, page + 1);
  expect(space.usage().in2MPages).toBe(512);
  expect(space.advise(at + 100 * PAGE_SIZE, 2 * PAGE_SIZE, "cold")).toBe("ok");
  for (let page = 0; page < 512; page++)
    if (page < 100 || page >= 102) expect(bytes.load32(at + page * PAGE_SIZE)).toBe(page + 1);
  expect(vmm.reclaim(2)).toBe(2);
  const into = new Uint8Array(512);
  expect(space.residency(at, PAGE_2M, into)).toBe("ok");
  expect([...into.keys()].filter((page) => into[page] === 0)).toEqual([100, 101]);
  vmm.check();
});
