/** Reading a file that is cached and mapped, in bulk through a machine's processor, beside `fs.readSync` of the same file. */
import { closeSync, mkdtempSync, openSync, readSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { Machine, physicalMapFromJson } from "@pagewright/machine";
import { Pmm } from "@pagewright/pmm";
import { READ, Vmm } from "@pagewright/vmm";
import { FileBacking } from "@pagewright/vmm/node";
import { CpuTlbControl, X86FaultHandler, X86System } from "@pagewright/vmm/x86";

import { fastest, report } from "./report.ts";

const BYTES = 16 * 1048576;
const PIECE = 65536;

const folder = mkdtempSync(join(tmpdir(), "vmm-bench-"));
const path = join(folder, "file");
writeFileSync(path, new Uint8Array(BYTES).fill(7));

const map = physicalMapFromJson({ entries: [{ base: "0x100000", end: "0x5ffffff", type: 1 }] });
const machine = new Machine({ map });
const pmm = new Pmm({ ranges: map.frameRanges() });
const current = (): number => 0;
const system = new X86System({ cpus: machine.cpus, current, bootMemory: machine.memory, frames: pmm });
const control = new CpuTlbControl(machine.cpus, current, system.kernel.root);
const vmm = new Vmm({ frames: pmm, window: system.windows, tables: system, tlb: control, spaceSwitch: control });
const [cpu] = machine.cpus;
const space = vmm.createSpace();
if (cpu === undefined || space === null) throw new Error("no processor or space");
cpu.faultHandler = new X86FaultHandler(vmm, control);
const at = space.map({ bytes: BYTES, object: vmm.openFile(new FileBacking(path, { readOnly: true })), rights: READ });
if (typeof at !== "number") throw new Error(at);
space.activate(0);
cpu.setCpl(3);

const into = new Uint8Array(PIECE);
const mapped = fastest(40, () => {
  for (let done = 0; done < BYTES; done += PIECE) cpu.copyOut(at + done, into);
  return BYTES / 1048576;
});
const descriptor = openSync(path, "r");
const read = fastest(40, () => {
  for (let done = 0; done < BYTES; done += PIECE) readSync(descriptor, into, 0, PIECE, done);
  return BYTES / 1048576;
});
closeSync(descriptor);
rmSync(folder, { recursive: true });
const bench = "vmm/mapped-file";
report([
  { bench, metric: "fs.readSync", value: 1e9 / read, unit: "MiB/s", ratioTo: "fs.readSync", ratio: 1 },
  {
    bench,
    metric: "mapped, cached, through the processor",
    value: 1e9 / mapped,
    unit: "MiB/s",
    ratioTo: "fs.readSync",
    ratio: read / mapped,
  },
]);
