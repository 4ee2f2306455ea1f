/** Page tables reached through a slot of the root that refers to the root, on a machine's processors. */
import { describe, expect, test } from "vitest";

import { PAGE_SIZE, READ, TRANSFER_UNIT, WRITE, type AddressSpace } from "@pagewright/vmm";
import { DATA_WINDOWS, TABLE_WINDOWS } from "@pagewright/vmm/x86";
import { MODE_PAE } from "@pagewright/x86-paging";

import { rigOf, spaceOf, type Rig } from "./kit/rig.ts";

const SLOT = 510;
const ENTRIES = 512;
const PRESENT = 1;
const LARGE = 0x80;

function slotRig(cpus = 1, residentLimit = Infinity): Rig {
  return rigOf({ residentLimit }, 64, cpus, { recursiveSlot: SLOT });
}

/** Every frame that a root's upper half maps, slot by slot of the root, as a processor's walk of four levels finds it. */
function upperHalf(rig: Rig, root: number): Map<number, number[]> {
  const { memory } = rig.machine;
  const found = new Map<number, number[]>();
  const walk = (table: number, level: number, frames: number[]): void => {
    const words = memory.words(table);
    const base = memory.base(table);
    for (let index = 0; index < ENTRIES; index++) {
      const low = words[base + index * 2]!;
      if ((low & PRESENT) === 0) continue;
      const frame = (words[base + index * 2 + 1]! & 0xfffff) * 2 ** 20 + Math.floor(low / PAGE_SIZE);
      if (level === 1 || ((low & LARGE) !== 0 && level < 4)) frames.push(frame);
      else walk(frame, level - 1, frames);
    }
  };
  const words = memory.words(root);
  const base = memory.base(root);
  for (let slot = ENTRIES / 2; slot < ENTRIES; slot++) {
    const low = words[base + slot * 2]!;
    if ((low & PRESENT) === 0) continue;
    const frames: number[] = [];
    walk(Math.floor(low / PAGE_SIZE), 3, frames);
    found.set(slot, frames);
  }
  return found;
}

function run(rig: Rig, space: AddressSpace, cpu = 0): Rig["cpu"] {
  rig.current = cpu;
  const processor = rig.cpus[cpu];
  if (processor === undefined) throw new Error("no processor");
  space.activate(cpu);
  processor.setCpl(3);
  return processor;
}

