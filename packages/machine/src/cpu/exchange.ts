/**
 * Compare-exchange where the short way is not open: on TLB misses, watched memory, ROM, devices, and while a meter is attached.
 * One translation for writing, then both halves of the exchange on the frame that it gave, so that nothing comes in between.
 */
import { ACCESS_WRITE } from "@pagewright/x86-paging";
import { MachineError } from "../errors.ts";
import { FRAME_BYTES, formatAddress, vpnOf } from "../units.ts";
import type { PhysAddr, VirtAddr } from "../units.ts";
import type { Cpu } from "./cpu.ts";

/** Throws `unaligned` where `va` is no multiple of `size`, a power of two. `does` is what the CPU does with those bytes. */
export function requireAligned(cpu: Cpu, does: "exchanges" | "views", va: VirtAddr, size: number): void {
  if ((va & (size - 1)) === 0) return;
  throw new MachineError(
    "unaligned",
    `CPU ${cpu.id} ${does} ${size} bytes at ${formatAddress(va)}, which is no multiple of ${size}`,
    { cpu: cpu.id, address: va, size },
  );
}

/** The physical address of `size` bytes at `va` for an exchange, −1: faulted. Throws `unaligned` where `va` is no multiple of `size`. */
function locked(cpu: Cpu, va: VirtAddr, size: number): PhysAddr {
  const offset = va & (FRAME_BYTES - 1);
  requireAligned(cpu, "exchanges", va, size);
  const pfn = cpu.translate(vpnOf(va), offset, ACCESS_WRITE);
  if (pfn < 0) return -1;
  const address = pfn * FRAME_BYTES + offset;
  // A locked access drains the line buffers. Source: SDM 3A, Buffering of Write Combining Memory Locations.
  if (cpu.slow.gathering) cpu.fence();
  if (cpu.meter !== null) cpu.meter.access(address);
  return address;
}

/** Does what {@link Cpu.compareExchange32} says, by way of a translation. */
export function exchange32(cpu: Cpu, va: VirtAddr, expected: number, desired: number): number {
  const address = locked(cpu, va, 4);
  if (address < 0) return -1;
  // Threads that share the host memory exchange there too.
  if (cpu.place > 0)
    return Atomics.compareExchange(cpu.words, cpu.place - 1 + ((va & (FRAME_BYTES - 1)) >>> 2), expected, desired);
  const { memory } = cpu;
  const old = memory.read(address, 4);
  if (old === expected >>> 0) memory.write(address, 4, desired >>> 0);
  return old;
}

/** Does what {@link Cpu.compareExchange64} says, by way of a translation. */
export function exchange64(
  cpu: Cpu,
  va: VirtAddr,
  expectedLow: number,
  expectedHigh: number,
  low: number,
  high: number,
): number {
  const address = locked(cpu, va, 8);
  if (address < 0) return -1;
  const { memory } = cpu;
  cpu.low = memory.read(address, 4);
  cpu.high = memory.read(address + 4, 4);
  if (cpu.low !== expectedLow >>> 0 || cpu.high !== expectedHigh >>> 0) return 0;
  memory.write(address, 4, low >>> 0);
  memory.write(address + 4, 4, high >>> 0);
  return 1;
}
