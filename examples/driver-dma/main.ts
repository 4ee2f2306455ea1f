/**
 * Two drivers and their devices: a floppy behind the ISA DMA controller, and a disk that masters the bus with 24 address lines.
 */
import {
  BusMaster,
  IoPorts,
  IsaDma,
  Machine,
  physicalMapFromJson,
  programIsaDma,
  writeScatterGatherList,
} from "@pagewright/machine";
import { Pmm } from "@pagewright/pmm";
import { SpaceMemory, Vmm, type AddressSpace } from "@pagewright/vmm";
import { CpuTlbControl, X86FaultHandler, X86System } from "@pagewright/vmm/x86";

const MIB = 2 ** 20;
const map = physicalMapFromJson({
  entries: [
    { base: 0, length: 0x9f000, type: 1 },
    { base: MIB, length: 63 * MIB, type: 1 },
  ],
});
const machine = new Machine({ map });
const { cpus, memory } = machine;
const pmm = new Pmm({ ranges: map.frameRanges() });
const tables = new X86System({ cpus, current: () => 0, bootMemory: memory, frames: pmm });
const control = new CpuTlbControl(cpus, () => 0, tables.kernel.root);
const vmm = new Vmm({
  frames: pmm,
  window: tables.windows,
  tables,
  tlb: control,
  spaceSwitch: control,
  special: pmm, // frames in a row, for devices
});
const [cpu] = cpus;
if (cpu === undefined) throw new Error("a machine has a processor");
cpu.faultHandler = new X86FaultHandler(vmm, control);
const freeFrames = pmm.freeFrames;

const bytesOf = (length: number, seed: number): Uint8Array =>
  Uint8Array.from({ length }, (_, at) => (at * seed + seed) & 255);

// ---- the floppy: 18 sectors through channel 2 of the 8237A
const ports = new IoPorts();
const controller = new IsaDma(memory, ports);
const grant = vmm.allocateDmaBuffer({ bytes: 18 * 512, below: 16 * MIB, boundary: 64 * 1024 });
if (!grant.ok) throw new Error(grant.reason);
const { buffer } = grant;
console.log(`the floppy's buffer ends below 16 MiB: ${buffer.address + buffer.size <= 16 * MIB}`);
const track = bytesOf(18 * 512, 7);
programIsaDma(ports, 2, buffer.address, track.length, "device-to-memory");
const done = controller.transfer(2, track);
console.log(`the controller moved ${done?.bytes ?? 0} bytes and wrapped ${done?.wraps ?? -1} times`);

const driver = vmm.createSpace();
const at = driver?.map({ bytes: buffer.size, object: buffer }) ?? "no-memory";
if (driver === null || typeof at === "string") throw new Error("the buffer cannot be mapped");
driver.activate(0);
cpu.setCpl(3);
const seen = new Uint8Array(track.length);
cpu.copyOut(at, seen);
console.log(`the driver sees what the device wrote: ${same(seen, track)}`);

// ---- the disk: straight into a program's pages, which it reaches only below 16 MiB
const disk = new BusMaster(memory, 24);
const program = vmm.createSpace();
const target = program?.map({ bytes: 64 * 1024 }) ?? "no-memory";
if (program === null || typeof target === "string") throw new Error("nothing can be mapped");
const data = bytesOf(40_000, 13);
readFrom(program, target + 100, data);
const found = new Uint8Array(data.length);
new SpaceMemory(program).copyOut(target + 100, found);
console.log(`the program has what the disk sent: ${same(found, data)}`);

driver.unmap(at, buffer.size);
buffer.close();
program.destroy();
driver.destroy();
vmm.close();
vmm.check();
console.log(`frames that nobody has any more came back: ${pmm.freeFrames >= freeFrames}`);

/** What a disk driver does for a read: pins the program's buffer, lists it for the device, starts the device, and lets go. */
function readFrom(space: AddressSpace, address: number, content: Uint8Array): void {
  const list = vmm.allocateDmaBuffer({ bytes: 4096, below: 16 * MIB });
  const transfer = vmm.beginTransfer(space, address, content.length, "from-device", { below: 16 * MIB });
  if (!list.ok || typeof transfer === "string") throw new Error("the transfer cannot begin");
  const segments = transfer.segments.map((segment) => ({ address: segment.address, length: segment.bytes }));
  writeScatterGatherList(memory, list.buffer.address, segments);
  const moved = disk.toMemory(list.buffer.address, content);
  console.log(`the disk moved ${moved.bytes} bytes; addresses that it could not carry: ${moved.truncated}`);
  console.log(`pages out of its reach went through stand-ins: ${transfer.bounced > 0}`);
  transfer.complete();
  list.buffer.close();
}

function same(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, index) => byte === b[index]);
}
