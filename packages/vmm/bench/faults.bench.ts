/**
 * Where the time of an anonymous minor fault goes: a store of a machine's processor to untouched memory, and its parts alone, each in a process of its own. The
 * whole beside Linux's fault is `benchmarks/vmm/fault.bench.ts`.
 *
 * Each figure is the quickest of many rounds. The first rounds are the first to touch the host's memory; frames come round again, so that the quickest finds it there.
 */
import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";

import { Machine, physicalMapFromJson, type Cpu } from "@pagewright/machine";
import { Pmm } from "@pagewright/pmm";
import { PAGE_SIZE, PlainMemory, USER, Vmm, WRITE, type AddressSpace, type VirtAddr } from "@pagewright/vmm";
import { CpuTlbControl, X86FaultHandler, X86System, X86Tables, type KernelWindows } from "@pagewright/vmm/x86";

import { fastest, report } from "./report.ts";

const STOCKED = 1000;
const FRESH = 4096;
const ROUNDS = 400;
/** P, and A and D beside it: what the processor has to set again. */
const PRESENT = 1;
const STATE = 0x60;

/** A manager under a machine's processor, which runs a space in user mode. */
interface Rig {
  readonly vmm: Vmm;
  readonly cpu: Cpu;
  readonly machine: Machine;
  readonly frames: Pmm;
  readonly windows: KernelWindows;
  readonly space: AddressSpace;
}

function onMachine(): Rig {
  const map = physicalMapFromJson({ entries: [{ base: "0x100000", end: "0x1fffffff", type: 1 }] });
  const machine = new Machine({ map });
  const [cpu] = machine.cpus;
  const frames = new Pmm({ ranges: map.frameRanges() });
  const current = (): number => 0;
  const system = new X86System({ cpus: machine.cpus, current, bootMemory: machine.memory, frames });
  const control = new CpuTlbControl(machine.cpus, current, system.kernel.root);
  const vmm = new Vmm({ frames, window: system.windows, tables: system, tlb: control, spaceSwitch: control });
  const space = vmm.createSpace();
  if (cpu === undefined || space === null) throw new Error("a machine has a processor and frames");
  cpu.faultHandler = new X86FaultHandler(vmm, control);
  space.activate(0);
  cpu.setCpl(3);
  return { vmm, cpu, machine, frames, windows: system.windows, space };
}

function onPlainTables(): { vmm: Vmm; space: AddressSpace } {
  const memory = new PlainMemory(FRESH + 4096);
  const vmm = new Vmm({ frames: memory, window: memory });
  const space = vmm.createSpace();
  if (space === null) throw new Error("plain tables take no frame");
  return { vmm, space };
}

/** Nanoseconds a page: `touch` for every page of a fresh range, after `prepare`. */
function perPage(
  space: AddressSpace,
  pages: number,
  touch: (at: VirtAddr) => void,
  prepare: (at: VirtAddr) => void,
): number {
  let best = Infinity;
  for (let round = 0; round < ROUNDS; round++) {
    const at = Number(space.map({ bytes: pages * PAGE_SIZE }));
    prepare(at);
    const taken = fastest(1, () => {
      for (let page = 0; page < pages; page++) touch(at + page * PAGE_SIZE);
      return pages;
    });
    best = Math.min(best, taken);
    space.unmap(at, pages * PAGE_SIZE);
  }
  return best;
}

function faults(stocked: boolean): number {
  const { vmm, cpu, space } = onMachine();
  const touch = (at: VirtAddr): void => {
    cpu.store32(at, 1);
  };
  return perPage(space, stocked ? STOCKED : FRESH, touch, () => {
    if (stocked) vmm.idle(STOCKED);
  });
}

function managerOnX86(): number {
  const { vmm, cpu, space } = onMachine();
  cpu.setCpl(0);
  const touch = (at: VirtAddr): void => {
    space.fault(at, WRITE + USER);
  };
  return perPage(space, STOCKED, touch, () => {
    vmm.idle(STOCKED);
  });
}

function managerOnPlain(): number {
  const { vmm, space } = onPlainTables();
  const touch = (at: VirtAddr): void => {
    space.fault(at, WRITE + USER);
  };
  return perPage(space, STOCKED, touch, () => {
    vmm.idle(STOCKED);
  });
}

