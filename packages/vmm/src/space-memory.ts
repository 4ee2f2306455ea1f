/**
 * The bytes of a space without a processor: query, fault, window. Numbers are little-endian and unsigned.
 *
 * A page cache or a file larger than memory needs no more than this, a manager and a frame source.
 */
import type { Core } from "./core.ts";
import { isResolved, type FaultOutcome } from "./outcome.ts";
import { PAGE_REFERENCED } from "./pages/pages.ts";
import { READ, USER, WRITE } from "./rights.ts";
import type { AddressSpace } from "./space/space.ts";
import { PAGE_SIZE, type Pfn, type VirtAddr } from "./units.ts";

/** Hears of what a {@link SpaceMemory} does. Either call may throw to end the transfer. */
export interface MemoryWatch {
  /** A resident page is about to be used. */
  touched(page: number): void;
  /** An access failed. */
  failed(address: VirtAddr, outcome: FaultOutcome): void;
}

/** Loads and stores in a space. A transfer that cannot be completed says so; {@link fault} says why. */
export class SpaceMemory {
  /** The space. */
  readonly space: AddressSpace;
  /** Why the last transfer failed. */
  fault: FaultOutcome = "spurious";
  readonly #core: Core;
  readonly #watch: MemoryWatch | null;
  readonly #user: number;
  readonly #small: Uint8Array = new Uint8Array(8);
  readonly #views: readonly Uint8Array[] = [1, 2, 3, 4, 5, 6, 7, 8].map((bytes) => this.#small.subarray(0, bytes));

  /** The memory of a space, as its own programs see it. */
  constructor(space: AddressSpace, watch: MemoryWatch | null = null) {
    this.space = space;
    this.#watch = watch;
    this.#core = space.vmm.core;
    this.#user = space.attributes === 0 ? USER : 0;
  }

  /** The byte at an address, −1 if it cannot be had. */
  load8(address: VirtAddr): number {
    return this.#load(address, 1) ? this.#small[0]! : -1;
  }

  /** 16 bits at an address, −1 if they cannot be had. */
  load16(address: VirtAddr): number {
    return this.#load(address, 2) ? this.#small[0]! + this.#small[1]! * 256 : -1;
  }

  /** 32 bits at an address, −1 if they cannot be had. */
  load32(address: VirtAddr): number {
    if (!this.#load(address, 4)) return -1;
    const bytes = this.#small;
    return bytes[0]! + bytes[1]! * 256 + bytes[2]! * 65536 + bytes[3]! * 16777216;
  }

  /** Stores a byte; false if it cannot be. */
  store8(address: VirtAddr, value: number): boolean {
    return this.#store(address, value, 1);
  }

  /** Stores 16 bits; false if they cannot be. */
  store16(address: VirtAddr, value: number): boolean {
    return this.#store(address, value, 2);
  }

  /** Stores 32 bits; false if they cannot be. */
  store32(address: VirtAddr, value: number): boolean {
    return this.#store(address, value, 4);
  }

  /** Copies bytes into the space; returns how many before the first page that cannot be stored to. */
  copyIn(address: VirtAddr, from: Uint8Array): number {
    for (let done = 0; done < from.length;) {
      const at = address + done;
      const offset = at & (PAGE_SIZE - 1);
      const bytes = Math.min(from.length - done, PAGE_SIZE - offset);
      const pfn = this.#frameFor(at, WRITE);
      if (pfn < 0) return done;
      this.#core.window.write(pfn, offset, bytes === from.length ? from : from.subarray(done, done + bytes));
      done += bytes;
    }
    return from.length;
  }

  /** Copies bytes out of the space; returns how many before the first page that cannot be loaded from. */
  copyOut(address: VirtAddr, into: Uint8Array): number {
    for (let done = 0; done < into.length;) {
      const at = address + done;
      const offset = at & (PAGE_SIZE - 1);
      const bytes = Math.min(into.length - done, PAGE_SIZE - offset);
      const pfn = this.#frameFor(at, READ);
      if (pfn < 0) return done;
      this.#core.window.read(pfn, offset, bytes === into.length ? into : into.subarray(done, done + bytes));
      done += bytes;
    }
    return into.length;
  }

  /** Sets `bytes` bytes to `value`; returns how many before the first page that cannot be stored to. */
  fill(address: VirtAddr, bytes: number, value: number): number {
    const page = new Uint8Array(Math.min(bytes, PAGE_SIZE)).fill(value);
    for (let done = 0; done < bytes;) {
      const count = Math.min(bytes - done, PAGE_SIZE - ((address + done) & (PAGE_SIZE - 1)));
      if (this.copyIn(address + done, page.subarray(0, count)) < count) return done;
      done += count;
    }
    return bytes;
  }

  #load(address: VirtAddr, bytes: number): boolean {
    const view = this.#views[bytes - 1];
    if (view === undefined) return false;
    const offset = address & (PAGE_SIZE - 1);
    if (offset + bytes > PAGE_SIZE) return this.copyOut(address, view) === bytes;
    const pfn = this.#frameFor(address, READ);
    if (pfn < 0) return false;
    this.#core.window.read(pfn, offset, view);
    return true;
  }

  #store(address: VirtAddr, value: number, bytes: number): boolean {
    const view = this.#views[bytes - 1];
    if (view === undefined) return false;
    for (let at = 0, rest = value >>> 0; at < bytes; at++, rest = Math.floor(rest / 256)) view[at] = rest & 255;
    const offset = address & (PAGE_SIZE - 1);
    if (offset + bytes > PAGE_SIZE) return this.#storeAcross(address, view);
    const pfn = this.#frameFor(address, WRITE);
    if (pfn < 0) return false;
    this.#core.window.write(pfn, offset, view);
    return true;
  }

  /** A store over two pages happens on both or on none. */
  #storeAcross(address: VirtAddr, from: Uint8Array): boolean {
    const last = address + from.length - 1;
    const saved = from.slice();
    if (this.#frameFor(last, WRITE) < 0) return false;
    return this.copyIn(address, saved) === saved.length;
  }

  /** The frame behind an address after resolving faults, noted as used; −1 if the access fails. */
  #frameFor(address: VirtAddr, access: number): Pfn {
    const { tables } = this.space;
    const vpn = Math.floor(address / PAGE_SIZE);
    let state = tables.query(vpn);
    const needed = access | this.#user;
    for (let tries = 0; (needed & ~state) !== 0; tries++) {
      const outcome = this.space.fault(address, needed);
      if (!isResolved(outcome) || tries > 8) {
        this.fault = isResolved(outcome) ? "no-memory" : outcome;
        if (this.#watch !== null) this.#watch.failed(address, this.fault);
        return -1;
      }
      state = tables.query(vpn);
    }
    const pfn = tables.frame;
    const page = this.#core.frameMap.pageAt(pfn);
    if (page >= 0) {
      this.#core.pages.mark(page, PAGE_REFERENCED);
      if (access === WRITE) this.#core.dirty(page);
      if (this.#watch !== null) this.#watch.touched(page);
    }
    return pfn;
  }
}
