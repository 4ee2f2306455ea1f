import { expect, test } from "vitest";

import { Machine, physicalMapFromJson } from "@pagewright/machine";
import { Pmm } from "@pagewright/pmm";
import { MemorySwap, PAGE_SIZE, Vmm } from "@pagewright/vmm";
import { CpuTlbControl, DATA_WINDOWS, TABLE_WINDOWS, X86FaultHandler, X86System } from "@pagewright/vmm/x86";
import { MODE_PAE, NO_FRAME } from "@pagewright/x86-paging";

import { rigOf, spaceOf } from "./kit/rig.ts";

/** Frames that the kernel half maps, read from the page tables themselves; table frames of the half in `tables`. */
function kernelLeaves(rig: ReturnType<typeof rigOf>, low: number, high: number): Map<number, number> {
  const found = new Map<number, number>();
  const { mapper } = rig.system.kernel;
  for (let vpn = low; vpn < high; vpn++) {
    const leaf = mapper.query(vpn);
    if (leaf !== null) found.set(vpn, leaf.pfn);
  }
  return found;
}

test("the kernel half maps its windows and its own regions, and never a free frame", () => {
  const rig = rigOf({ residentLimit: 200 }, 64, 2);
  const { vmm, cpu, pmm, system } = rig;
  const free = new Set<number>();
  const give = pmm.give.bind(pmm);
  const take = pmm.take.bind(pmm);
  pmm.give = (pfn, order) => {
    free.add(pfn);
    give(pfn, order);
  };
  pmm.giveMany = (frames, count) => {
    for (let at = 0; at < count; at++) pmm.give(frames[at] ?? NO_FRAME);
  };
  pmm.take = (hints) => {
    const pfn = take(hints);
    free.delete(pfn);
    return pfn;
  };
  const kernelRegion = Number(vmm.kernel?.map({ bytes: 4 * PAGE_SIZE, locked: "all" }));
  for (let page = 0; page < 4; page++) expect(cpu.store32(kernelRegion + page * PAGE_SIZE, page)).toBe(true);
  const windowsLow = -3 * 512;
  for (let round = 0; round < 20; round++) {
    const space = spaceOf(vmm);
    space.activate(0);
    cpu.setCpl(3);
    const at = Number(space.map({ bytes: 300 * PAGE_SIZE }));
    for (let page = 0; page < 300; page += 1 + (round % 7)) cpu.store32(at + page * PAGE_SIZE, page);
    const clone = space.clone();
    space.unmap(at, 100 * PAGE_SIZE);
    clone?.destroy();
    space.destroy();
    system.windows.check();
    const windows = kernelLeaves(rig, windowsLow, -1);
    const bound = rig.cpus.length * (TABLE_WINDOWS + DATA_WINDOWS + 1);
    expect(windows.size).toBeLessThanOrEqual(bound);
    for (const pfn of windows.values()) expect(free.has(pfn)).toBe(false);
  }
  const own = kernelLeaves(rig, kernelRegion / PAGE_SIZE, kernelRegion / PAGE_SIZE + 4);
  expect(own.size).toBe(4);
  for (const pfn of own.values()) expect(vmm.core.frameMap.pageAt(pfn)).toBeGreaterThanOrEqual(0);
  // Nothing else: the region, its table, the windows' tables and the levels above are all that the half consists of.
  expect(system.kernel.countTables()).toBeLessThanOrEqual(1 + 1 + 2 + 1 + 2);
});

test("PAE tables, 64 GiB of memory, 1 GiB for the kernel", () => {
  const map = physicalMapFromJson({
    entries: [
      { base: "0x100000", end: "0xbfffffff", type: 1 },
      { base: "0x100000000", end: "0xfffffffff", type: 1 },
    ],
  });
  const registers = { cr0: 0x80010001, cr3Low: 0, cr3High: 0, cr4: 0xa0, efer: 0x800, pkru: 0, pkrs: 0 };
  const machine = new Machine({ map, registers });
  const pmm = new Pmm({ ranges: map.frameRanges() });
  const system = new X86System({
    cpus: machine.cpus,
    current: () => 0,
    bootMemory: machine.memory,
    frames: pmm,
    mode: MODE_PAE,
    rootFrames: {
      take: () => {
        const run = pmm.request({ frames: 1, below: 2 ** 20 });
        return run.ok ? run.start : NO_FRAME;
      },
      give: (pfn) => pmm.release(pfn, 1),
    },
  });
  const control = new CpuTlbControl(machine.cpus, () => 0, system.kernel.root);
  const vmm = new Vmm({
    frames: pmm,
    window: system.windows,
    tables: system,
    tlb: control,
    spaceSwitch: control,
    residentLimit: 100,
    swap: [new MemorySwap(1000)],
  });
  const [cpu] = machine.cpus;
  if (cpu === undefined) throw new Error("no processor");
  cpu.faultHandler = new X86FaultHandler(vmm, control);
  const space = spaceOf(vmm);
  space.activate(0);
  cpu.setCpl(3);
  const at = Number(space.map({ bytes: 300 * PAGE_SIZE }));
  expect(at).toBeLessThan(0xc0000000);
  for (let page = 0; page < 300; page++) expect(cpu.store32(at + page * PAGE_SIZE, page + 1)).toBe(true);
  for (let page = 0; page < 300; page++) expect(cpu.load32(at + page * PAGE_SIZE)).toBe(page + 1);
  const kernelAt = Number(vmm.kernel?.map({ bytes: PAGE_SIZE }));
  expect(kernelAt).toBeGreaterThanOrEqual(0xc0000000);
  cpu.setCpl(0);
  expect(cpu.store32(kernelAt, 5)).toBe(true);
  expect(pmm.totalFrames * PAGE_SIZE).toBeGreaterThan(60 * 2 ** 30);
  vmm.check();
  space.destroy();
  vmm.check();
});
