/** A frame source that says no once, at every call in turn: nothing is lost, nothing throws, and nothing that takes a 2M page apart ever has to ask. */
import { expect, test } from "vitest";

import { PAGE_2M, PAGE_SIZE, READ, WRITE, type FrameHints, type FrameSource, type Pfn } from "@pagewright/vmm";
import { Pmm } from "@pagewright/pmm";
import { Machine, physicalMapFromJson } from "@pagewright/machine";
import { MemorySwap, SpaceMemory, Vmm } from "@pagewright/vmm";
import { X86System } from "@pagewright/vmm/x86";

import { UNIT, demandFilled } from "./kit.ts";

/** Frames of which one call to take is refused, or (−1) none, or (−2) all. */
class Refusing implements FrameSource {
  calls = 0;
  refused = -1;
  readonly #pmm: Pmm;
  constructor(pmm: Pmm) {
    this.#pmm = pmm;
  }
  take(hints?: FrameHints): Pfn {
    this.calls++;
    return this.refused === -2 || this.calls === this.refused ? -1 : this.#pmm.take(hints);
  }
  give(pfn: Pfn, order?: number): void {
    this.#pmm.give(pfn, order);
  }
  takeMany(into: Float64Array, count: number, hints?: FrameHints): number {
    return this.#pmm.takeMany(into, count, hints);
  }
  giveMany(frames: Float64Array, count: number): void {
    this.#pmm.giveMany(frames, count);
  }
  split(pfn: Pfn, order: number): void {
    this.#pmm.split(pfn, order);
  }
}

interface Bench {
  readonly vmm: Vmm;
  readonly frames: Refusing;
  readonly pmm: Pmm;
}

function bench(): Bench {
  const map = physicalMapFromJson({ entries: [{ base: "0x100000", end: "0x2ffffff", type: 1 }] });
  const machine = new Machine({ map });
  const pmm = new Pmm({ ranges: map.frameRanges() });
  const frames = new Refusing(pmm);
  const tables = new X86System({ cpus: machine.cpus, current: () => 0, bootMemory: machine.memory, frames });
  const vmm = new Vmm({ frames, window: tables.windows, tables, largePages: "always", swap: [new MemorySwap(4096)] });
  return { vmm, frames, pmm };
}

/** Fills, clones, splits, collapses and asks for 2M pages; true where everything that can be refused was granted. */
function scenario({ vmm }: Bench): boolean {
  const space = vmm.createSpace();
  if (space === null) return false;
  const bytes = new SpaceMemory(space);
  const at = space.map({ bytes: 2 * PAGE_2M, alignment: PAGE_2M });
  if (typeof at !== "number") return false;
  const vpn = at / PAGE_SIZE;
  let all = true;
  const store = (page: number, value: number): void => {
    if (!bytes.store32((vpn + page) * PAGE_SIZE + 12, value)) all = false;
  };
  for (let page = 0; page < 2 * UNIT; page += 64) store(page, page + 1);
  const clone = space.clone();
  if (clone === null) all = false;
  store(64, 65);
  clone?.destroy();
  space.protect(at + PAGE_SIZE * 70, PAGE_SIZE, READ);
  space.protect(at + PAGE_SIZE * 70, PAGE_SIZE, READ + WRITE);
  space.unmap(at + PAGE_SIZE * 600, PAGE_SIZE);
  vmm.background(5000);
  const asked = space.map({ bytes: PAGE_2M, pageSize: PAGE_2M });
  if (typeof asked !== "number") all = false;
  for (let page = 0; page < 2 * UNIT; page += 64) {
    const got = bytes.load32((vpn + page) * PAGE_SIZE + 12);
    if (got === page + 1) continue;
    all = false;
    expect(got === 0 || got === -1).toBe(true); // The store that was refused, or a load that is.
  }
  vmm.check();
  space.destroy();
  return all;
}

test("one refusal, wherever it comes, costs at most what was asked for", () => {
  const calm = bench();
  expect(scenario(calm)).toBe(true);
  const calls = calm.frames.calls;
  let granted = 0;
  for (let refused = 1; refused <= calls; refused++) {
    const made = bench();
    const before = made.pmm.freeFrames;
    made.frames.calls = 0;
    made.frames.refused = refused;
    if (scenario(made)) granted++;
    made.vmm.close();
    made.vmm.check();
    made.pmm.check();
    expect({ refused, free: made.pmm.freeFrames }).toEqual({ refused, free: before });
  }
  expect(granted).toBeGreaterThan(0); // Without a block, or a table to keep back, 4K pages do.
});

test("with no frame to be had at all, a 2M page is unmapped, protected and evicted in part", () => {
  const { vmm, frames, pmm } = bench();
  const space = vmm.createSpace();
  if (space === null) throw new Error("no space");
  const bytes = new SpaceMemory(space);
  const at = Number(space.map({ bytes: 3 * PAGE_2M, alignment: PAGE_2M }));
  const vpn = at / PAGE_SIZE;
  for (let page = 0; page < 3 * UNIT; page++) bytes.store32((vpn + page) * PAGE_SIZE + 12, page + 1);
  expect(vmm.large.stats().faults).toBe(3);
  frames.refused = -2;
  expect(space.protect(at + 9 * PAGE_SIZE, PAGE_SIZE, READ)).toBe("ok");
  expect(space.advise(at + PAGE_2M + 9 * PAGE_SIZE, PAGE_SIZE, "page-out")).toBe("ok");
  expect(space.unmap(at + 2 * PAGE_2M + 9 * PAGE_SIZE, PAGE_SIZE)).toBe("ok");
  expect([vmm.large.stats().splits, vmm.reclaim(100), vmm.residentPages]).toEqual([3, 100, 3 * UNIT - 102]);
  frames.refused = -1;
  demandFilled(bytes, vpn, 2 * UNIT + 9);
  demandFilled(bytes, vpn + 2 * UNIT + 10, UNIT - 10, 0, 2 * UNIT + 10);
  vmm.check();
  pmm.check();
});
