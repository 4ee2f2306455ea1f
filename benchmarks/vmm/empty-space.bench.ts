/** What an empty space costs: frames for its tables, and bytes of the manager's own. Run with `--expose-gc`. */
import { Machine, physicalMapFromJson } from "@pagewright/machine";
import { Pmm } from "@pagewright/pmm";
import { Vmm, type AddressSpace } from "@pagewright/vmm";
import { CpuTlbControl, X86System } from "@pagewright/vmm/x86";

import { PAGE, figure, plainRig, spaceOf } from "./rig.ts";

const SPACES = 4000;

function heapBytes(): number {
  globalThis.gc?.();
  const { heapUsed, arrayBuffers } = process.memoryUsage();
  return heapUsed + arrayBuffers;
}

/** Makes spaces and measures what each adds to the heap. */
function heapOf(vmm: Vmm): number {
  spaceOf(vmm);
  const before = heapBytes();
  const spaces: AddressSpace[] = Array.from({ length: SPACES }, () => spaceOf(vmm));
  const bytes = (heapBytes() - before) / spaces.length;
  if (vmm.core.spaces.size < SPACES) throw new Error("spaces are missing");
  return bytes;
}

if (globalThis.gc === undefined) throw new Error("run with --expose-gc");
figure("vmm empty space", "heap, tables in plain memory", heapOf(plainRig(64)), "bytes");

const map = physicalMapFromJson({ entries: [{ base: 2 ** 20, length: 63 * 2 ** 20, type: 1 }] });
const machine = new Machine({ map });
const frames = new Pmm({ ranges: map.frameRanges() });
const tables = new X86System({ cpus: machine.cpus, current: () => 0, bootMemory: machine.memory, frames });
const control = new CpuTlbControl(machine.cpus, () => 0, tables.kernel.root);
const vmm = new Vmm({ frames, window: tables.windows, tables, tlb: control, spaceSwitch: control });
const before = frames.freeFrames;
figure("vmm empty space", "heap, x86 tables", heapOf(vmm), "bytes");
figure("vmm empty space", "frames, x86 tables", ((before - frames.freeFrames) / (SPACES + 1)) * PAGE, "bytes");
