/**
 * Kernel windows: the few pages per processor through which the kernel reaches frames. Physical memory is mapped nowhere else.
 *
 * Every processor has one leaf table of its own, made at boot, that maps itself:
 *
 * ```
 *  base + cpu × 2 MiB
 *  ├─ page 0 … 63     tables under edit, one page each, kept until another table needs the place or the frame is given back
 *  ├─ page 64 … 79    data, mapped for one copy or fill and unmapped after it
 *  └─ page 511        the leaf table itself: where the entries of the pages above are written
 * ```
 * An entry is written through page 511, the page invalidated and then used through the processor, as hardware would have it. A processor's windows
 * are its own, so no other has to be told.
 */
import { ACCESS_WRITE, type TableMemory } from "@pagewright/x86-paging";

import { VmmError } from "../errors.ts";
import type { FrameWindow } from "../ports.ts";
import { NO_FRAME, PAGE_SIZE, TABLE_PAGES, type Pfn, type VirtAddr, type Vpn } from "../units.ts";
import type { KernelCpu } from "./kernel-cpu.ts";

/** Pages of a processor's windows that show tables. */
export const TABLE_WINDOWS = 64;
/** Pages of a processor's windows that show data. */
export const DATA_WINDOWS = 16;
/** The page of the leaf table itself. */
export const SELF_PAGE = 511;

/** P, R/W, A, D, G: supervisor, writable, marked as used, so that no walk has to; under every PCID, so that INVLPG drops it under every one. */
const ENTRY_LOW = 0x163;
/** XD. */
const ENTRY_HIGH = 0x80000000;

/** The windows of one processor. */
export class CpuWindows {
  /** The processor. */
  readonly cpu: KernelCpu;
  /** Word of `cpu.words` is found through this address: entry 0 of the leaf table. */
  readonly #self: VirtAddr;
  /** Frame shown by each table window, −1 for none. */
  readonly #shown: Float64Array = new Float64Array(TABLE_WINDOWS).fill(NO_FRAME);
  /** Address of each window. */
  readonly #addresses: Float64Array;
  readonly #noExecute: number;
  #maps = 0;

