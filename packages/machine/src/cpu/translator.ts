/**
 * Translation on behalf of a CPU: the MMU's answer, the short way that it opens, and the delivery of what goes wrong to the
 * operating system. Loads and stores are in {@link Cpu}, registers in {@link WiredControl}.
 */
import { ACCESS_WRITE } from "@pagewright/x86-paging";
import type { PhysicalMemory } from "../memory/physical-memory.ts";
import type { FaultHandler, InterruptHandler } from "../ports.ts";
import { FRAME_BYTES, NO_FRAME, vpnOf } from "../units.ts";
import type { Pfn, PhysAddr, VirtAddr, Vpn } from "../units.ts";
import { AccessFault } from "./access-fault.ts";
import type { AccessMeter } from "./cpu-stats.ts";
import type { FastView } from "./fast-view.ts";
import { Mmu } from "./mmu.ts";
import { WiredControl } from "./wired-control.ts";

/** A handler that claims success this many times in a row for one access is not believed any more. */
const MOST_RETRIES = 64;

/** Translation and fault delivery of a CPU. */
export abstract class Translator extends WiredControl {
  /** Physical memory. */
  declare readonly memory: PhysicalMemory;
  /** Who is called on a page fault; null: every fault ends its access. */
  faultHandler: FaultHandler | null = null;
  /** Who is called on an interrupt; null: interrupts are acknowledged and forgotten. */
  interruptHandler: InterruptHandler | null = null;
  /** RFLAGS.IF: whether interrupts are taken. */
  interruptsEnabled = true;
  /** The last fault that ended an access. Overwritten by the next one. */
  readonly fault: AccessFault = new AccessFault();
  /** Who is told of every access, or null. */
  meter: AccessMeter | null = null;
  /** After {@link translate}: the place (see `PhysicalMemory.place`) of the frame that it gave. */
  place = 0;
  /** After {@link translateNext}: the frame of the second page. */
  second: Pfn = NO_FRAME;
  declare protected view: FastView;
  protected pageFaults = 0;
  protected protectionFaults = 0;
  private open = true;

  /** Creates the translating side of CPU `id`. */
  constructor(id: number, memory: PhysicalMemory, mmu: Mmu) {
    super(id, mmu);
    this.memory = memory;
    this.view = mmu.views[0];
  }

  /** Whether hits may take the short way. Off: every access is seen by observers, cost model and caches. */
  get shortcuts(): boolean {
    return this.open;
  }

  /** Switches the short way on or off; the machine does this when someone watches. */
  set shortcuts(on: boolean) {
    this.open = on;
    this.mmu.dropViews();
  }

  protected override modeChanged(): void {
    this.view = this.user ? this.mmu.views[1] : this.mmu.views[0];
  }

  /**
   * Translates page `vpn` for `access` (ACCESS_READ, ACCESS_WRITE or ACCESS_FETCH, plus ACCESS_IMPLICIT) at this CPU's
   * privilege: returns the frame, or −1 with `fault` set. `offset` is the byte within the page, for CR2. Page faults are delivered, and
   * the page is translated again as often as the operating system says that it has seen to it.
   *
   * All of it is one function on purpose: of more than 460 bytecodes, it is never made part of those that call it, so that a load or
   * store, with what it does after a miss, stays short enough to become part of any loop (2 times a bare loop instead of 4).
   */
  translate(vpn: Vpn, offset: number, access: number): Pfn {
    const { mmu } = this;
    const full = access + this.accessBits;
    let pfn = mmu.translate(vpn, full);
    for (let attempt = 0; pfn < 0; attempt++) {
      const code = mmu.faultCode;
      const va = vpn * FRAME_BYTES + offset;
      if (Mmu.isNonCanonical(code)) {
        this.protectionFaults++;
        if (this.trace !== null) this.trace({ kind: "protection-fault", va });
        this.fault.set("protection", va, 0);
        return -1;
      }
      this.pageFaults++;
      if (this.meter !== null) this.meter.pageFault();
      if (this.trace !== null) this.trace({ kind: "page-fault", va, error: code });
      this.setCr2(vpn, offset);
      const cpu = this.self();
      let seenTo = false;
      if (this.deliver(cpu, va, code) && this.faultHandler !== null && attempt < MOST_RETRIES) {
        const before = this.enterKernel();
        try {
          seenTo = this.faultHandler.pageFault(cpu, va, code);
        } finally {
          this.leaveKernel(before);
        }
      }
      if (!seenTo) {
        this.fault.set(this.outcome === "running" ? "page" : this.outcome, va, code);
        return -1;
      }
      pfn = mmu.translate(vpn, full);
    }
    const place = this.memory.place(pfn);
    this.place = place;
    if (place !== 0 && this.open) this.openShortcut(vpn, place, access);
    return pfn;
  }

