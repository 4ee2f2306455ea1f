/**
 * One logical CPU: loads, stores and fetches through its MMU.
 *
 * Sentinels instead of results: loads return an unsigned number, or −1 when the access ended as a fault; stores return
 * whether they took place. `fault` says what went wrong last. An access that faults calls the {@link FaultHandler} first
 * and is tried again when that returns true.
 *
 * A load that hits: one comparison of a float64 tag that holds page, rights and alignment (see {@link FastView}), one count,
 * two array reads. Everything else goes through one named slow path.
 */
import { ACCESS_FETCH, ACCESS_IMPLICIT, ACCESS_READ, ACCESS_WRITE } from "@pagewright/x86-paging";
import type { PhysicalMemory } from "../memory/physical-memory.ts";
import type { MemoryType } from "../mtrr/memory-type.ts";
import { Pat } from "../mtrr/pat.ts";
import { MtrrRegisters } from "../mtrr/registers.ts";
import { FRAME_BYTES, vpnOf } from "../units.ts";
import type { VirtAddr, Vpn } from "../units.ts";
import { Bulk } from "./bulk.ts";
import type { CpuState } from "./cpu-state.ts";
import { exchange32, exchange64, requireAligned } from "./exchange.ts";
import { Mmu } from "./mmu.ts";
import type { MmuOptions } from "./mmu-ports.ts";
import { SlowPath } from "./slow-path.ts";
import { FLAG_PAT_SHIFT } from "./tlb-array.ts";
import { Translator } from "./translator.ts";
import type { CpuStats } from "./cpu-stats.ts";

/** ACCESS_ constants. Hot: constants of this module are part of the code, imported ones are loaded and checked at every use. */
const READ = ACCESS_READ;
const FETCH = ACCESS_FETCH;
const WRITE = ACCESS_WRITE;

/**
 * One logical CPU: loads, stores and fetches through its MMU and TLB, by the manual's rules. Loads return an unsigned number, or −1 where the access
 * ended as a fault; stores return whether they took place; `fault` says what went wrong last. An access that faults calls `faultHandler` first and is
 * tried again when that returns true. A hit costs a few nanoseconds and allocates nothing.
 */
export class Cpu extends Translator {
  /** High word of the last `load64` or `fetch64`, or of the old value of the last `compareExchange64`. */
  high = 0;
  /** Low word of the old value of the last `compareExchange64`. */
  low = 0;
  /** Copies, fills and comparisons through translation. */
  declare readonly bulk: Bulk;
  /** Accesses that cannot take the short way. */
  declare readonly slow: SlowPath;
  /** This CPU's page attribute table. */
  readonly pat: Pat = new Pat();
  /** This CPU's memory type range registers. Change them through {@link MtrrGuard} where a machine checks it. */
  readonly mtrrs: MtrrRegisters = new MtrrRegisters();
  /** Bytes that the last bulk operation has done: all, or those before the fault. */
  progress = 0;

  declare private hostWords: Uint32Array;
  declare private hostHalves: Uint16Array;
  declare private hostBytes: Uint8Array;
  /** The shortcuts of the privilege in force; see {@link FastView}. */
  declare private tags: Float64Array;
  declare private places: Int32Array;
  private dataCount = 0;
  private codeCount = 0;
  private dataTotal = 0;
  private codeTotal = 0;
  /** Creates CPU number `id` on `memory`; the machine does this. */
  constructor(id: number, memory: PhysicalMemory, options: MmuOptions) {
    super(id, memory, new Mmu(memory, options));
    this.bulk = new Bulk(this);
    this.slow = new SlowPath(this);
    this.hostWords = memory.host.words;
    this.hostHalves = memory.host.halves;
    this.hostBytes = memory.host.bytes;
    this.tags = this.view.tags;
    this.places = this.view.words;
    memory.onMove(() => {
      this.hostWords = memory.host.words;
      this.hostHalves = memory.host.halves;
      this.hostBytes = memory.host.bytes;
      this.mmu.dropViews();
    });
  }

  /** The words of host memory into which {@link Cpu.viewOf} indexes. Replaced when memory is compacted. */
  get words(): Uint32Array {
    return this.hostWords;
  }

  /** The bytes of host memory; byte index = 4 × word index. */
  get bytes(): Uint8Array {
    return this.hostBytes;
  }

  protected override self(): this {
    return this;
  }

  protected override modeChanged(): void {
    super.modeChanged();
    this.tags = this.view.tags;
    this.places = this.view.words;
  }

