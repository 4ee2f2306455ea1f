/**
 * Physical memory byte by byte: RAM, ROM, devices through their registers, holes as all ones. Where a frame's bytes are kept is
 * the business of {@link MemoryFrames}.
 */
import { MachineError } from "../errors.ts";
import { isMemory } from "../map/region.ts";
import type { Region } from "../map/region.ts";
import { FRAME_BYTES, formatAddress, pfnOf, PHYSICAL_LIMIT } from "../units.ts";
import type { PhysAddr } from "../units.ts";
import { DEVICE, LAST_SPECIAL, MemoryFrames, MIXED, WATCHED } from "./memory-frames.ts";
import type { MemoryStats } from "./memory-ports.ts";

/** Physical memory: implements the `TableMemory` port of `@pagewright/x86-paging`. */
export class PhysicalMemory extends MemoryFrames {
  /** Returns `size` (1, 2 or 4) bytes at `address`, unsigned; `address` must be a multiple of `size`. Holes read as ones; throws `beyond-map` outside of 52 bits. */
  read(address: PhysAddr, size: number): number {
    const pfn = Math.floor(address / FRAME_BYTES);
    const code = this.code(pfn);
    if (code > LAST_SPECIAL) {
      const at = (Math.abs(code) - 1) * 4 + (address & 0xfff);
      if (size === 4) return this.host.words[at / 4]!;
      return size === 2 ? this.host.halves[at / 2]! : this.host.bytes[at]!;
    }
    return this.readSlowly(address, size, code);
  }

  private readSlowly(address: PhysAddr, size: number, code: number): number {
    if (code === DEVICE) {
      const region = this.map.find(address);
      if (region?.device !== undefined && region.device !== null) {
        this.counts.deviceReads++;
        return region.device.read(address - region.origin, size);
      }
    }
    if (code === WATCHED) {
      const stored = this.readStored(address, size);
      return this.watches.get(pfnOf(address))?.read(address, size, stored) ?? stored;
    }
    if (code === MIXED) return this.readMixed(address, size);
    this.requireInside(address, size);
    this.counts.holeReads++;
    return 2 ** (8 * size) - 1;
  }

  private readMixed(address: PhysAddr, size: number): number {
    let value = 0;
    for (let at = size - 1; at >= 0; at--) value = value * 256 + this.readByte(address + at);
    return value;
  }

  private readByte(address: PhysAddr): number {
    const region = this.map.find(address);
    if (region?.kind === "mmio" && region.device !== null) {
      this.counts.deviceReads++;
      return region.device.read(address - region.origin, 1);
    }
    const at = this.byteAt(region, address);
    if (at >= 0) return this.host.bytes[at]!;
    this.counts.holeReads++;
    return 0xff;
  }

  private byteAt(region: Region | undefined, address: PhysAddr): number {
    if (region === undefined || !isMemory(region.kind)) return -1;
    const backing = address - region.start + region.backing;
    return this.slotOf(Math.floor(backing / FRAME_BYTES), region.nonVolatile) * FRAME_BYTES + (backing & 0xfff);
  }

  /** Stores the low `size` (1, 2 or 4) bytes of `value`; `address` must be a multiple of `size`. Holes and ROM lose it; throws `beyond-map` outside of 52 bits. */
  write(address: PhysAddr, size: number, value: number): void {
    const pfn = Math.floor(address / FRAME_BYTES);
    const code = this.code(pfn);
    if (code > 0) {
      const at = (code - 1) * 4 + (address & 0xfff);
      if (size === 4) this.host.words[at / 4] = value;
      else if (size === 2) this.host.halves[at / 2] = value;
      else this.host.bytes[at] = value;
      return;
    }
    this.writeSlowly(address, size, value, code);
  }