  /**
   * Translates the page after `vpn` for an access that begins at byte `offset` of `vpn`, which was just found in frame `first`: returns
   * the first page's frame, with the other one in `second`; −1 where either page faults. After a fault the access begins again, as the
   * instruction would: what the operating system did for one page may have moved the other. Two pages that drive each other
   * out for ever end as a fault.
   */
  translateNext(first: Pfn, vpn: Vpn, offset: number, access: number): Pfn {
    let pfn = first;
    for (let attempt = 0; attempt < MOST_RETRIES; attempt++) {
      const faults = this.pageFaults;
      this.second = this.translate(vpn + 1, 0, access);
      if (this.second < 0) return NO_FRAME;
      if (this.pageFaults === faults) return pfn;
      pfn = this.translate(vpn, offset, access);
      if (pfn < 0) return NO_FRAME;
    }
    this.fault.set("page", vpn * FRAME_BYTES + offset, this.mmu.faultCode);
    return NO_FRAME;
  }

  /** Returns the physical address of `va` for `access`, or −1 with `fault` set; sets accessed and dirty bits as an access does. */
  physicalOf(va: VirtAddr, access: number): PhysAddr {
    const pfn = this.translate(vpnOf(va), va & 0xfff, access);
    return pfn < 0 ? -1 : pfn * FRAME_BYTES + (va & 0xfff);
  }

  /**
   * The host byte of `va` (see `Cpu.bytes`) where `access` (ACCESS_READ or ACCESS_WRITE) is sure not to fault and plain memory is there:
   * translated without the operating system. −1 elsewhere, and while anybody watches accesses.
   */
  protected reachSlowly(va: VirtAddr, access: number): number {
    if (!this.open || this.meter !== null || this.mmu.observer !== null) return -1;
    const { counts } = this.mmu;
    const vpn = vpnOf(va);
    const walks = counts.dataMisses;
    const pfn = this.mmu.translate(vpn, access + this.accessBits);
    if (pfn < 0) return -1;
    const place = this.memory.place(pfn);
    if (place === 0 || (place < 0 && access === ACCESS_WRITE)) return -1;
    // A stream over more pages than the TLB holds would open short ways that nobody takes.
    if (counts.dataMisses === walks) this.openShortcut(vpn, place, access);
    return ((place > 0 ? place : -place) - 1) * 4 + (va & 0xfff);
  }

  private openShortcut(vpn: Vpn, place: number, access: number): void {
    const { view } = this;
    const { tlb } = this.mmu;
    if (!tlb.mayShortcut(tlb.flags)) return;
    const page = vpn * 4096;
    const at = view.claim(vpn & 4095, page, place > 0 ? place - 1 : -place - 1);
    if (access === 2) view.tags[at + 2] = page;
    else if (access < 2) {
      view.tags[at] = page;
      // Whoever may store may load.
      if (access === 1 && place > 0) view.tags[at + 1] = page;
    }
  }

  /** Takes an interrupt: calls the handler in supervisor mode with interrupts disabled. The scheduler does this. */
  takeInterrupt(vector: number): void {
    if (this.trace !== null) this.trace({ kind: "interrupt", vector });
    if (this.interruptHandler === null) return;
    const enabled = this.interruptsEnabled;
    const before = this.enterKernel();
    this.interruptsEnabled = false;
    try {
      this.interruptHandler.interrupt(this.self(), vector);
    } finally {
      this.interruptsEnabled = enabled;
      this.leaveKernel(before);
    }
  }
}