  /** Loads 8 bits; −1: faulted. */
  load8(va: VirtAddr): number {
    const at = (va >>> 10) & 0x3ffc;
    const offset = va & 0xfff;
    if (this.tags[at]! !== va - offset) return this.slow.load(va, 1, READ);
    this.dataCount++;
    return this.hostBytes[this.places[at * 2 + 6]! * 4 + offset]!;
  }

  /** Loads 16 bits, little-endian, any alignment; −1: faulted. */
  load16(va: VirtAddr): number {
    const at = (va >>> 10) & 0x3ffc;
    const offset = va & 0xffe;
    if (this.tags[at]! !== va - offset) return this.slow.load(va, 2, READ);
    this.dataCount++;
    return this.hostHalves[this.places[at * 2 + 6]! * 2 + (offset >>> 1)]!;
  }

  /** Loads 32 bits, little-endian, any alignment; −1: faulted. A hit: one tag, one count, two array reads. */
  load32(va: VirtAddr): number {
    const at = (va >>> 10) & 0x3ffc;
    const offset = va & 0xffc;
    if (this.tags[at]! !== va - offset) return this.slow.load(va, 4, READ);
    this.dataCount++;
    return this.hostWords[this.places[at * 2 + 6]! + (offset >>> 2)]!;
  }

  /** Loads 64 bits, any alignment: returns the low word (`high` has the other), or −1: faulted. */
  load64(va: VirtAddr): number {
    const at = (va >>> 10) & 0x3ffc;
    const offset = va & 0xff8;
    if (this.tags[at]! !== va - offset) return this.slow.load64(va, READ);
    this.dataCount++;
    const host = this.places[at * 2 + 6]! + (offset >>> 2);
    this.high = this.hostWords[host + 1]!;
    return this.hostWords[host]!;
  }

  /** Stores the low 8 bits of `value`; false: faulted. */
  store8(va: VirtAddr, value: number): boolean {
    const at = (va >>> 10) & 0x3ffc;
    const offset = va & 0xfff;
    if (this.tags[at + 1]! !== va - offset) return this.slow.store(va, 1, value);
    this.dataCount++;
    this.hostBytes[this.places[at * 2 + 6]! * 4 + offset] = value;
    return true;
  }

  /** Stores the low 16 bits of `value`, any alignment; false: faulted, nothing stored. */
  store16(va: VirtAddr, value: number): boolean {
    const at = (va >>> 10) & 0x3ffc;
    const offset = va & 0xffe;
    if (this.tags[at + 1]! !== va - offset) return this.slow.store(va, 2, value);
    this.dataCount++;
    this.hostHalves[this.places[at * 2 + 6]! * 2 + (offset >>> 1)] = value;
    return true;
  }

  /** Stores the low 32 bits of `value`, any alignment; false: faulted, nothing stored. A hit: as `load32`. */
  store32(va: VirtAddr, value: number): boolean {
    const at = (va >>> 10) & 0x3ffc;
    const offset = va & 0xffc;
    if (this.tags[at + 1]! !== va - offset) return this.slow.store(va, 4, value);
    this.dataCount++;
    this.hostWords[this.places[at * 2 + 6]! + (offset >>> 2)] = value;
    return true;
  }

  /** Stores 64 bits given as words, any alignment; false: faulted, nothing stored. */
  store64(va: VirtAddr, low: number, high: number): boolean {
    const at = (va >>> 10) & 0x3ffc;
    const offset = va & 0xff8;
    if (this.tags[at + 1]! !== va - offset) return this.slow.store64(va, low, high);
    this.dataCount++;
    const host = this.places[at * 2 + 6]! + (offset >>> 2);
    this.hostWords[host] = low;
    this.hostWords[host + 1] = high;
    return true;
  }

  /** Fetches one byte of code; −1: faulted. */
  fetch8(va: VirtAddr): number {
    return this.slow.load(va, 1, FETCH);
  }

  /** Fetches 16 bits of code, little-endian, any alignment; −1: faulted. */
  fetch16(va: VirtAddr): number {
    return this.slow.load(va, 2, FETCH);
  }

  /** Fetches 32 bits of code, any alignment; −1: faulted. */
  fetch32(va: VirtAddr): number {
    const at = (va >>> 10) & 0x3ffc;
    const offset = va & 0xffc;
    if (this.tags[at + 2]! !== va - offset) return this.slow.load(va, 4, FETCH);
    this.codeCount++;
    return this.hostWords[this.places[at * 2 + 6]! + (offset >>> 2)]!;
  }