  private writeSlowly(address: PhysAddr, size: number, value: number, code: number): void {
    if (code === DEVICE) {
      const region = this.map.find(address);
      if (region?.device !== undefined && region.device !== null) {
        this.counts.deviceWrites++;
        region.device.write(address - region.origin, size, value);
        return;
      }
    }
    if (code === WATCHED) {
      const watch = this.watches.get(pfnOf(address));
      this.writeStored(address, size, watch?.write(address, size, value >>> 0) ?? value);
    } else if (code > LAST_SPECIAL) this.counts.romWrites++;
    else if (code === MIXED) {
      for (let at = 0; at < size; at++) this.writeByte(address + at, Math.floor(value / 2 ** (8 * at)) & 0xff);
    } else {
      this.requireInside(address, size);
      this.counts.holeWrites++;
    }
  }

  private writeByte(address: PhysAddr, value: number): void {
    const region = this.map.find(address);
    if (region?.kind === "mmio" && region.device !== null) {
      this.counts.deviceWrites++;
      region.device.write(address - region.origin, 1, value);
    } else if (region?.kind === "rom") this.counts.romWrites++;
    else {
      const at = this.byteAt(region, address);
      if (at >= 0) this.host.bytes[at] = value;
      else this.counts.holeWrites++;
    }
  }

  /** Stores a whole line from a write-combining buffer: one burst for a device that takes bursts, else 32-bit writes. */
  writeBurst(line: PhysAddr, bytes: Uint8Array): void {
    const region = this.map.find(line);
    const device = region?.device;
    if (region !== undefined && device?.writeBurst !== undefined && region.end >= line + bytes.length) {
      this.counts.deviceWrites++;
      device.writeBurst(line - region.origin, bytes);
      return;
    }
    for (let at = 0; at < bytes.length; at += 4)
      this.write(
        line + at,
        4,
        bytes[at]! + bytes[at + 1]! * 2 ** 8 + bytes[at + 2]! * 2 ** 16 + bytes[at + 3]! * 2 ** 24,
      );
  }

  /** Fills `into` with the bytes from `address` on, frame by frame; any length, any alignment. */
  readBytes(address: PhysAddr, into: Uint8Array): void {
    this.requireInside(address, into.length);
    for (let done = 0; done < into.length;) {
      const at = address + done;
      const count = Math.min(into.length - done, FRAME_BYTES - (at & 0xfff));
      const base = this.readableBase(Math.floor(at / FRAME_BYTES));
      if (base >= 0) {
        const from = base * 4 + (at & 0xfff);
        into.set(this.host.bytes.subarray(from, from + count), done);
      } else for (let i = 0; i < count; i++) into[done + i] = this.read(at + i, 1);
      done += count;
    }
  }

  /** Stores `from` at `address`, frame by frame; any length, any alignment. */
  writeBytes(address: PhysAddr, from: Uint8Array): void {
    this.requireInside(address, from.length);
    for (let done = 0; done < from.length;) {
      const at = address + done;
      const count = Math.min(from.length - done, FRAME_BYTES - (at & 0xfff));
      const base = this.writableBase(Math.floor(at / FRAME_BYTES));
      if (base >= 0) this.host.bytes.set(from.subarray(done, done + count), base * 4 + (at & 0xfff));
      else for (let i = 0; i < count; i++) this.write(at + i, 1, from[done + i]!);
      done += count;
    }
  }

  /** Programs read-only memory, as a flasher does; like {@link PhysicalMemory.writeBytes} but ROM takes the bytes. */
  program(address: PhysAddr, from: Uint8Array): void {
    this.requireInside(address, from.length);
    from.forEach((value, i) => {
      const at = this.byteAt(this.map.find(address + i), address + i);
      if (at >= 0) this.host.bytes[at] = value;
    });
  }

  private requireInside(address: PhysAddr, length: number): void {
    if (Number.isSafeInteger(address) && address >= 0 && address + length <= PHYSICAL_LIMIT) return;
    const where = Number.isInteger(address) && address >= 0 ? formatAddress(address) : String(address);
    throw new MachineError("beyond-map", `${length} bytes at ${where} do not fit the 52-bit physical address space`, {
      address,
      length,
      limit: PHYSICAL_LIMIT,
    });
  }

  /** Returns the figures. */
  stats(): MemoryStats {
    return {
      touchedFrames: this.host.inUse,
      committedFrames: this.host.committed,
      ...this.counts,
    };
  }
}
