/**
 * Accesses that cannot take the short way: TLB misses, page crossings, odd alignment, devices, ROM, watched memory, and
 * everything while a meter is attached. Each redoes the work exactly.
 *
 * An access that crosses a page translates both pages before it touches either, so that a fault leaves nothing half done.
 */
import { ACCESS_READ, ACCESS_WRITE } from "@pagewright/x86-paging";
import { WriteCombiner } from "../devices/write-combining.ts";
import { combineTypes } from "../mtrr/memory-type.ts";
import type { MemoryType } from "../mtrr/memory-type.ts";
import { FRAME_BYTES, vpnOf } from "../units.ts";
import type { Pfn, PhysAddr, VirtAddr, Vpn } from "../units.ts";
import type { Cpu } from "./cpu.ts";
import { FLAG_PAT_SHIFT } from "./tlb-array.ts";

/** Bytes of a page. Hot: a constant of this module is part of the code, an imported one is loaded and checked at every use. */
const PAGE = FRAME_BYTES;
const WRITE = ACCESS_WRITE;

/** The slow path of one CPU. */
export class SlowPath {
  /** Line buffers for stores to write-combining device memory. */
  declare readonly combiner: WriteCombiner;
  /** Whether line buffers may hold something. */
  gathering = false;
  declare private readonly cpu: Cpu;

  /** Creates the slow path of `cpu`. */
  constructor(cpu: Cpu) {
    this.cpu = cpu;
    const { memory } = cpu;
    this.combiner = new WriteCombiner({
      burst: (line, bytes) => {
        memory.writeBurst(line, bytes);
      },
      single: (address, size, value) => {
        memory.write(address, size, value);
      },
    });
  }

  /** Loads `size` (1, 2 or 4) bytes at `va` for `access`; −1: faulted. */
  load(va: VirtAddr, size: number, access: number): number {
    return this.loadAt(vpnOf(va), va & 0xfff, size, access);
  }

  /** Loads `size` (1, 2 or 4) bytes at byte `offset` of page `vpn`; −1: faulted. */
  loadAt(vpn: Vpn, offset: number, size: number, access: number): number {
    const { cpu } = this;
    const pfn = cpu.translate(vpn, offset, access);
    if (pfn < 0) return -1;
    if (cpu.place <= 0 || cpu.meter !== null || size !== 4 || (offset & 3) !== 0)
      return this.loadOddly(pfn, vpn, offset, size, access);
    return cpu.words[cpu.place - 1 + (offset >>> 2)]!;
  }

  /** {@link loadAt} once the first byte is known to be in `first`. */
  private loadOddly(first: Pfn, vpn: Vpn, offset: number, size: number, access: number): number {
    const inside = PAGE - offset;
    if (size <= inside) return this.read(first, offset, size);
    const second = this.cpu.translate(vpn + 1, 0, access);
    if (second < 0) return -1;
    return this.bytes(first, offset, inside) + this.bytes(second, 0, size - inside) * 2 ** (8 * inside);
  }

  private read(pfn: Pfn, offset: number, size: number): number {
    const { memory, meter, place } = this.cpu;
    if (meter !== null) meter.access(pfn * PAGE + offset);
    if (place === 0 && this.gathering) this.fence();
    if ((offset & (size - 1)) !== 0) return this.bytes(pfn, offset, size);
    return memory.read(pfn * PAGE + offset, size);
  }

  /** SFENCE: what the line buffers hold goes out. */
  fence(): void {
    this.gathering = false;
    this.combiner.flush();
  }

  private bytes(pfn: Pfn, offset: number, count: number): number {
    const { memory } = this.cpu;
    let value = 0;
    for (let at = count - 1; at >= 0; at--) value = value * 256 + memory.read(pfn * PAGE + offset + at, 1);
    return value;
  }

