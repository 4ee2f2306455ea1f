/** What the measurements run on: the manager alone, and the manager under a machine's processor. */
import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";

import { Machine, physicalMapFromJson, type Cpu } from "@pagewright/machine";
import { Pmm } from "@pagewright/pmm";
import {
  PlainMemory,
  Vmm,
  type AddressSpace,
  type FrameSource,
  type FrameWindow,
  type MapRequest,
  type VirtAddr,
  type VmmOptions,
} from "@pagewright/vmm";
import { CpuTlbControl, X86FaultHandler, X86System } from "@pagewright/vmm/x86";

/**
 * Runs each variant in a process of its own: in one process they would share type feedback and slow each other down.
 *
 * @param module the benchmark's `import.meta.url`
 */
export function eachAlone(module: string, variants: Readonly<Record<string, () => void>>): void {
  const marker = "--variant=";
  const chosen = process.argv.find((word) => word.startsWith(marker));
  if (chosen !== undefined) {
    variants[chosen.slice(marker.length)]?.();
    return;
  }
  for (const name of Object.keys(variants)) {
    const words = [...process.execArgv, fileURLToPath(module), ...process.argv.slice(2), marker + name];
    const run = spawnSync(process.execPath, words, { stdio: "inherit" });
    if (run.status !== 0) process.exitCode = 1;
  }
}

/** Bytes in a page. */
export const PAGE = 4096;

/** The manager over plain memory and plain tables. */
export function plainRig(frames: number, options: Partial<VmmOptions> = {}): Vmm {
  const memory = new PlainMemory(frames);
  return new Vmm({ frames: memory, window: memory, ...options });
}

/** Frames without bytes, so that a million pages need no memory: what is measured on them is the manager's own work. */
class BareFrames implements FrameSource, FrameWindow {
  readonly #free: number[];

  constructor(frames: number) {
    this.#free = Array.from({ length: frames }, (_, at) => frames - 1 - at);
  }

  take(): number {
    return this.#free.pop() ?? -1;
  }

  give(pfn: number): void {
    this.#free.push(pfn);
  }

  takeMany(into: Float64Array, count: number): number {
    for (let at = 0; at < count; at++) into[at] = this.take();
    return count;
  }

  giveMany(frames: Float64Array, count: number): void {
    for (let at = 0; at < count; at++) this.give(frames[at]!);
  }

  read(): void {
    return;
  }

  write(): void {
    return;
  }

  copy(): void {
    return;
  }

  zero(): void {
    return;
  }
}

/** The manager over so many frames without bytes. */
export function bareRig(frames: number): Vmm {
  const bare = new BareFrames(frames);
  return new Vmm({ frames: bare, window: bare });
}

/** The manager under a processor: x86 tables, kernel windows, TLB. */
export interface MachineRig {
  readonly vmm: Vmm;
  readonly cpu: Cpu;
}

/** A machine of so many MiB with one processor. */
export function machineRig(mebibytes: number, options: Partial<VmmOptions> = {}): MachineRig {
  const map = physicalMapFromJson({ entries: [{ base: 2 ** 20, length: mebibytes * 2 ** 20, type: 1 }] });
  const machine = new Machine({ map });
  const frames = new Pmm({ ranges: map.frameRanges() });
  const tables = new X86System({ cpus: machine.cpus, current: () => 0, bootMemory: machine.memory, frames });
  const control = new CpuTlbControl(machine.cpus, () => 0, tables.kernel.root);
  const window = tables.windows;
  const vmm = new Vmm({ frames, window, tables, tlb: control, spaceSwitch: control, ...options });
  const cpu = machine.cpus[0];
  if (cpu === undefined) throw new Error("a machine has a processor");
  cpu.faultHandler = new X86FaultHandler(vmm, control);
  return { vmm, cpu };
}

/** A new space. */
export function spaceOf(vmm: Vmm): AddressSpace {
  const space = vmm.createSpace();
  if (space === null) throw new Error("no frame for a space");
  return space;
}

/** A space in which the processor runs, in user mode. */
export function runningSpace({ vmm, cpu }: MachineRig): AddressSpace {
  const space = spaceOf(vmm);
  space.activate(0);
  cpu.setCpl(3);
  return space;
}

/** Maps; throws where that is refused. */
export function mapped(space: AddressSpace, request: MapRequest): VirtAddr {
  const at = space.map(request);
  if (typeof at === "string") throw new Error(`refused: ${at}`);
  return at;
}

/** Nanoseconds of one call. */
export function time(work: () => void): number {
  const start = process.hrtime.bigint();
  work();
  return Number(process.hrtime.bigint() - start);
}

/**
 * The quickest of several rounds, the one that others on the same processor disturbed least. Each begins with `prepare`, which is not timed, and ends with
 * `clean`.
 */
export function quickest<T>(
  rounds: number,
  prepare: () => T,
  work: (made: T) => void,
  clean?: (made: T) => void,
): number {
  let best = Infinity;
  for (let round = 0; round < rounds; round++) {
    const made = prepare();
    const taken = time(() => {
      work(made);
    });
    best = Math.min(best, taken);
    clean?.(made);
  }
  return best;
}

/** Prints a figure: for people, or with `--json` as one line. `beside`: what it is compared with, in the same unit. */
export function figure(bench: string, metric: string, value: number, unit: string, beside?: [string, number]): void {
  const rounded = Number(value.toPrecision(4));
  const compared =
    beside === undefined ? {} : { ratioTo: beside[0], ratio: Number((value / beside[1]).toPrecision(3)) };
  if (process.argv.includes("--json"))
    console.log(JSON.stringify({ bench, metric, value: rounded, unit, ...compared }));
  else {
    const text =
      beside === undefined
        ? ""
        : `  (${(value / beside[1]).toFixed(3)} × ${beside[0]}: ${beside[1].toFixed(1)} ${unit})`;
    console.log(`${bench}: ${metric}: ${rounded} ${unit}${text}`);
  }
}
