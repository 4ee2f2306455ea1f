/**
 * The control side of a CPU: register writes and invalidations with the effects that the manual gives them, privilege,
 * and the delivery of faults. Loads and stores are in {@link Cpu}.
 *
 * Source: Intel SDM volume 3A, Operations that Invalidate TLBs and Paging-Structure Caches; Interrupt and Exception
 * Handling (double faults).
 */
import { ACCESS_IMPLICIT, ACCESS_READ, ACCESS_WRITE } from "@pagewright/x86-paging";
import { MachineError } from "../errors.ts";
import { isMemory } from "../map/region.ts";
import { FRAME_BYTES, formatAddress, vpnOf } from "../units.ts";
import type { PhysAddr, VirtAddr, Vpn } from "../units.ts";
import type { CpuTrace } from "../system/events.ts";
import type { CacheGuard } from "../system/mtrr-guard.ts";
import type { Cpu } from "./cpu.ts";
import { Mmu } from "./mmu.ts";
import * as bits from "./registers.ts";
import type { Registers } from "./registers.ts";

/** What a CPU must be able to reach to deliver an exception; without it, delivery always works. */
export interface DeliveryPath {
  /** Address of the interrupt descriptor table (16 bytes a vector). */
  readonly idt: VirtAddr;
  /** Top of the stack on which the frame is pushed. */
  readonly stack: VirtAddr;
}

const PAGE_FAULT_VECTOR = 14;
const DOUBLE_FAULT_VECTOR = 8;
const FRAME_PUSHED = 48;
const NO_FLUSH = 2 ** 31;

const has = (word: number, bit: number): boolean => Math.floor(word / bit) % 2 === 1;

/** Whether the CPU runs, or how its last fault put it to an end. */
export type CpuOutcome = "running" | "double" | "triple";

/** Registers, privilege, invalidation and fault delivery of a CPU. */
export abstract class WiredControl {
  /** Its number, from 0. */
  declare readonly id: number;
  /** Its memory management unit. */
  declare readonly mmu: Mmu;
  /** What it needs to deliver an exception; null: nothing. */
  delivery: DeliveryPath | null = null;
  /** Who watches how caches and TLB are handled while MTRRs change, or null. */
  guard: CacheGuard | null = null;
  /** Who is told of what this CPU does (see `CpuEvent`); null: nobody. The machine sets it. */
  trace: CpuTrace | null = null;
  /** Whether it runs; set by a fault that could not be delivered, cleared by {@link WiredControl.reset}. */
  outcome: CpuOutcome = "running";
  /** The bits that privilege and EFLAGS.AC add to an access. */
  protected accessBits = 0;
  private privilege = 0;
  private alignment = false;
  private isUser = false;
  private cr2Vpn: Vpn = 0;
  private cr2Offset = 0;

  /** Creates the control side of CPU `id`. */
  constructor(id: number, mmu: Mmu) {
    this.id = id;
    this.mmu = mmu;
  }

  protected abstract modeChanged(): void;
  protected abstract self(): Cpu;

  /** Current privilege level, 0 … 3. */
  get cpl(): number {
    return this.privilege;
  }

  /** EFLAGS.AC. */
  get ac(): boolean {
    return this.alignment;
  }

  /** Whether CPL is 3. */
  get user(): boolean {
    return this.isUser;
  }

  /** The registers that decide translations. */
  get registers(): Registers {
    return this.mmu.registers;
  }

  /** CR2: the address of the last page fault. Exact up to 2^53; see `cr2Words` for 5-level addresses beyond. */
  get cr2(): VirtAddr {
    return this.cr2Vpn * FRAME_BYTES + this.cr2Offset;
  }

  /** Writes CR2's (low, high) words into `into`. */
  cr2Words(into: Uint32Array): void {
    into[0] = (this.cr2Vpn & 0xfffff) * FRAME_BYTES + this.cr2Offset;
    into[1] = Math.floor(this.cr2Vpn / 2 ** 20) >>> 0;
  }

  /** Sets CR2 to byte `offset` of page `vpn`. */
  setCr2(vpn: Vpn, offset: number): void {
    this.cr2Vpn = vpn;
    this.cr2Offset = offset;
  }

  /** Sets CPL (0 … 3). The TLB is not touched: privilege is part of each access. */
  setCpl(cpl: number): void {
    if (cpl !== 0 && cpl !== 1 && cpl !== 2 && cpl !== 3)
      throw new MachineError("bad-argument", `CPL is 0 … 3, not ${cpl}`, { cpl });
    this.privilege = cpl;
    this.isUser = cpl === 3;
    this.noteMode();
  }