  /** Loads 64 bits: the low word (`cpu.high` has the other), or −1: faulted. */
  load64(va: VirtAddr): number {
    const cpu = this.cpu;
    const vpn = vpnOf(va);
    const offset = va - vpn * PAGE;
    if (cpu.translate(vpn, offset, ACCESS_READ) < 0) return -1;
    if (offset > PAGE - 8 && cpu.translate(vpn + 1, 0, ACCESS_READ) < 0) return -1;
    const low = this.load(va, 4, ACCESS_READ);
    const high = this.load(va + 4, 4, ACCESS_READ);
    if (low < 0 || high < 0) return -1;
    cpu.high = high;
    return low;
  }

  /** Stores the low `size` (1, 2 or 4) bytes of `value` at `va`; false: faulted, nothing stored. */
  store(va: VirtAddr, size: number, value: number): boolean {
    return this.storeAt(vpnOf(va), va & 0xfff, size, value);
  }

  /** Stores the low `size` (1, 2 or 4) bytes of `value` at byte `offset` of page `vpn`; false: faulted, nothing stored. */
  storeAt(vpn: Vpn, offset: number, size: number, value: number): boolean {
    const { cpu } = this;
    const pfn = cpu.translate(vpn, offset, WRITE);
    if (pfn < 0) return false;
    if (cpu.place <= 0 || cpu.meter !== null || size !== 4 || (offset & 3) !== 0)
      return this.storeOddly(pfn, vpn, offset, size, value);
    cpu.words[cpu.place - 1 + (offset >>> 2)] = value;
    return true;
  }

  /** {@link storeAt} once the first byte is known to be in `first`. */
  private storeOddly(first: Pfn, vpn: Vpn, offset: number, size: number, value: number): boolean {
    const inside = PAGE - offset;
    if (size <= inside) {
      this.write(first, offset, size, value);
      return true;
    }
    const second = this.cpu.translate(vpn + 1, 0, WRITE);
    if (second < 0) return false;
    this.writeBytes(first, offset, inside, value >>> 0);
    this.writeBytes(second, 0, size - inside, Math.floor((value >>> 0) / 2 ** (8 * inside)));
    return true;
  }

  private write(pfn: Pfn, offset: number, size: number, value: number): void {
    const { memory, meter, place } = this.cpu;
    const address = pfn * PAGE + offset;
    if (meter !== null) meter.access(address);
    if ((offset & (size - 1)) !== 0) {
      this.writeBytes(pfn, offset, size, value >>> 0);
      return;
    }
    if (place === 0) this.writeDevice(address, size, value);
    else memory.write(address, size, value);
  }

  /** A store to a device: gathered where the type is WC; otherwise what was gathered goes first. */
  private writeDevice(address: PhysAddr, size: number, value: number): void {
    if (this.typeOf(address, (this.cpu.mmu.tlb.flags >>> FLAG_PAT_SHIFT) & 7) === "WC") {
      this.gathering = true;
      this.combiner.store(address, size, value >>> 0);
      return;
    }
    if (this.gathering) this.fence();
    this.cpu.memory.write(address, size, value >>> 0);
  }

  /** The effective type of an address under PAT index `index` of this CPU: PAT × MTRR; UC where overlaps are undefined. */
  typeOf(address: PhysAddr, index: number): MemoryType {
    const { pat, mtrrs } = this.cpu;
    return combineTypes(pat.type(index), mtrrs.typeAt(address) ?? "UC");
  }

  private writeBytes(pfn: Pfn, offset: number, count: number, value: number): void {
    for (let at = 0; at < count; at++)
      this.cpu.memory.write(pfn * PAGE + offset + at, 1, Math.floor(value / 2 ** (8 * at)) & 0xff);
  }

  /** Stores 64 bits given as words; false: faulted, nothing stored. */
  store64(va: VirtAddr, low: number, high: number): boolean {
    const cpu = this.cpu;
    const vpn = vpnOf(va);
    const offset = va - vpn * PAGE;
    if (cpu.translate(vpn, offset, WRITE) < 0) return false;
    if (offset > PAGE - 8 && cpu.translate(vpn + 1, 0, WRITE) < 0) return false;
    return this.store(va, 4, low) && this.store(va + 4, 4, high);
  }
}
