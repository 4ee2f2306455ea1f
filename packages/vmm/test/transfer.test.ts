import { expect, test } from "vitest";

import { PAGE_SIZE, PlainMemory, SpaceMemory, TRANSFER_UNIT, Vmm } from "@pagewright/vmm";

import { rigOf, spaceOf } from "./kit/rig.ts";

const UNITS = 3;

test("a range changes hands with its pages, on x86 tables", () => {
  const { vmm, cpu, pmm, machine } = rigOf();
  const free = pmm.freeFrames;
  const one = spaceOf(vmm);
  const two = spaceOf(vmm);
  const bytes = UNITS * TRANSFER_UNIT;
  const at = Number(one.map({ bytes: bytes + 2 * TRANSFER_UNIT, alignment: TRANSFER_UNIT }));
  one.activate(0);
  cpu.setCpl(3);
  for (let unit = 0; unit < UNITS; unit++) expect(cpu.store32(at + unit * TRANSFER_UNIT + 40, unit + 7)).toBe(true);
  const copies = vmm.stats.minorFaults;
  const there = one.transfer(at, bytes, two);
  expect(typeof there).toBe("number");
  vmm.check();
  expect(cpu.load32(at + 40)).toBe(-1);
  expect(cpu.load32(at + bytes + 40)).toBe(0);
  two.activate(0);
  for (let unit = 0; unit < UNITS; unit++) expect(cpu.load32(Number(there) + unit * TRANSFER_UNIT + 40)).toBe(unit + 7);
  expect(vmm.stats.minorFaults).toBe(copies + 1);
  expect(two.transfer(Number(there), bytes, one, at)).toBe(at);
  one.activate(0);
  expect(cpu.load32(at + 40)).toBe(7);
  vmm.check();
  machine.check();
  one.destroy();
  two.destroy();
  vmm.close();
  expect(pmm.freeFrames).toBe(free);
});

test("a gibibyte changes hands as one entry", () => {
  const { vmm, cpu } = rigOf();
  const one = spaceOf(vmm);
  const two = spaceOf(vmm);
  const gibibyte = 2 ** 30;
  const at = Number(one.map({ bytes: gibibyte, alignment: gibibyte }));
  one.activate(0);
  cpu.setCpl(3);
  expect(cpu.store32(at + 123 * TRANSFER_UNIT, 5)).toBe(true);
  expect(one.transfer(at, gibibyte, two, at)).toBe(at);
  two.activate(0);
  expect(cpu.load32(at + 123 * TRANSFER_UNIT)).toBe(5);
  vmm.check();
});

test("what cannot be handed over stays", () => {
  const memory = new PlainMemory(64);
  const vmm = new Vmm({ frames: memory, window: memory });
  const one = spaceOf(vmm);
  const two = spaceOf(vmm);
  const at = Number(one.map({ bytes: TRANSFER_UNIT, alignment: TRANSFER_UNIT }));
  new SpaceMemory(one).store32(at, 9);
  expect(one.transfer(at, 2 * TRANSFER_UNIT, two)).toBe("unmapped");
  expect(two.map({ bytes: PAGE_SIZE, address: at, placement: "fixed" })).toBe(at);
  expect(one.transfer(at, TRANSFER_UNIT, two, at)).toBe("exists");
  expect(() => one.transfer(at + PAGE_SIZE, TRANSFER_UNIT, two)).toThrow("2 MiB");
  expect(new SpaceMemory(one).load32(at)).toBe(9);
  const there = Number(one.transfer(at, TRANSFER_UNIT, two));
  expect(new SpaceMemory(two).load32(there)).toBe(9);
  vmm.check();
});
