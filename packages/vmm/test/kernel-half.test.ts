import { expect, test } from "vitest";

import { Machine, physicalMapFromJson } from "@pagewright/machine";
import { Pmm } from "@pagewright/pmm";
import { MemorySwap, PAGE_2M, PAGE_SIZE, READ, Vmm, type Pfn } from "@pagewright/vmm";
import { CpuTlbControl, DATA_WINDOWS, TABLE_WINDOWS, X86FaultHandler, X86System } from "@pagewright/vmm/x86";
import { MODE_PAE, NO_FRAME } from "@pagewright/x86-paging";

import { rigOf, spaceOf, type Rig } from "./kit/rig.ts";

/** Entries of a 4-level table. */
const ENTRIES = 512;

/** Leaves of the kernel half, page to frame, read word by word out of the tables themselves; the half's tables in `tables`. */
function kernelLeaves({ machine, system }: Rig): { leaves: Map<number, Pfn>; tables: Set<Pfn> } {
  const leaves = new Map<number, Pfn>();
  const tables = new Set<Pfn>();
  const walk = (table: Pfn, level: number, first: number, vpn: number): void => {
    const words = machine.memory.words(table);
    const base = machine.memory.base(table);
    for (let entry = first; entry < ENTRIES; entry++) {
      const low = words[base + 2 * entry]!;
      if ((low & 1) === 0) continue;
      const pfn = (words[base + 2 * entry + 1]! & 0xfffff) * 2 ** 20 + (low >>> 12);
      const page = vpn + (entry - first) * ENTRIES ** (level - 1);
      if (level === 1 || (low & 128) !== 0) leaves.set(page, pfn);
      else {
        tables.add(pfn);
        walk(pfn, level - 1, 0, page);
      }
    }
  };
  walk(system.kernel.root, 4, ENTRIES / 2, -(2 ** 35));
  return { leaves, tables };
}

/** Has every frame that is given back looked for in the kernel half at that very moment; returns how many were. */
function watchFrames(rig: Rig): () => number {
  const { pmm } = rig;
  let looked = 0;
  const look = (pfn: Pfn, frames: number): void => {
    looked++;
    const { leaves, tables } = kernelLeaves(rig);
    for (const found of [...leaves.values(), ...tables])
      if (found >= pfn && found < pfn + frames)
        throw new Error(`frame ${found} is given back while the kernel maps it`);
  };
  const give = pmm.give.bind(pmm);
  const giveMany = pmm.giveMany.bind(pmm);
  pmm.give = (pfn, order) => {
    look(pfn, 2 ** (order ?? 0));
    give(pfn, order);
  };
  pmm.giveMany = (frames, count) => {
    for (let at = 0; at < count; at++) look(frames[at]!, 1);
    giveMany(frames, count);
  };
  return () => looked;
}

/** Frames of the kernel half that nobody has, by the frame source's own book or in stock. */
function freeInKernel(rig: Rig): Pfn[] {
  const stock = new Set(rig.vmm.core.keeper.stockFrames());
  const { leaves, tables } = kernelLeaves(rig);
  return [...leaves.values(), ...tables].filter(
    (pfn) => stock.has(pfn) || ["free", "stacked"].includes(rig.pmm.useOf(pfn)),
  );
}

test("the kernel half maps its windows and its own regions, and never a free frame", () => {
  const rig = rigOf({ residentLimit: 200 }, 64, 2);
  const { vmm, cpu, system } = rig;
  const looked = watchFrames(rig);
  const kernelRegion = Number(vmm.kernel?.map({ bytes: 4 * PAGE_SIZE, locked: "all" }));
  for (let page = 0; page < 4; page++) expect(cpu.store32(kernelRegion + page * PAGE_SIZE, page)).toBe(true);
  const windows = rig.cpus.length * (TABLE_WINDOWS + DATA_WINDOWS + 1);
  for (let round = 0; round < 20; round++) {
    const space = spaceOf(vmm);
    space.activate(0);
    cpu.setCpl(3);
    const at = Number(space.map({ bytes: 300 * PAGE_SIZE }));
    for (let page = 0; page < 300; page += 1 + (round % 7)) cpu.store32(at + page * PAGE_SIZE, page);
    const clone = space.clone();
    expect(freeInKernel(rig)).toEqual([]);
    space.unmap(at, 100 * PAGE_SIZE);
    vmm.idle(8);
    expect(freeInKernel(rig)).toEqual([]);
    clone?.destroy();
    space.destroy();
    expect(freeInKernel(rig)).toEqual([]);
    system.windows.check();
    const { leaves } = kernelLeaves(rig);
    expect(leaves.size).toBeLessThanOrEqual(windows + 4); // The windows, and the region's four pages.
  }
  expect(looked()).toBeGreaterThan(1000);
  const { leaves, tables } = kernelLeaves(rig);
  for (let page = 0; page < 4; page++) {
    const pfn = leaves.get(kernelRegion / PAGE_SIZE + page) ?? NO_FRAME;
    expect(vmm.core.frameMap.pageAt(pfn)).toBeGreaterThanOrEqual(0);
  }
  // Nothing else: the region, its table, the windows' tables and the levels above are all that the half consists of.
  expect(tables.size).toBeLessThanOrEqual(1 + 2 + 1 + 2);
  expect(system.kernel.countTables()).toBe(tables.size + 1);
});