  /** Sets EFLAGS.AC (what STAC and CLAC do). */
  setAc(ac: boolean): void {
    if (ac === this.alignment) return;
    this.alignment = ac;
    this.mmu.dropViews();
    this.noteMode();
  }

  private noteMode(): void {
    this.accessBits = Mmu.modeBits(this.isUser, this.alignment);
    this.modeChanged();
  }

  /** Enters supervisor mode with AC clear, as an exception does; returns what `leaveKernel` needs. */
  protected enterKernel(): number {
    const before = this.privilege * 2 + (this.alignment ? 1 : 0);
    if (this.privilege !== 0) this.setCpl(0);
    this.setAc(false);
    return before;
  }

  /** Returns to the mode that `enterKernel` left. */
  protected leaveKernel(before: number): void {
    if (this.privilege !== Math.floor(before / 2)) this.setCpl(Math.floor(before / 2));
    this.setAc(before % 2 === 1);
  }

  /**
   * MOV to CR3. Without PCIDs: flushes all but global translations. With CR4.PCIDE: flushes those of the new PCID, or
   * nothing when bit 63 is set.
   */
  writeCr3(low: number, high = 0): void {
    const keep = has(high, NO_FLUSH) && has(this.registers.cr4, bits.CR4_PCIDE);
    if (this.trace !== null) this.trace({ kind: "cr3", low: low >>> 0, high: high >>> 0 });
    this.mmu.setRoot(low >>> 0, (high & 0x7fffffff) >>> 0);
    if (!keep) this.flush(has(this.registers.cr4, bits.CR4_PCIDE) ? this.mmu.asid : -1, false);
  }

  /**
   * Makes this CPU use the root table at `address`: a checked MOV to CR3. Throws `unaligned` unless it is a frame's first
   * byte, and `beyond-map` where no memory is, naming who is there instead.
   */
  useTable(address: PhysAddr, pcid = 0): void {
    const region = this.mmu.memory.map.find(address);
    if ((address & 0xfff) !== 0)
      throw new MachineError(
        "unaligned",
        `The root table of CPU ${this.id} starts at a frame's first byte, not at ${formatAddress(address)} in ${region === undefined ? "a hole" : `${region.kind} of ${region.owner}`}`,
        { address, cpu: this.id, owner: region?.owner ?? "nobody" },
      );
    if (region === undefined || !isMemory(region.kind))
      throw new MachineError(
        "beyond-map",
        `The root table at ${formatAddress(address)} of CPU ${this.id} lies in ${region === undefined ? "a hole" : `${region.kind} of ${region.owner}`}`,
        { address, cpu: this.id, owner: region?.owner ?? "nobody" },
      );
    this.writeCr3((address >>> 0) + pcid, Math.floor(address / 2 ** 32));
  }

  /** MOV to CR0: a change of PG flushes everything. One of WP flushes nothing: rights are compared with WP at every access. */
  writeCr0(value: number): void {
    const before = this.registers.cr0;
    this.guard?.cacheControl(this.self(), before, value >>> 0);
    if (this.trace !== null) this.trace({ kind: "cr0", value: value >>> 0 });
    this.mmu.setRegisters({ cr0: value >>> 0 });
    if (has(before, bits.CR0_PG) !== has(value, bits.CR0_PG)) this.flush(-1, true);
  }

  /** WBINVD: writes back and invalidates all caches. */
  wbinvd(): void {
    if (this.trace !== null) this.trace({ kind: "wbinvd" });
    this.guard?.cachesFlushed(this.self());
  }

  /** MOV to CR4: a change of PGE, PAE, PSE, LA57 or SMEP, or clearing PCIDE, flushes everything, global translations too. */
  writeCr4(value: number): void {
    const before = this.registers.cr4;
    if (has(value, bits.CR4_PCIDE) && !has(before, bits.CR4_PCIDE) && (this.registers.cr3Low & 0xfff) !== 0)
      throw new MachineError("bad-argument", "CR4.PCIDE cannot be set while CR3[11:0] is not 0 (#GP)", {
        cr3Low: this.registers.cr3Low,
      });
    if (this.trace !== null) this.trace({ kind: "cr4", value: value >>> 0 });
    this.mmu.setRegisters({ cr4: value >>> 0 });
    const flushing = [bits.CR4_PGE, bits.CR4_PAE, bits.CR4_PSE, bits.CR4_LA57];
    const changed = flushing.some((bit) => has(before, bit) !== has(value, bit));
    const smepSet = has(value, bits.CR4_SMEP) && !has(before, bits.CR4_SMEP);
    const pcideCleared = has(before, bits.CR4_PCIDE) && !has(value, bits.CR4_PCIDE);
    if (changed || smepSet || pcideCleared) this.flush(-1, true);
  }

