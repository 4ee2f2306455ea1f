/**
 * Anonymous minor faults, everything included: on frames that have to be zeroed, from the stock of zeroed frames, through the processor of a machine; beside them
 * Linux's on this computer (where a C compiler is there) and the zeroing alone.
 */
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { Machine, physicalMapFromJson } from "@pagewright/machine";
import { Pmm } from "@pagewright/pmm";
import { PAGE_SIZE, PlainMemory, Vmm, WRITE } from "@pagewright/vmm";
import { CpuTlbControl, X86FaultHandler, X86System } from "@pagewright/vmm/x86";

import { fastest, report } from "./report.ts";

const PAGES = 1024;
const ROUNDS = 200;

/** Nanoseconds of Linux's minor fault and of its mmap + munmap among 10,000 regions; NaN without a compiler. */
function linux(): [number, number] {
  const folder = mkdtempSync(join(tmpdir(), "vmm-bench-"));
  try {
    const program = join(folder, "faults");
    execFileSync("cc", ["-O2", "-o", program, new URL("linux-faults.c", import.meta.url).pathname]);
    const [fault = NaN, pair = NaN] = execFileSync(program, { encoding: "utf8" }).trim().split(" ").map(Number);
    return [fault, pair];
  } catch {
    return [NaN, NaN];
  } finally {
    rmSync(folder, { recursive: true });
  }
}

function plain(stock: boolean): number {
  const memory = new PlainMemory(PAGES + 64);
  const vmm = new Vmm({ frames: memory, window: memory });
  let timed = Infinity;
  for (let round = 0; round < ROUNDS; round++) {
    const space = vmm.createSpace();
    const at = space?.map({ bytes: PAGES * PAGE_SIZE });
    if (space === null || typeof at !== "number") throw new Error("not mapped");
    if (stock) vmm.idle(PAGES);
    timed = Math.min(
      timed,
      fastest(1, () => {
        for (let page = 0; page < PAGES; page++) space.fault(at + page * PAGE_SIZE, WRITE);
        return PAGES;
      }),
    );
    space.destroy();
  }
  return timed;
}

/** The same through a processor: the store, the walk, the fault, the handler, the kernel's window, and the store again. */
function onProcessor(stock: boolean): number {
  const map = physicalMapFromJson({ entries: [{ base: "0x100000", end: "0x3ffffff", type: 1 }] });
  const machine = new Machine({ map });
  const pmm = new Pmm({ ranges: map.frameRanges() });
  const current = (): number => 0;
  const system = new X86System({ cpus: machine.cpus, current, bootMemory: machine.memory, frames: pmm });
  const control = new CpuTlbControl(machine.cpus, current, system.kernel.root);
  const vmm = new Vmm({ frames: pmm, window: system.windows, tables: system, tlb: control, spaceSwitch: control });
  const [cpu] = machine.cpus;
  if (cpu === undefined) throw new Error("no processor");
  cpu.faultHandler = new X86FaultHandler(vmm, control);
  let timed = Infinity;
  for (let round = 0; round < ROUNDS; round++) {
    const space = vmm.createSpace();
    const at = space?.map({ bytes: PAGES * PAGE_SIZE });
    if (space === null || typeof at !== "number") throw new Error("not mapped");
    space.activate(0);
    cpu.setCpl(3);
    if (stock) vmm.idle(PAGES);
    timed = Math.min(
      timed,
      fastest(1, () => {
        for (let page = 0; page < PAGES; page++) cpu.store32(at + page * PAGE_SIZE, 1);
        return PAGES;
      }),
    );
    space.destroy();
  }
  return timed;
}

const memory = new PlainMemory(PAGES);
const zeroing = fastest(ROUNDS, () => {
  for (let page = 0; page < PAGES; page++) memory.zero(page);
  return PAGES;
});
const [fault] = linux();
const ratioTo = Number.isNaN(fault) ? "zeroing a frame" : "Linux here";
const peer = Number.isNaN(fault) ? zeroing : fault;
const bench = "vmm/faults";
const rows: [string, number][] = [
  ["Linux", fault],
  ["zeroing alone", zeroing],
  ["minor fault", plain(false)],
  ["minor fault, zeroed stock", plain(true)],
  ["minor fault through the processor", onProcessor(false)],
  ["minor fault through the processor, zeroed stock", onProcessor(true)],
];
report(
  rows
    .filter(([, value]) => !Number.isNaN(value))
    .map(([metric, value]) => ({ bench, metric, value, unit: "ns", ratioTo, ratio: value / peer })),
);
