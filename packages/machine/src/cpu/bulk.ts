/**
 * Bulk operations through translation: each page is translated once, then its bytes move at memory speed. When a page
 * faults and nobody resolves it, the operation stops before that page: it returns false, and `cpu.progress` says how many
 * bytes were done.
 */
import { ACCESS_READ, ACCESS_WRITE } from "@pagewright/x86-paging";
import { FRAME_BYTES, vpnOf } from "../units.ts";
import type { Pfn, VirtAddr } from "../units.ts";
import type { Cpu } from "./cpu.ts";
import { firstDifference } from "./difference.ts";

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

  /** Translates for the `limit` bytes from `va` on, as far as they are in its page; a meter is told of those. */
  private frame(va: VirtAddr, access: number, limit: number): Pfn {
    const cpu = this.cpu;
    const offset = va & 0xfff;
    const pfn = cpu.translate(vpnOf(va), offset, access);
    const { meter } = cpu;
    if (pfn >= 0 && meter !== null && !(access === ACCESS_WRITE && cpu.slow.gathers(pfn)))
      meter.transfer(pfn * FRAME_BYTES + offset, Math.min(limit, FRAME_BYTES - offset));
    return pfn;
  }

  /** The host byte of `va`, translated if need be; −1: faulted (`pfn` is negative too), or `pfn` is no plain memory. `limit` as for {@link frame}. */
  private hostOf(va: VirtAddr, access: number, limit: number): number {
    this.pfn = this.frame(va, access, limit);
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
    let known = -1;
    for (let done = 0; done < from.length;) {
      const at = va + done;
      const first = known >= 0 ? known : this.hostOf(at, ACCESS_WRITE, from.length - done);
      if (first < 0) {
        if (this.pfn < 0) return this.stopped(done);
        const part = from.subarray(done, done + FRAME_BYTES - (at & 0xfff));
        cpu.slow.storeBytes(this.pfn, at & 0xfff, part);
        done += part.length;
        continue;
      }
      const count = this.run(at, first, from.length - done, ACCESS_WRITE);
      cpu.bytes.set(count === from.length ? from : from.subarray(done, done + count), first);
      done += count;
      known = this.next;
    }
    cpu.progress = from.length;
    return true;
  }

  /** Copies memory at `va` out into `into`. Returns whether all of it was. */
  copyOut(va: VirtAddr, into: Uint8Array): boolean {
    const cpu = this.cpu;
    let known = -1;
    for (let done = 0; done < into.length;) {
      const at = va + done;
      const first = known >= 0 ? known : this.hostOf(at, ACCESS_READ, into.length - done);
      if (first < 0) {
        if (this.pfn < 0) return this.stopped(done);
        const part = into.subarray(done, done + FRAME_BYTES - (at & 0xfff));
        cpu.slow.loadBytes(this.pfn, at & 0xfff, part);
        done += part.length;
        continue;
      }
      const count = this.run(at, first, into.length - done, ACCESS_READ);
      into.set(cpu.bytes.subarray(first, first + count), done);
      done += count;
      known = this.next;
    }
    cpu.progress = into.length;
    return true;
  }

  /** Fills `count` bytes at `va` with `byte`. Returns whether all of them were. */
  fill(va: VirtAddr, count: number, byte: number): boolean {
    const cpu = this.cpu;
    let known = -1;
    for (let done = 0; done < count;) {
      const at = va + done;
      const first = known >= 0 ? known : this.hostOf(at, ACCESS_WRITE, count - done);
      if (first < 0) {
        if (this.pfn < 0) return this.stopped(done);
        const part = new Uint8Array(Math.min(count - done, FRAME_BYTES - (at & 0xfff))).fill(byte);
        cpu.slow.storeBytes(this.pfn, at & 0xfff, part);
        done += part.length;
        continue;
      }
      const length = this.run(at, first, count - done, ACCESS_WRITE);
      cpu.bytes.fill(byte, first, first + length);
      done += length;
      known = this.next;
    }
    cpu.progress = count;
    return true;
  }

  /** Notes that an operation ended in a fault after `done` bytes, whatever the fault handler moved meanwhile. */
  private stopped(done: number): false {
    this.cpu.progress = done;
    return false;
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
    let known = -1;
    for (let done = 0; done < bytes.length;) {
      const at = va + done;
      const first = known >= 0 ? known : this.hostOf(at, ACCESS_READ, bytes.length - done);
      cpu.progress = done;
      if (first < 0 && this.pfn < 0) return -2;
      const count =
        first >= 0
          ? this.run(at, first, bytes.length - done, ACCESS_READ)
          : Math.min(bytes.length - done, FRAME_BYTES - (at & 0xfff));
      const difference =
        first >= 0
          ? firstDifference(cpu.bytes, first, bytes, done, count)
          : firstDifference(this.loaded(at, count), 0, bytes, done, count);
      if (difference >= 0) return done + difference;
      done += count;
      known = first >= 0 ? this.next : -1;
    }
    cpu.progress = bytes.length;
    return -1;
  }

  /** The `count` bytes at `va`, whose frame is `pfn`, where no plain memory is. */
  private loaded(va: VirtAddr, count: number): Uint8Array {
    const bytes = new Uint8Array(count);
    this.cpu.slow.loadBytes(this.pfn, va & 0xfff, bytes);
    return bytes;
  }
}