  /** Fetches 64 bits of code, any alignment: returns the low word (`high` has the other), or −1: faulted. */
  fetch64(va: VirtAddr): number {
    return this.slow.load64(va, FETCH);
  }

  /** Loads 32 bits as the processor itself does for descriptor tables: supervisor whatever the CPL; −1: faulted. */
  loadImplicit32(va: VirtAddr): number {
    return this.slow.load(va, 4, READ + ACCESS_IMPLICIT);
  }

  /**
   * Exchanges 32 bits if they equal `expected`: returns the old value (equal to `expected` where it took place), or −1:
   * faulted. Always needs write access. Atomic with respect to other CPUs, and to threads that share the host memory. Throws `unaligned`
   * where `va` is no multiple of 4: hardware would lock the bus, or raise #AC where split locks are detected.
   */
  compareExchange32(va: VirtAddr, expected: number, desired: number): number {
    const at = (va >>> 10) & 0x3ffc;
    const offset = va & 0xffc;
    if (this.tags[at + 1]! !== va - offset) return exchange32(this, va, expected, desired);
    this.dataCount++;
    return Atomics.compareExchange(this.hostWords, this.places[at * 2 + 6]! + (offset >>> 2), expected, desired);
  }

  /**
   * Exchanges 64 bits if both words equal the expected ones: 1: exchanged, 0: not, −1: faulted. The old words are in `low`
   * and `high`. Always needs write access. Atomic with respect to other CPUs of the machine, which never run in between; not to other
   * threads. Throws `unaligned` where `va` is no multiple of 8.
   */
  compareExchange64(va: VirtAddr, expectedLow: number, expectedHigh: number, low: number, high: number): number {
    const at = (va >>> 10) & 0x3ffc;
    const offset = va & 0xff8;
    if (this.tags[at + 1]! !== va - offset) return exchange64(this, va, expectedLow, expectedHigh, low, high);
    this.dataCount++;
    const host = this.places[at * 2 + 6]! + (offset >>> 2);
    this.low = this.hostWords[host]!;
    this.high = this.hostWords[host + 1]!;
    if (this.low !== expectedLow >>> 0 || this.high !== expectedHigh >>> 0) return 0;
    this.hostWords[host] = low;
    this.hostWords[host + 1] = high;
    return 1;
  }

  /**
   * Translates once: returns the index in `words` of the 32-bit word at `va`, through which the rest of its page may be read
   * (and, for `WRITE`, written) until the next invalidation; −1 with `fault` when it faulted, −1 with
   * `fault.kind === "none"` when no plain memory is there. What kernel windows use to edit page tables. A meter is told of one
   * access, whatever is done through the view. Throws `unaligned` where `va` is no multiple of 4.
   */
  viewOf(va: VirtAddr, access: number): number {
    const at = (va >>> 10) & 0x3ffc;
    const offset = va & 0xffc;
    if (this.tags[access === WRITE ? at + 1 : at]! === va - offset) {
      this.dataCount++;
      return this.places[at * 2 + 6]! + (offset >>> 2);
    }
    this.fault.clear();
    requireAligned(this, "views", va, 4);
    const pfn = this.translate(vpnOf(va), offset, access);
    if (pfn < 0) return -1;
    const place = this.memory.place(pfn);
    if (place === 0 || (place < 0 && access === WRITE)) return -1;
    if (this.meter !== null) this.meter.access(pfn * FRAME_BYTES + offset);
    return Math.abs(place) - 1 + (offset >>> 2);
  }

  /**
   * Returns the index in `bytes` of the byte at `va` when the short way is open for `access` (READ or WRITE),
   * so that the access cannot fault; −1 where it would have to be looked up. Counts as an access when it is open.
   */
  shortcutOf(va: VirtAddr, access: number): number {
    const at = (va >>> 10) & 0x3ffc;
    const offset = va & 0xfff;
    if (this.tags[access === WRITE ? at + 1 : at]! !== va - offset) return -1;
    this.dataCount++;
    return this.places[at * 2 + 6]! * 4 + offset;
  }

  /** {@link shortcutOf}, or the same found by translating: −1 only where the access would fault, or has to be watched. */
  reach(va: VirtAddr, access: number): number {
    const host = this.shortcutOf(va, access);
    return host >= 0 ? host : this.reachSlowly(va, access);
  }

  /** Fills a range with one byte; see {@link Bulk.fill}. */
  fill(va: VirtAddr, count: number, byte: number): boolean {
    return this.bulk.fill(va, count, byte);
  }