  /** WRMSR to EFER. Nothing is flushed: software must, and the machine lets it forget. */
  writeEfer(value: number): void {
    if (this.trace !== null) this.trace({ kind: "efer", value: value >>> 0 });
    this.mmu.setRegisters({ efer: value >>> 0 });
  }

  /** WRPKRU. */
  writePkru(value: number): void {
    this.mmu.setPkru(value >>> 0);
  }

  /** WRMSR to IA32_PKRS. */
  writePkrs(value: number): void {
    this.mmu.setRegisters({ pkrs: value >>> 0 });
  }

  /** Loads all registers at once, as a reset or a VM entry does: flushes everything. */
  loadRegisters(registers: Registers): void {
    this.mmu.setRegisters({ ...registers, cr3High: (registers.cr3High & 0x7fffffff) >>> 0 });
    this.flush(-1, true);
  }

  /** Flushes one PCID or all (−1), and tells the guard unless something may be left: global translations, or this PCID's. */
  private flush(pcid: number, globals: boolean): void {
    this.mmu.flush(pcid, globals);
    const reaches = pcid === -1 || pcid === this.mmu.asid;
    if (reaches && (globals || !has(this.registers.cr4, bits.CR4_PGE)))
      this.guard?.tlbFlushed(this.self(), pcid === -1);
  }

  /** INVLPG: invalidates this PCID's (and global) translations of the page, and all cached upper-level entries of the PCID. */
  invlpg(va: VirtAddr): void {
    if (this.trace !== null) this.trace({ kind: "invlpg", va });
    this.mmu.invalidate(vpnOf(va));
  }

  /**
   * INVPCID. Type 0: one address of one PCID (not global ones); 1: one PCID (not global ones); 2: everything, global ones
   * too; 3: everything but global ones.
   */
  invpcid(type: number, pcid: number, va: VirtAddr): void {
    if (!Number.isInteger(pcid) || pcid < 0 || pcid > 4095 || (type !== 0 && type !== 1 && type !== 2 && type !== 3))
      throw new MachineError("bad-argument", `INVPCID has types 0 … 3 and PCIDs 0 … 4095 (#GP)`, { type, pcid });
    const vpn = vpnOf(va);
    if (this.trace !== null) this.trace({ kind: "invpcid", type, pcid, va });
    if (type === 0) this.mmu.invalidateOf(vpn, pcid);
    else if (type === 1) this.flush(pcid, false);
    else this.flush(-1, type === 2);
  }

  /** Flushes this CPU's translations as a MOV to CR3 with the same value does. */
  flushTlb(): void {
    this.flush(has(this.registers.cr4, bits.CR4_PCIDE) ? this.mmu.asid : -1, false);
  }

  /**
   * Tries to deliver an exception to the handler: reads the descriptor and pushes the frame, where `delivery` says that
   * these can fail. A failure is a double fault; a failure to deliver that, a triple fault. Returns whether the page-fault
   * handler may run.
   */
  protected deliver(cpu: Cpu, _va: VirtAddr, _code: number): boolean {
    if (this.outcome === "triple") return false;
    if (this.delivery === null || this.reaches(cpu, this.delivery, PAGE_FAULT_VECTOR)) return true;
    this.outcome = this.reaches(cpu, this.delivery, DOUBLE_FAULT_VECTOR) ? "double" : "triple";
    return false;
  }

  private reaches(cpu: Cpu, path: DeliveryPath, vector: number): boolean {
    const reads = this.probe(cpu, path.idt + vector * 16, ACCESS_READ);
    return reads && this.probe(cpu, path.stack - FRAME_PUSHED, ACCESS_WRITE);
  }

  private probe(cpu: Cpu, va: VirtAddr, access: number): boolean {
    const vpn = vpnOf(va);
    if (cpu.mmu.translate(vpn, access + ACCESS_IMPLICIT) >= 0) return true;
    if (!Mmu.isNonCanonical(cpu.mmu.faultCode)) this.setCr2(vpn, va & 0xfff);
    return false;
  }

  /** RESET: registers as given, caches empty, running. */
  reset(registers: Registers): void {
    this.outcome = "running";
    this.privilege = 0;
    this.alignment = false;
    this.isUser = false;
    this.noteMode();
    this.loadRegisters(registers);
  }
}
