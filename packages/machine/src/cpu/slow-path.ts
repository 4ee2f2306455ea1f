/**
 * Accesses that cannot take the short way: TLB misses, page crossings, odd alignment, devices, ROM, watched memory, and
 * everything while a meter is attached. Each redoes the work exactly.
 *
 * An access that crosses a page translates both pages before it touches either, so that a fault leaves nothing half done; after
 * a fault that was resolved it begins again.
 */
import { ACCESS_WRITE } from "@pagewright/x86-paging";
import { LINE_BYTES, WriteCombiner } from "../devices/write-combining.ts";
import { combineTypes } from "../mtrr/memory-type.ts";
import type { MemoryType } from "../mtrr/memory-type.ts";
import { FRAME_BYTES, vpnOf } from "../units.ts";
import type { Pfn, PhysAddr, VirtAddr, Vpn } from "../units.ts";
import type { Cpu } from "./cpu.ts";
import { FLAG_PAT_SHIFT } from "./tlb-array.ts";

/** Bytes of a page. Hot: a constant of this module is part of the code, an imported one is loaded and checked at every use. */
const PAGE = FRAME_BYTES;
const WRITE = ACCESS_WRITE;

/** Bytes that a bulk operation on a device moves at once from `offset` on, of `left`: a word where it is aligned, else a byte. */
export function transferSize(offset: number, left: number): number {
  return (offset & 3) === 0 && left >= 4 ? 4 : 1;
}

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
        if (cpu.meter !== null) cpu.meter.access(line);
        memory.writeBurst(line, bytes);
      },
      single: (address, size, value) => {
        if (cpu.meter !== null) cpu.meter.access(address);
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
    if (size <= PAGE - offset) return this.read(first, offset, size);
    const pfn = this.cpu.translateNext(first, vpn, offset, access);
    if (pfn < 0) return -1;
    if (this.gathering) this.fence();
    return this.readAcross(pfn, this.cpu.second, offset, size);
  }

  /** Reads `size` (up to 4) bytes from byte `offset` of `first` on, of which those beyond its end are in `second`. */
  private readAcross(first: Pfn, second: Pfn, offset: number, size: number): number {
    const inside = Math.min(Math.max(PAGE - offset, 0), size);
    const low = inside === 0 ? 0 : this.read(first, offset, inside);
    return inside === size ? low : low + this.read(second, offset + inside - PAGE, size - inside) * 2 ** (8 * inside);
  }

  /** Reads `size` (1 to 4) bytes within a page, after what was gathered where a device is there. */
  private read(pfn: Pfn, offset: number, size: number): number {
    const { memory, place } = this.cpu;
    this.charge(pfn, offset, size);
    if (place === 0 && this.gathering) this.fence();
    if (size === 3 || (offset & (size - 1)) !== 0) return this.bytes(pfn, offset, size);
    return memory.read(pfn * PAGE + offset, size);
  }

  /** Tells the meter of an access within a page: of its line, and of the next one where it goes on there. */
  private charge(pfn: Pfn, offset: number, size: number): void {
    const { meter } = this.cpu;
    if (meter === null) return;
    meter.access(pfn * PAGE + offset);
    if ((offset & (LINE_BYTES - 1)) + size > LINE_BYTES) meter.access(pfn * PAGE + offset + size - 1);
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

  /** Loads 64 bits for `access`: the low word (`cpu.high` has the other), or −1: faulted, and `cpu.high` is as it was. */
  load64(va: VirtAddr, access: number): number {
    const { cpu } = this;
    const vpn = vpnOf(va);
    const offset = va - vpn * PAGE;
    let first = cpu.translate(vpn, offset, access);
    if (first >= 0 && offset > PAGE - 8) {
      first = cpu.translateNext(first, vpn, offset, access);
      if (this.gathering) this.fence();
    }
    if (first < 0) return -1;
    const { second } = cpu;
    const low = this.readAcross(first, second, offset, 4);
    cpu.high = this.readAcross(first, second, offset + 4, 4);
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
    const gathered = this.gathers(first);
    if (size <= PAGE - offset) {
      this.write(first, offset, size, value >>> 0, gathered);
      return true;
    }
    const pfn = this.cpu.translateNext(first, vpn, offset, WRITE);
    if (pfn < 0) return false;
    this.writeAcross(pfn, offset, size, value >>> 0, gathered && pfn === first);
    return true;
  }

  /**
   * Stores `size` (up to 4) bytes from byte `offset` of `first` on; those beyond its end go to the CPU's `second`, which was translated
   * last. `gathered`: whether stores to `first` gather.
   */
  private writeAcross(first: Pfn, offset: number, size: number, value: number, gathered: boolean): void {
    const inside = Math.min(Math.max(PAGE - offset, 0), size);
    if (inside > 0) this.write(first, offset, inside, value, gathered);
    if (inside === size) return;
    const { second } = this.cpu;
    const rest = Math.floor(value / 2 ** (8 * inside));
    this.write(second, offset + inside - PAGE, size - inside, rest, this.gathers(second));
  }

  /** Whether stores to `pfn`, which was translated last, gather in line buffers: a device is there, and the type is WC. */
  gathers(pfn: Pfn): boolean {
    const { place, mmu } = this.cpu;
    return place === 0 && this.typeOf(pfn * PAGE, (mmu.tlb.flags >>> FLAG_PAT_SHIFT) & 7) === "WC";
  }

  /** Stores the low `size` (1 to 4) bytes of `value` within a page: gathered, or after what was gathered where a device is there. */
  private write(pfn: Pfn, offset: number, size: number, value: number, gathered: boolean): void {
    const isOdd = size === 3 || (offset & (size - 1)) !== 0;
    if (!gathered) {
      this.charge(pfn, offset, size);
      if (this.gathering && this.cpu.place === 0) this.fence();
    }
    if (!isOdd) this.put(pfn * PAGE + offset, size, value, gathered);
    else
      for (let at = 0; at < size; at++)
        this.put(pfn * PAGE + offset + at, 1, Math.floor(value / 2 ** (8 * at)) & 0xff, gathered);
  }

  /** One store to `address`, a multiple of `size`. */
  private put(address: PhysAddr, size: number, value: number, gathered: boolean): void {
    if (gathered) {
      this.gathering = true;
      this.combiner.store(address, size, value);
    } else this.cpu.memory.write(address, size, value);
  }

  /**
   * Stores `from` at byte `offset` of page `pfn`, which was translated last, in aligned words and single bytes before and after:
   * through the line buffers where stores gather. The meter is told by whoever calls, or by what leaves the buffers.
   */
  storeBytes(pfn: Pfn, offset: number, from: Uint8Array): void {
    const gathered = this.gathers(pfn);
    if (!gathered && this.gathering) this.fence();
    for (let at = 0; at < from.length;) {
      const size = transferSize(offset + at, from.length - at);
      const value =
        size === 1 ? from[at]! : from[at]! + from[at + 1]! * 2 ** 8 + from[at + 2]! * 2 ** 16 + from[at + 3]! * 2 ** 24;
      this.put(pfn * PAGE + offset + at, size, value, gathered);
      at += size;
    }
  }

  /** Loads `into.length` bytes from byte `offset` of page `pfn` on, in pieces as {@link storeBytes}, after what was gathered. */
  loadBytes(pfn: Pfn, offset: number, into: Uint8Array): void {
    if (this.gathering) this.fence();
    for (let at = 0; at < into.length;) {
      const size = transferSize(offset + at, into.length - at);
      const value = this.cpu.memory.read(pfn * PAGE + offset + at, size);
      for (let byte = 0; byte < size; byte++) into[at + byte] = Math.floor(value / 2 ** (8 * byte)) & 0xff;
      at += size;
    }
  }

  /** The effective type of an address under PAT index `index` of this CPU: PAT × MTRR; UC where overlaps are undefined. */
  typeOf(address: PhysAddr, index: number): MemoryType {
    const { pat, mtrrs } = this.cpu;
    return combineTypes(pat.type(index), mtrrs.typeAt(address) ?? "UC");
  }

  /** Stores 64 bits given as words; false: faulted, nothing stored. */
  store64(va: VirtAddr, low: number, high: number): boolean {
    const { cpu } = this;
    const vpn = vpnOf(va);
    const offset = va - vpn * PAGE;
    const first = cpu.translate(vpn, offset, WRITE);
    if (first < 0) return false;
    const gathered = this.gathers(first);
    const pfn = offset > PAGE - 8 ? cpu.translateNext(first, vpn, offset, WRITE) : first;
    if (pfn < 0) return false;
    this.writeAcross(pfn, offset, 4, low >>> 0, gathered && pfn === first);
    this.writeAcross(pfn, offset + 4, 4, high >>> 0, gathered && pfn === first);
    return true;
  }
}