  /** Copies `bytes` into memory at `va`; see {@link Bulk.copyIn}. */
  copyIn(va: VirtAddr, bytes: Uint8Array): boolean {
    return this.bulk.copyIn(va, bytes);
  }

  /** Copies memory at `va` out into `into`; see {@link Bulk.copyOut}. */
  copyOut(va: VirtAddr, into: Uint8Array): boolean {
    return this.bulk.copyOut(va, into);
  }

  /**
   * Loads `size` (1, 2 or 4) bytes at byte `offset` of page `vpn` for `access`: the form for 5-level addresses that no
   * VirtAddr can hold. Returns the value or −1: faulted.
   */
  loadAt(vpn: Vpn, offset: number, size: number, access: number): number {
    return this.slow.loadAt(vpn, offset, size, access);
  }

  /** Stores the low `size` (1, 2 or 4) bytes of `value` at byte `offset` of page `vpn`; false: faulted, nothing stored. */
  storeAt(vpn: Vpn, offset: number, size: number, value: number): boolean {
    return this.slow.storeAt(vpn, offset, size, value);
  }

  /** SFENCE: what write-combining buffers hold goes out. */
  fence(): void {
    this.slow.fence();
  }

  /** Returns the effective memory type of `va`, PAT × MTRR, or null with `fault` set when it does not translate. */
  memoryTypeOf(va: VirtAddr): MemoryType | null {
    const address = this.physicalOf(va, READ);
    return address < 0 ? null : this.slow.typeOf(address, (this.mmu.tlb.flags >>> FLAG_PAT_SHIFT) & 7);
  }

  /** Returns a copy of the state that a snapshot holds. */
  saveState(): CpuState {
    const { registers, cpl, ac, interruptsEnabled, mmu } = this;
    const cr2 = [Math.floor(this.cr2 / FRAME_BYTES), this.cr2 & 0xfff] as const;
    this.stats();
    const { kind, va, error } = this.fault;
    return {
      registers,
      cpl,
      ac,
      cr2,
      interruptsEnabled,
      pat: this.pat.types,
      mtrrs: this.mtrrs.saveState(),
      tlb: mmu.tlb.save(),
      structures: mmu.structures.save(),
      outcome: this.outcome,
      delivery: this.delivery,
      results: [this.high, this.low, this.progress],
      fault: { kind, va, error },
      combiner: this.slow.combiner.saveState(),
      gathering: this.slow.gathering,
      counts: { ...mmu.counts },
      totals: [this.dataTotal, this.codeTotal, this.pageFaults, this.protectionFaults],
    };
  }

  /** Puts a saved state back, figures too. */
  restoreState(state: CpuState): void {
    this.mmu.setRegisters(state.registers);
    this.setCpl(state.cpl);
    this.setAc(state.ac);
    this.setCr2(...state.cr2);
    this.interruptsEnabled = state.interruptsEnabled;
    this.pat.program(state.pat);
    this.mtrrs.restoreState(state.mtrrs);
    this.mmu.tlb.restore(state.tlb);
    this.mmu.structures.restore(state.structures);
    this.outcome = state.outcome;
    this.delivery = state.delivery;
    [this.high, this.low, this.progress] = state.results;
    this.fault.set(state.fault.kind, state.fault.va, state.fault.error);
    this.slow.combiner.restoreState(state.combiner);
    this.slow.gathering = state.gathering;
    Object.assign(this.mmu.counts, state.counts);
    this.dataCount = 0;
    this.codeCount = 0;
    [this.dataTotal, this.codeTotal, this.pageFaults, this.protectionFaults] = state.totals;
  }

  /** Returns the figures. Counts are exact; an access that crosses a page counts for both. */
  stats(): CpuStats {
    this.dataTotal += this.dataCount;
    this.codeTotal += this.codeCount;
    this.dataCount = 0;
    this.codeCount = 0;
    const { counts } = this.mmu;
    return {
      dataHits: this.dataTotal + counts.dataHits + counts.dataSecondHits,
      dataSecondHits: counts.dataSecondHits,
      dataMisses: counts.dataMisses,
      codeHits: this.codeTotal + counts.codeHits + counts.codeSecondHits,
      codeSecondHits: counts.codeSecondHits,
      codeMisses: counts.codeMisses,
      walkReads: counts.walkReads,
      pageFaults: this.pageFaults,
      protectionFaults: this.protectionFaults,
    };
  }

  /** Throws `broken-invariant` unless the MMU's structures hold. */
  check(): void {
    this.mmu.check();
  }
}