describe("a manager that edits its tables through a recursive slot", () => {
  test("faults, unmaps, clones and moves as with windows, and uses the slot for it", () => {
    const rig = slotRig(1, 60);
    const { vmm, system } = rig;
    const space = spaceOf(vmm);
    const cpu = run(rig, space);
    const at = Number(space.map({ bytes: 200 * PAGE_SIZE }));
    for (let page = 0; page < 200; page++) expect(cpu.store32(at + page * PAGE_SIZE, page + 1)).toBe(true);
    for (let page = 0; page < 200; page++) expect(cpu.load32(at + page * PAGE_SIZE)).toBe(page + 1);
    expect(system.recursive?.reached).toBeGreaterThan(200);
    const clone = space.clone();
    if (clone === null) throw new Error("no clone");
    expect(run(rig, clone).store32(at, 7)).toBe(true);
    expect(run(rig, space).load32(at)).toBe(1);
    expect(run(rig, clone).load32(at)).toBe(7);
    run(rig, space);
    expect(space.unmap(at, 100 * PAGE_SIZE)).toBe("ok");
    expect(cpu.load32(at)).toBe(-1);
    expect(space.protect(at + 100 * PAGE_SIZE, PAGE_SIZE, READ)).toBe("ok");
    expect(cpu.store32(at + 100 * PAGE_SIZE, 1)).toBe(false);
    vmm.check();
    rig.machine.check();
    clone.destroy();
    space.destroy();
    vmm.check();
  });

  test("never edits a table that has gone or moved through an address that it had", () => {
    const rig = slotRig(2);
    const { vmm } = rig;
    const [one, two] = [spaceOf(vmm), spaceOf(vmm)];
    const at = 64 * TRANSFER_UNIT;
    for (let round = 0; round < 12; round++) {
      one.map({ address: at, bytes: 2 * TRANSFER_UNIT, placement: "fixed" });
      for (const cpu of [0, 1]) {
        expect(run(rig, one, cpu).store32(at + cpu * TRANSFER_UNIT, round * 2 + cpu)).toBe(true);
        expect(run(rig, one, cpu).load32(at + (1 - cpu) * TRANSFER_UNIT)).toBeGreaterThanOrEqual(0);
      }
      if (round % 3 === 0) {
        expect(one.transfer(at, TRANSFER_UNIT, two, at)).toBe(at);
        expect(run(rig, two, 1).load32(at)).toBe(round * 2);
        two.unmap(at, TRANSFER_UNIT);
      } else if (round % 3 === 1) {
        one.unmap(at, 2 * TRANSFER_UNIT);
      } else {
        one.advise(at, 2 * TRANSFER_UNIT, "dont-need");
        expect(run(rig, one, 1).load32(at)).toBe(0);
      }
      vmm.check();
    }
    rig.machine.check();
  });

  test("shares tables between spaces", () => {
    const rig = slotRig(2);
    const { vmm } = rig;
    const [one, two] = [spaceOf(vmm), spaceOf(vmm)];
    const object = vmm.createAnonymous(TRANSFER_UNIT);
    const at = Number(one.map({ bytes: TRANSFER_UNIT, alignment: TRANSFER_UNIT, object, shared: true }));
    const there = Number(one.share(at, TRANSFER_UNIT, two));
    expect(run(rig, one, 0).store32(at, 5)).toBe(true);
    expect(run(rig, two, 1).load32(there)).toBe(5);
    run(rig, one, 0);
    one.protect(at, PAGE_SIZE, READ);
    expect(run(rig, one, 0).store32(at, 6)).toBe(false);
    expect(run(rig, two, 1).store32(there, 6)).toBe(true);
    expect(run(rig, one, 0).load32(at)).toBe(6);
    vmm.check();
  });

  test("maps in the upper half its own tables, windows and regions, and no free frame", () => {
    const rig = slotRig(1, 100);
    const { vmm, system, pmm } = rig;
    const kernelAt = Number(vmm.kernel?.map({ bytes: 3 * PAGE_SIZE, locked: "all" }));
    for (let round = 0; round < 3; round++) {
      const space = spaceOf(vmm);
      const cpu = run(rig, space);
      const at = Number(space.map({ bytes: 3 * TRANSFER_UNIT, rights: READ + WRITE }));
      for (let page = 0; page < 1200; page += 7) cpu.store32(at + page * PAGE_SIZE, page);
      space.unmap(at, TRANSFER_UNIT + round * 9 * PAGE_SIZE);
      const half = upperHalf(rig, space.tables.root);
      expect([...half.keys()]).toEqual([SLOT, 511]);
      const slot = half.get(SLOT) ?? [];
      const own = half.get(511) ?? [];
      const tables = new Set(slot);
      // The root's own entries, one for each table below it, lead to tables of this space and of the kernel half alone.
      expect(tables.size).toBe(system.tableFrames - (system.kernel.root === space.tables.root ? 0 : 1));
      const regions = new Set<number>();
      for (let page = 0; page < 3; page++) {
        vmm.kernel?.tables.query(kernelAt / PAGE_SIZE + page);
        regions.add(vmm.kernel?.tables.frame ?? -1);
      }
      for (const pfn of own) expect(tables.has(pfn) || regions.has(pfn) || pfn === system.kernel.root).toBe(true);
      expect(own.length).toBeLessThanOrEqual(TABLE_WINDOWS + DATA_WINDOWS + 1 + regions.size);
      const free = new Set<number>();
      for (let pfn = pmm.take(); pfn >= 0; pfn = pmm.take()) free.add(pfn);
      for (const pfn of [...slot, ...own]) expect(free.has(pfn)).toBe(false);
      for (const pfn of free) pmm.give(pfn);
      space.destroy();
    }
    vmm.check();
  });
});

test("a slot that a half needs, or that the mode cannot have, is refused", () => {
  expect(() => rigOf({}, 64, 1, { recursiveSlot: 3 })).toThrow("between the halves");
  expect(() => rigOf({}, 64, 1, { recursiveSlot: 511 })).toThrow("between the halves");
  expect(() => rigOf({}, 64, 1, { recursiveSlot: 2, mode: MODE_PAE })).toThrow();
});
