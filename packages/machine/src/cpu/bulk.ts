/**
 * Bulk operations through translation: each page is translated once, then its bytes move at memory speed. When a page
 * faults and nobody resolves it, the operation stops before that page: it returns false, and `cpu.progress` says how many
 * bytes were done.
 */
import { ACCESS_READ, ACCESS_WRITE } from "@pagewright/x86-paging";
import { FRAME_BYTES, vpnOf } from "../units.ts";
import type { Pfn, VirtAddr } from "../units.ts";
import type { Cpu } from "./cpu.ts";

/** Bytes of a cache line; a meter is told of each line from the first touched to the end of the page. */
const LINE = 64;

/** Bulk operations of one CPU. */
export class Bulk {
  declare private readonly cpu: Cpu;
  /** The frame that {@link hostOf} found last, −1: it faulted. */
  private pfn: Pfn = -1;
  /** Where the page after the last {@link run} is, −1: not known. */
  private next = -1;

  /** Creates the operations of `cpu`. */
  constructor(cpu: Cpu) {
    this.cpu = cpu;
  }

  private frame(va: VirtAddr, access: number): Pfn {
    const cpu = this.cpu;
    if (cpu.slow.gathering) cpu.fence();
    const pfn = cpu.translate(vpnOf(va), va & 0xfff, access);
    const { meter } = cpu;
    if (pfn >= 0 && meter !== null)
      for (let at = va & 0xfc0; at < FRAME_BYTES; at += LINE) meter.access(pfn * FRAME_BYTES + at);
    return pfn;
  }

  /** The host byte of `va`, translated if need be; −1: faulted (`pfn` is negative too), or `pfn` is no plain memory. */
  private hostOf(va: VirtAddr, access: number): number {
    this.pfn = this.frame(va, access);
    if (this.pfn < 0) return -1;
    const { memory } = this.cpu;
    const base = access === ACCESS_WRITE ? memory.writableBase(this.pfn) : memory.readableBase(this.pfn);
    return base < 0 ? -1 : base * 4 + (va & 0xfff);
  }

  /**
   * How many bytes from `va` on, at most `limit`, lie in host memory one after another from host byte `first` on. Only pages that
   * are sure not to fault are taken in, so that no handler runs in between. Where another such page ends the run, `next` is its host byte.
   */
  private run(va: VirtAddr, first: number, limit: number, access: number): number {
    this.next = -1;
    let length = Math.min(limit, FRAME_BYTES - (va & 0xfff));
    while (length < limit) {
      const host = this.cpu.reach(va + length, access);
      if (host !== first + length) {
        this.next = host;
        break;
      }
      length = Math.min(limit, length + FRAME_BYTES);
    }
    return length;
  }

  /** Copies `from` into memory at `va`. Returns whether all of it was. */
  copyIn(va: VirtAddr, from: Uint8Array): boolean {
    const cpu = this.cpu;
    cpu.progress = 0;
    let known = -1;
    while (cpu.progress < from.length) {
      const done = cpu.progress;
      const at = va + done;
      const first = known >= 0 ? known : this.hostOf(at, ACCESS_WRITE);
      if (first < 0) {
        if (this.pfn < 0) return false;
        const part = from.subarray(done, done + FRAME_BYTES - (at & 0xfff));
        cpu.memory.writeBytes(this.pfn * FRAME_BYTES + (at & 0xfff), part);
        cpu.progress = done + part.length;
        continue;
      }
      const count = this.run(at, first, from.length - done, ACCESS_WRITE);
      cpu.bytes.set(count === from.length ? from : from.subarray(done, done + count), first);
      cpu.progress = done + count;
      known = this.next;
    }
    return true;
  }

  /** Copies memory at `va` out into `into`. Returns whether all of it was. */
  copyOut(va: VirtAddr, into: Uint8Array): boolean {
    const cpu = this.cpu;
    cpu.progress = 0;
    let known = -1;
    while (cpu.progress < into.length) {
      const done = cpu.progress;
      const at = va + done;
      const first = known >= 0 ? known : this.hostOf(at, ACCESS_READ);
      if (first < 0) {
        if (this.pfn < 0) return false;
        const part = into.subarray(done, done + FRAME_BYTES - (at & 0xfff));
        cpu.memory.readBytes(this.pfn * FRAME_BYTES + (at & 0xfff), part);
        cpu.progress = done + part.length;
        continue;
      }
      const count = this.run(at, first, into.length - done, ACCESS_READ);
      into.set(cpu.bytes.subarray(first, first + count), done);
      cpu.progress = done + count;
      known = this.next;
    }
    return true;
  }

  /** Fills `count` bytes at `va` with `byte`. Returns whether all of them were. */
  fill(va: VirtAddr, count: number, byte: number): boolean {
    const cpu = this.cpu;
    cpu.progress = 0;
    while (cpu.progress < count) {
      const at = va + cpu.progress;
      const part = Math.min(count - cpu.progress, FRAME_BYTES - (at & 0xfff));
      const first = this.hostOf(at, ACCESS_WRITE);
      if (first >= 0) cpu.bytes.fill(byte, first, first + part);
      else if (this.pfn < 0) return false;
      else for (let i = 0; i < part; i++) cpu.memory.write(this.pfn * FRAME_BYTES + (at & 0xfff) + i, 1, byte);
      cpu.progress += part;
    }
    return true;
  }

  /** Copies `count` bytes from `from` to `to` within virtual memory; ranges that overlap move as if through a buffer a page long. */
  move(from: VirtAddr, to: VirtAddr, count: number): boolean {
    const cpu = this.cpu;
    const buffer = new Uint8Array(Math.min(count, FRAME_BYTES));
    const backwards = to > from && to < from + count;
    for (let done = 0; done < count;) {
      const part = Math.min(count - done, FRAME_BYTES);
      const offset = backwards ? count - done - part : done;
      const bytes = buffer.subarray(0, part);
      if (!this.copyOut(from + offset, bytes) || !this.copyIn(to + offset, bytes)) {
        cpu.progress = done;
        return false;
      }
      done += part;
      cpu.progress = done;
    }
    return true;
  }

  /** Compares memory at `va` with `bytes`: −1 when equal, the first differing place otherwise, −2 when it faulted. */
  compare(va: VirtAddr, bytes: Uint8Array): number {
    const cpu = this.cpu;
    cpu.progress = 0;
    while (cpu.progress < bytes.length) {
      const done = cpu.progress;
      const at = va + done;
      const count = Math.min(bytes.length - done, FRAME_BYTES - (at & 0xfff));
      const first = this.hostOf(at, ACCESS_READ);
      const { pfn } = this;
      if (pfn < 0) return -2;
      for (let i = 0; i < count; i++) {
        const byte = first >= 0 ? cpu.bytes[first + i]! : cpu.memory.read(pfn * FRAME_BYTES + (at & 0xfff) + i, 1);
        if (byte !== bytes[done + i]!) return done + i;
      }
      cpu.progress = done + count;
    }
    return -1;
  }
}
