/**
 * Two drivers and their devices: a floppy behind the ISA DMA controller, and a disk that masters the bus with 24 address lines.
 */
import { BusMaster, IoPorts, IsaDma, physicalMapFromJson } from "@pagewright/machine";
import { audit, createStack, IsaChannel, openIsaChannel, receiveInto, sendFrom } from "@pagewright/stack";
import { SpaceMemory } from "@pagewright/vmm";

const MIB = 2 ** 20;
const map = physicalMapFromJson({
  entries: [
    { base: 0, length: 0x9f000, type: 1 },
    { base: MIB, length: 63 * MIB, type: 1 },
  ],
});
const stack = createStack({ map });
const { vmm, machine } = stack;
const program = vmm.createSpace();
const target = program?.map({ bytes: 64 * 1024 }) ?? "no-memory";
if (program === null || typeof target === "string") throw new Error("nothing can be mapped");

const bytesOf = (length: number, seed: number): Uint8Array =>
  Uint8Array.from({ length }, (_, at) => (at * seed + seed) & 255);

// ---- the floppy: 18 sectors through channel 2 of the 8237A
const ports = new IoPorts();
const controller = new IsaDma(machine.memory, ports);
const floppy = openIsaChannel(stack, { ports, controller }, 2, 18 * 512);
if (!(floppy instanceof IsaChannel)) throw new Error(floppy.reason);
const { buffer } = floppy;
console.log(`the floppy's buffer ends below 16 MiB: ${buffer.address + buffer.size <= 16 * MIB}`);
const track = bytesOf(18 * 512, 7);
console.log(
  `the controller moved ${floppy.receiveInto(program, target, track)} bytes and wrapped ${controller.wraps} times`,
);
console.log(`the program sees what the device wrote: ${programHas(track, target)}`);
floppy.close();

// ---- the disk: straight into the program's pages, which it reaches only below 16 MiB
const disk = new BusMaster(machine.memory, 24);
const data = bytesOf(40_000, 13);
const read = receiveInto(stack, disk, program, target + 100, data);
if (typeof read === "string") throw new Error(read);
console.log(`the disk moved ${read.bytes} bytes in ${read.segments} segments`);
console.log(`pages out of its reach went through stand-ins: ${read.bounced > 0}`);
console.log(`the program has what the disk sent: ${programHas(data, target + 100)}`);
const written = new Uint8Array(data.length);
sendFrom(stack, disk, program, target + 100, written);
console.log(`and the disk gets it back: ${same(written, data)}`);

const { problems } = audit(stack);
console.log(`the auditor finds ${problems.length} problems`);
program.destroy();
vmm.close();
stack.check();

function programHas(expected: Uint8Array, address: number): boolean {
  const found = new Uint8Array(expected.length);
  if (program !== null) new SpaceMemory(program).copyOut(address, found);
  return same(found, expected);
}

function same(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, index) => byte === b[index]);
}