  /** The windows at page `base`, whose leaf table is in place. */
  constructor(cpu: KernelCpu, base: Vpn, noExecute: boolean) {
    this.cpu = cpu;
    this.#addresses = Float64Array.from(
      { length: TABLE_WINDOWS + DATA_WINDOWS },
      (_, slot) => (base + slot) * PAGE_SIZE,
    );
    this.#self = (base + SELF_PAGE) * PAGE_SIZE;
    this.#noExecute = noExecute ? ENTRY_HIGH : 0;
  }

  /** Times that a window was pointed at a frame. */
  get maps(): number {
    return this.#maps;
  }

  /** The index in `cpu.words` of the first word of a table's frame, shown in a window. */
  tableBase(pfn: Pfn): number {
    const slot = pfn & (TABLE_WINDOWS - 1);
    if (this.#shown[slot] === pfn && this.cpu.cpl === 0) {
      const at = this.cpu.viewOf(this.#addresses[slot]!, ACCESS_WRITE);
      if (at >= 0) return at;
    }
    return this.#reach(slot, pfn);
  }

  /** {@link tableBase} where the window shows another frame, or a program runs. */
  #reach(slot: number, pfn: Pfn): number {
    const { cpu } = this;
    const cpl = enter(cpu);
    if (this.#shown[slot] !== pfn) this.#show(slot, pfn);
    const at = cpu.viewOf(this.#addresses[slot]!, ACCESS_WRITE);
    leave(cpu, cpl);
    if (at < 0) throw new VmmError("port-contract", "A kernel window cannot be reached.", { pfn, cpu: cpu.id });
    return at;
  }

  /** Makes a data window show a frame and returns its address. Supervisor mode is the caller's. */
  open(window: number, pfn: Pfn): VirtAddr {
    this.#write(TABLE_WINDOWS + window, pfn);
    this.#maps++;
    return this.#addresses[TABLE_WINDOWS + window]!;
  }

  /** Makes a data window show nothing. */
  close(window: number): void {
    const slot = TABLE_WINDOWS + window;
    const at = this.cpu.viewOf(this.#self + slot * 8, ACCESS_WRITE);
    const { words } = this.cpu;
    words[at] = 0;
    words[at + 1] = 0;
    this.cpu.invlpg(this.#addresses[slot]!);
  }

  /** Makes sure that no table window shows a frame that is about to be given back. */
  forget(pfn: Pfn): void {
    const slot = pfn & (TABLE_WINDOWS - 1);
    if (pfn === NO_FRAME || this.#shown[slot] !== pfn) return;
    this.#shown[slot] = NO_FRAME;
    const { cpu } = this;
    const { cpl } = cpu;
    if (cpl !== 0) cpu.setCpl(0);
    const at = cpu.viewOf(this.#self + slot * 8, ACCESS_WRITE);
    cpu.words[at] = 0;
    cpu.words[at + 1] = 0;
    cpu.invlpg(this.#addresses[slot]!);
    if (cpl !== 0) cpu.setCpl(cpl);
  }

  /** Reads the windows' own table; throws with the sentence of the broken invariant. */
  check(): void {
    const { cpu } = this;
    const { cpl } = cpu;
    if (cpl !== 0) cpu.setCpl(0);
    for (let slot = 0; slot < TABLE_WINDOWS + DATA_WINDOWS; slot++) {
      const at = cpu.viewOf(this.#self + slot * 8, ACCESS_WRITE);
      const low = cpu.words[at]!;
      const high = cpu.words[at + 1]!;
      const pfn = low === 0 ? NO_FRAME : (high & 1048575) * 1048576 + Math.floor(low / PAGE_SIZE);
      const expected = slot < TABLE_WINDOWS ? this.#shown[slot]! : NO_FRAME;
      if (pfn !== expected)
        throw new VmmError("invariant", "A window shows another frame than it should.", { slot, pfn });
    }
    if (cpl !== 0) cpu.setCpl(cpl);
  }

  /** The frames that table windows show now. */
  shownFrames(): Pfn[] {
    return [...this.#shown].filter((pfn) => pfn !== NO_FRAME);
  }

  #show(slot: number, pfn: Pfn): void {
    this.#write(slot, pfn);
    this.#shown[slot] = pfn;
    this.#maps++;
  }

  #write(slot: number, pfn: Pfn): void {
    const { cpu } = this;
    const at = cpu.viewOf(this.#self + slot * 8, ACCESS_WRITE);
    if (at < 0) throw new VmmError("port-contract", "A window's own table cannot be reached.", { slot, cpu: cpu.id });
    const { words } = cpu;
    // A page without a translation is in no TLB: only a window that showed something else has to be invalidated.
    const shown = words[at] !== 0;
    words[at + 1] = (Math.floor(pfn / 1048576) + this.#noExecute) >>> 0;
    words[at] = ((pfn & 1048575) * PAGE_SIZE + ENTRY_LOW) >>> 0;
    if (shown) cpu.invlpg(this.#addresses[slot]!);
  }
}

/** The windows of all processors, as what the core and x86-paging need: bytes of frames, and words of tables. */
export class KernelWindows implements FrameWindow, TableMemory {
  readonly #windows: readonly CpuWindows[];
  readonly #current: () => number;
  /** What the last {@link words} found, for the {@link base} that follows. */
  #pfn: Pfn = NO_FRAME;
  #at = 0;

  /** Windows by processor number; `current` tells which one runs. */
  constructor(windows: readonly CpuWindows[], current: () => number) {
    this.#windows = windows;
    this.#current = current;
  }

  /** See TableMemory: the array that has a table's words. */
  words(pfn: Pfn): Uint32Array {
    const windows = this.#here();
    this.#at = windows.tableBase(pfn);
    this.#pfn = pfn;
    return windows.cpu.words;
  }

  /** See TableMemory: where in the array they begin. */
  base(pfn: Pfn): number {
    return this.#pfn === pfn ? this.#at : this.#here().tableBase(pfn);
  }

  /** See {@link FrameWindow.read}. */
  read(pfn: Pfn, offset: number, into: Uint8Array): void {
    const windows = this.#here();
    const cpl = enter(windows.cpu);
    demand(windows.cpu.copyOut(windows.open(0, pfn) + offset, into), pfn);
    windows.close(0);
    leave(windows.cpu, cpl);
  }

  /** See {@link FrameWindow.write}. */
  write(pfn: Pfn, offset: number, from: Uint8Array): void {
    const windows = this.#here();
    const cpl = enter(windows.cpu);
    demand(windows.cpu.copyIn(windows.open(0, pfn) + offset, from), pfn);
    windows.close(0);
    leave(windows.cpu, cpl);
  }

  /** See {@link FrameWindow.copy}. */
  copy(from: Pfn, to: Pfn): void {
    const windows = this.#here();
    const cpl = enter(windows.cpu);
    demand(windows.cpu.bulk.move(windows.open(0, from), windows.open(1, to), PAGE_SIZE), from);
    windows.close(0);
    windows.close(1);
    leave(windows.cpu, cpl);
  }

  /** See {@link FrameWindow.zero}. */
  zero(pfn: Pfn): void {
    const windows = this.#here();
    const cpl = enter(windows.cpu);
    demand(windows.cpu.fill(windows.open(0, pfn), PAGE_SIZE, 0), pfn);
    windows.close(0);
    leave(windows.cpu, cpl);
  }

  /** See {@link FrameWindow.zeroMany}: as many frames as there are data windows by one fill. All but the first are found by a walk of one entry. */
  zeroMany(frames: Float64Array, count: number): void {
    const windows = this.#here();
    const { cpu } = windows;
    const cpl = enter(cpu);
    for (let done = 0; done < count; done += DATA_WINDOWS) {
      const shown = Math.min(DATA_WINDOWS, count - done);
      let address = 0;
      for (let window = shown - 1; window >= 0; window--) address = windows.open(window, frames[done + window]!);
      demand(cpu.fill(address, shown * PAGE_SIZE, 0), frames[done]!);
      for (let window = 0; window < shown; window++) windows.close(window);
    }
    leave(cpu, cpl);
  }

  /** Makes sure that no window of any processor shows a table's frame. */
  forget(pfn: Pfn): void {
    this.#pfn = NO_FRAME;
    for (const windows of this.#windows) windows.forget(pfn);
  }

  /** The frames that table windows show now, by processor. */
  shownFrames(): Pfn[][] {
    return this.#windows.map((windows) => windows.shownFrames());
  }

  /** Checks the windows of the processor that runs. */
  check(): void {
    this.#here().check();
  }

  /** Pages that windows of one processor take, its own table included. */
  static readonly pagesPerCpu: number = TABLE_PAGES;

  #here(): CpuWindows {
    const windows = this.#windows[this.#current()];
    if (windows === undefined) throw new VmmError("bad-argument", "The running processor has no windows.");
    return windows;
  }
}

function enter(cpu: KernelCpu): number {
  const { cpl } = cpu;
  if (cpl !== 0) cpu.setCpl(0);
  return cpl;
}

function leave(cpu: KernelCpu, cpl: number): void {
  if (cpl !== 0) cpu.setCpl(cpl);
}

function demand(done: boolean, pfn: Pfn): void {
  if (!done) throw new VmmError("port-contract", "A frame cannot be reached through its window.", { pfn });
}
