import { expect, test } from "vitest";

import { Machine, physicalMapFromJson, type Cpu } from "@pagewright/machine";
import { Pmm } from "@pagewright/pmm";
import { EXECUTE, MemorySwap, PAGE_SIZE, READ, Vmm, WRITE, type AddressSpace } from "@pagewright/vmm";
import { CpuTlbControl, X86FaultHandler, X86System } from "@pagewright/vmm/x86";

interface Rig {
  machine: Machine;
  cpu: Cpu;
  pmm: Pmm;
  system: X86System;
  control: CpuTlbControl;
  vmm: Vmm;
}

function rig(residentLimit = Infinity, cpus = 1): Rig {
  const map = physicalMapFromJson({
    entries: [
      { base: "0x0", end: "0x9fbff", type: 1 },
      { base: "0x100000", end: "0x3ffffff", type: 1 },
    ],
  });
  const machine = new Machine({ map, cpus });
  const pmm = new Pmm({ ranges: map.frameRanges() });
  const current = (): number => 0;
  const system = new X86System({ cpus: machine.cpus, current, bootMemory: machine.memory, frames: pmm });
  const control = new CpuTlbControl(machine.cpus, current, system.kernel.root);
  const vmm = new Vmm({
    frames: pmm,
    window: system.windows,
    tables: system,
    tlb: control,
    spaceSwitch: control,
    residentLimit,
    swap: [new MemorySwap(4096)],
  });
  const handler = new X86FaultHandler(vmm, control);
  const cpu = machine.cpus[0];
  if (cpu === undefined) throw new Error("no cpu");
  for (const each of machine.cpus) each.faultHandler = handler;
  return { machine, cpu, pmm, system, control, vmm };
}

function spaceOf(vmm: Vmm): AddressSpace {
  const space = vmm.createSpace();
  if (space === null) throw new Error("no space");
  return space;
}

test("a program on the CPU faults its memory in, and the rest of the stack agrees", () => {
  const { cpu, vmm, machine, pmm } = rig();
  const free = pmm.freeFrames;
  const space = spaceOf(vmm);
  space.activate(0);
  cpu.setCpl(3);
  const at = Number(space.map({ bytes: 100 * PAGE_SIZE }));
  for (let page = 0; page < 100; page++) expect(cpu.store32(at + page * PAGE_SIZE + 16, page + 1)).toBe(true);
  for (let page = 0; page < 100; page++) expect(cpu.load32(at + page * PAGE_SIZE + 16)).toBe(page + 1);
  expect(cpu.load32(at - PAGE_SIZE)).toBe(-1);
  expect(cpu.fetch32(at)).toBe(-1);
  expect(space.protect(at, PAGE_SIZE, READ)).toBe("ok");
  expect(cpu.store32(at, 1)).toBe(false);
  expect(space.protect(at, PAGE_SIZE, READ + EXECUTE)).toBe("ok");
  expect(cpu.fetch32(at + 16)).toBe(1);
  expect(space.protect(at, PAGE_SIZE, READ + WRITE)).toBe("ok");
  expect(cpu.store32(at, 77)).toBe(true);
  vmm.check();
  expect(space.unmap(at, 100 * PAGE_SIZE)).toBe("ok");
  expect(cpu.load32(at)).toBe(-1);
  vmm.check();
  machine.check();
  space.destroy();
  vmm.close();
  expect(pmm.freeFrames).toBe(free);
});

test("under pressure pages go to swap and come back, with bits out of the page tables", () => {
  const { cpu, vmm, machine } = rig(50);
  const space = spaceOf(vmm);
  space.activate(0);
  cpu.setCpl(3);
  const at = Number(space.map({ bytes: 300 * PAGE_SIZE }));
  for (let round = 0; round < 3; round++) {
    for (let page = 0; page < 300; page++)
      expect(cpu.store32(at + page * PAGE_SIZE + round * 4, page * 5 + round)).toBe(true);
    for (let page = 0; page < 300; page++) expect(cpu.load32(at + page * PAGE_SIZE + round * 4)).toBe(page * 5 + round);
  }
  expect(vmm.residentPages).toBe(50);
  vmm.check();
  machine.check();
});

test("a clone copies on write through the CPU", () => {
  const { cpu, vmm } = rig();
  const space = spaceOf(vmm);
  space.activate(0);
  cpu.setCpl(3);
  const at = Number(space.map({ bytes: 4 * PAGE_SIZE }));
  cpu.store32(at, 1);
  const clone = space.clone();
  if (clone === null) throw new Error("no clone");
  cpu.store32(at, 2);
  clone.activate(0);
  expect(cpu.load32(at)).toBe(1);
  cpu.store32(at, 3);
  space.activate(0);
  expect(cpu.load32(at)).toBe(2);
  vmm.check();
});

test("kernel regions are demand-zero and seen from every space", () => {
  const { cpu, vmm } = rig();
  const { kernel } = vmm;
  if (kernel === null) throw new Error("no kernel space");
  const at = Number(kernel.map({ bytes: 8 * PAGE_SIZE }));
  expect(at).toBeLessThan(0);
  const one = spaceOf(vmm);
  const two = spaceOf(vmm);
  one.activate(0);
  cpu.setCpl(0);
  expect(cpu.store32(at + 5000, 9)).toBe(true);
  two.activate(0);
  expect(cpu.load32(at + 5000)).toBe(9);
  cpu.setCpl(3);
  expect(cpu.load32(at + 5000)).toBe(-1);
  vmm.check();
});