test("a window that stays open on a frame that is given back is found", () => {
  const rig = rigOf({ residentLimit: 200 });
  watchFrames(rig);
  const pfn = rig.pmm.take();
  const vpn = Number(rig.vmm.kernel?.map({ bytes: PAGE_SIZE })) / PAGE_SIZE;
  const nothing = {
    invalidate: (): void => undefined,
    invalidateSpace: (): void => undefined,
    tableFrame: (): void => undefined,
  };
  expect(rig.system.kernel.map(vpn, pfn, READ, nothing)).toBe(true);
  expect(() => rig.pmm.give(pfn)).toThrow("while the kernel maps it");
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
  // CR3 has 32 bits.
  const low = pmm.request({ frames: 4, below: 2 ** 20 });
  const roots = low.ok ? [0, 1, 2, 3].map((at) => low.start + at) : [];
  const system = new X86System({
    cpus: machine.cpus,
    current: () => 0,
    bootMemory: machine.memory,
    frames: pmm,
    mode: MODE_PAE,
    rootFrames: { take: () => roots.pop() ?? NO_FRAME, give: (pfn) => roots.push(pfn) },
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
  // Somebody has nearly all of the memory below 4 GiB, so that pages lie above.
  for (let frames = 2 ** 17; frames >= 2 ** 10;) if (!pmm.request({ frames, below: 2 ** 20 }).ok) frames /= 2;
  while (pmm.take() < 2 ** 20) continue;
  const space = spaceOf(vmm);
  space.activate(0);
  cpu.setCpl(3);
  const at = Number(space.map({ bytes: 300 * PAGE_SIZE }));
  expect(at).toBeLessThan(0xc0000000);
  const high = new Set<Pfn>();
  for (let page = 0; page < 300; page++) {
    expect(cpu.store32(at + page * PAGE_SIZE, page + 1)).toBe(true);
    space.tables.query(at / PAGE_SIZE + page);
    if (space.tables.frame >= 2 ** 20) high.add(space.tables.frame);
  }
  expect(high.size).toBeGreaterThan(90); // Above 4 GiB, where no 32-bit address leads, and zeroed and copied through windows.
  for (let page = 0; page < 300; page++) expect(cpu.load32(at + page * PAGE_SIZE)).toBe(page + 1);
  expect(vmm.stats.swapOuts).toBeGreaterThan(200);
  const clone = space.clone();
  if (clone === null) throw new Error("no clone");
  expect(cpu.store32(at, 77)).toBe(true);
  clone.activate(0);
  expect(cpu.load32(at)).toBe(1);
  space.activate(0);
  expect(cpu.load32(at)).toBe(77);
  clone.destroy();
  const kernelAt = Number(vmm.kernel?.map({ bytes: PAGE_SIZE }));
  expect(kernelAt).toBeGreaterThanOrEqual(0xc0000000);
  cpu.setCpl(0);
  expect(cpu.store32(kernelAt, 5)).toBe(true);
  expect(pmm.totalFrames * PAGE_SIZE).toBeGreaterThan(60 * 2 ** 30);
  vmm.check();
  space.destroy();
  vmm.check();
});

test("the kernel's space is neither cloned nor destroyed, and no table of it serves a user space, nor the other way round", () => {
  const { vmm, cpu } = rigOf();
  const { kernel } = vmm;
  if (kernel === null) throw new Error("no kernel space");
  const user = spaceOf(vmm);
  const object = vmm.createAnonymous(PAGE_2M);
  const wish = { bytes: PAGE_2M, object, shared: true, alignment: PAGE_2M };
  const [above, below] = [Number(kernel.map(wish)), Number(user.map(wish))];
  user.activate(0);
  expect([cpu.store32(above, 7), cpu.load32(below)]).toEqual([true, 7]);
  for (const call of [
    () => kernel.clone(),
    () => {
      kernel.destroy();
    },
  ])
    expect(call).toThrow(expect.objectContaining({ code: "bad-argument" }) as Error);
  expect([kernel.transfer(above, PAGE_2M, user), user.transfer(below, PAGE_2M, kernel)]).toEqual(["mixed", "mixed"]);
  expect([kernel.share(above, PAGE_2M, user), user.share(below, PAGE_2M, kernel)]).toEqual(["mixed", "mixed"]);
  expect([kernel.regions.count, user.regions.count, cpu.load32(above)]).toEqual([1, 1, 7]);
  vmm.check();
});