/** Stores to pages that are mapped; `mapped` is told of each range after all its pages have come in. */
function stores(mapped: (rig: Rig, at: VirtAddr) => void): number {
  const rig = onMachine();
  const { vmm, cpu, space } = rig;
  const touch = (at: VirtAddr): void => {
    cpu.store32(at, 1);
  };
  return perPage(space, STOCKED, touch, (at) => {
    vmm.idle(STOCKED);
    for (let page = 0; page < STOCKED; page++) space.fault(at + page * PAGE_SIZE, WRITE + USER);
    mapped(rig, at);
  });
}

/** The processor alone: entries are there but for P, and a handler sets that in the host's memory. */
function processorAlone(): number {
  return stores((rig, at) => {
    const { cpu, machine, space } = rig;
    const words = cpu.words;
    const places = Array.from({ length: STOCKED }, (_, page) => entryOf(rig, space, at / PAGE_SIZE + page));
    for (const place of places) words[place] = (words[place]! & ~(STATE | PRESENT)) >>> 0;
    let next = 0;
    machine.cpus[0]?.mmu.flush(-1, false);
    cpu.faultHandler = {
      pageFault: () => {
        const place = places[next++] ?? 0;
        words[place] = words[place]! | PRESENT;
        return true;
      },
    };
  });
}

/** Where in the host's words the leaf entry of a page is. */
function entryOf({ machine }: Rig, space: AddressSpace, vpn: number): number {
  if (!(space.tables instanceof X86Tables)) throw new Error("the machine has x86 tables");
  const { mapper } = space.tables;
  const { editor } = mapper;
  let table = mapper.root;
  for (let n = mapper.mode.depth; n > 1; n--) {
    const level = editor.level(n);
    editor.read(table, Math.floor(vpn / level.pages) & (level.entries - 1));
    table = editor.tableFrame(level);
  }
  return machine.memory.writableBase(table) + (vpn & 511) * 2;
}

/** Nanoseconds to zero a frame, by `zero`, which is given 32 at a time. */
function zeroing(zero: (rig: Rig, frames: Float64Array) => void): number {
  const rig = onMachine();
  const taken = new Float64Array(FRESH);
  rig.frames.takeMany(taken, FRESH);
  rig.cpu.setCpl(0);
  const batches = Array.from({ length: FRESH / 32 }, (_, at) => taken.subarray(at * 32, at * 32 + 32));
  return fastest(ROUNDS, () => {
    for (const batch of batches) zero(rig, batch);
    return FRESH;
  });
}

const PARTS: Readonly<Record<string, () => number>> = {
  "store to untouched memory, frame from the zeroed stock": () => faults(true),
  "store to untouched memory, fresh frame": () => faults(false),
  "the processor alone: miss, walk, fault, walk again": processorAlone,
  "the manager alone, x86 tables through kernel windows": managerOnX86,
  "the manager alone, plain tables": managerOnPlain,
  "store that misses the TLB": () => stores(() => undefined),
  "zeroing a frame through a kernel window": () =>
    zeroing(({ windows }, frames) => {
      for (const pfn of frames) windows.zero(pfn);
    }),
  "zeroing frames together": () =>
    zeroing(({ windows }, frames) => {
      windows.zeroMany(frames, frames.length);
    }),
  "zeroing the host's memory": () =>
    zeroing(({ cpu, machine }, frames) => {
      for (const pfn of frames) {
        const at = machine.memory.writableBase(pfn) * 4;
        cpu.bytes.fill(0, at, at + PAGE_SIZE);
      }
    }),
};

const marker = "--part=";
const chosen = process.argv.find((word) => word.startsWith(marker));
if (chosen !== undefined) {
  process.stdout.write(`${String(PARTS[chosen.slice(marker.length)]?.())}\n`);
} else {
  const measured = Object.keys(PARTS).map((metric): [string, number] => {
    const words = [...process.execArgv, fileURLToPath(import.meta.url), marker + metric];
    const run = spawnSync(process.execPath, words, { encoding: "utf8" });
    if (run.status !== 0) throw new Error(run.stderr);
    return [metric, Number(run.stdout)];
  });
  const whole = measured[0]?.[1] ?? NaN;
  report(
    measured.map(([metric, value]) => ({
      bench: "vmm/faults",
      metric,
      value,
      unit: "ns",
      ratioTo: "the first line",
      ratio: value / whole,
    })),
  );
}
