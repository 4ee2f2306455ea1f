/**
 * The memory management unit of one CPU: registers, TLB, paging-structure caches and the walk that fills them.
 *
 * A translation comes, in this order, from the first-level TLB, the second-level TLB, a walk from the lowest cached
 * paging-structure entry, a walk from the root. Entries in the TLB stay until they are invalidated or replaced: changes of
 * tables in memory are not noticed, as on hardware. Faults are never cached.
 */
import {
  ACCESS_AC,
  ACCESS_FETCH,
  ACCESS_KIND,
  ACCESS_USER,
  ACCESS_WRITE,
  FAULT_FETCH,
  FAULT_PRESENT,
  FAULT_USER,
  FAULT_WRITE,
  NON_CANONICAL,
  PagingState,
} from "@pagewright/x86-paging";
import { MachineError } from "../errors.ts";
import type { PhysicalMemory } from "../memory/physical-memory.ts";
import type { Pfn, Vpn } from "../units.ts";
import { FastView } from "./fast-view.ts";
import type { MmuCounts, MmuObserver, MmuOptions } from "./mmu-ports.ts";
import { has, isLong, pagingOptionsOf, rootOf } from "./paging-options.ts";
import * as bits from "./registers.ts";
import type { Registers } from "./registers.ts";
import { StructureCaches } from "./structure-caches.ts";
import { FLAG_DIRTY, FLAG_LEVEL_SHIFT, FLAG_RIGHTS } from "./tlb-array.ts";
import { FOUND_SECOND, Tlb } from "./tlb.ts";
import { allowsAccess, Walker } from "./walker.ts";

/** The memory management unit of one CPU. */
export class Mmu {
  /** Memory that holds the tables. */
  declare readonly memory: PhysicalMemory;
  /** Translations. */
  declare readonly tlb: Tlb;
  /** Upper-level entries. */
  declare readonly structures: StructureCaches;
  /** Shortcuts of CPL 0–2 [0] and CPL 3 [1]. */
  declare readonly views: readonly [FastView, FastView];
  /** What decides walks, compiled from the registers. */
  declare readonly state: PagingState;
  /** Figures. */
  declare readonly counts: MmuCounts;
  /** The result of a failed translation: a page-fault error code, or `NON_CANONICAL`. */
  faultCode = 0;
  private watcher: MmuObserver | null = null;
  /**
   * Whether a translation in the TLB that denies an access faults at once, though the tables may allow it by now. Hardware
   * may do either; the default is to look at the tables first.
   */
  spuriousFaults = false;
  /** The PCID in force, 0 without CR4.PCIDE. */
  asid = 0;
  private paged = false;
  readonly #physicalBits: number;
  declare private readonly walker: Walker;
  #registers: Registers;

  /** Creates an MMU with empty caches. */
  constructor(memory: PhysicalMemory, options: MmuOptions) {
    this.memory = memory;
    this.views = [new FastView(), new FastView()];
    this.tlb = new Tlb(options.tlb, this.views);
    this.structures = new StructureCaches(options.tlb);
    this.#physicalBits = options.physicalBits;
    this.#registers = options.registers;
    this.state = new PagingState(pagingOptionsOf(this.#registers, this.#physicalBits));
    this.counts = {
      dataHits: 0,
      dataSecondHits: 0,
      dataMisses: 0,
      codeHits: 0,
      codeSecondHits: 0,
      codeMisses: 0,
      walkReads: 0,
      dirtyAssists: 0,
    };
    this.walker = new Walker(this);
    this.noteRegisters();
  }

  /** Who watches, or null. */
  get observer(): MmuObserver | null {
    return this.watcher;
  }

  /** Lets `observer` watch from now on, or nobody. */
  set observer(observer: MmuObserver | null) {
    this.watcher = observer;
    this.walker.configured(has(this.#registers.cr4, bits.CR4_PGE));
  }

  /** The registers in force. */
  get registers(): Registers {
    return this.#registers;
  }

  private noteRegisters(): void {
    const { cr3Low, cr4 } = this.#registers;
    this.paged = this.state.mode.depth > 0;
    this.asid = isLong(this.state.mode) && has(cr4, bits.CR4_PCIDE) ? cr3Low & 0xfff : 0;
    this.walker.configured(has(cr4, bits.CR4_PGE));
    this.walker.loadPointers(cr3Low);
  }

  /** Changes registers without any invalidation but of the shortcuts; the CPU's register writes invalidate as the manual says. */
  setRegisters(change: Partial<Registers>): void {
    this.#registers = { ...this.#registers, ...change };
    this.state.configure(pagingOptionsOf(this.#registers, this.#physicalBits));
    this.noteRegisters();
    this.dropViews();
  }

  /** Switches the root and PCID only: the cheap part of a MOV to CR3. */
  setRoot(cr3Low: number, cr3High: number): void {
    this.#registers = { ...this.#registers, cr3Low, cr3High };
    this.state.root = rootOf(cr3Low, cr3High);
    this.asid = has(this.#registers.cr4, bits.CR4_PCIDE) ? cr3Low & 0xfff : 0;
    this.walker.loadPointers(cr3Low);
    this.dropViews();
  }

  /** Sets PKRU: TLB entries stay, only the shortcuts are forgotten. */
  setPkru(pkru: number): void {
    this.#registers = { ...this.#registers, pkru };
    this.state.setKeys(this.state.userKeys, this.state.supervisorKeys, pkru, this.#registers.pkrs);
    this.dropViews();
  }

  /** Forgets the shortcuts; translations stay in the TLB. */
  dropViews(): void {
    this.views[0].dropAll();
    this.views[1].dropAll();
  }

  /**
   * Returns the 4K frame that `vpn` translates to for `access` (a sum of x86-paging's ACCESS_ bits), setting accessed and
   * dirty bits, or −1 with `faultCode` set. After success `tlb.flags` holds the translation's flags.
   */
  translate(vpn: Vpn, access: number): Pfn {
    if (!this.paged) return this.unpaged(vpn);
    const fetch = (access & 3) === 2;
    const found = this.tlb.find(vpn, this.asid, fetch);
    if (found !== 0) return this.translateFound(vpn, access, fetch, found);
    if (fetch) this.counts.codeMisses++;
    else this.counts.dataMisses++;
    return this.walker.walk(vpn, access, fetch);
  }

  /** {@link translate} where the TLB has the page. */
  private translateFound(vpn: Vpn, access: number, fetch: boolean, found: number): Pfn {
    const { counts, tlb } = this;
    if (found === FOUND_SECOND) {
      if (fetch) counts.codeSecondHits++;
      else counts.dataSecondHits++;
    } else if (fetch) counts.codeHits++;
    else counts.dataHits++;
    if (!this.allows(tlb.flags, access)) {
      this.forget(vpn);
      if (this.spuriousFaults) {
        this.faultCode = this.errorCode(access, true);
        return -1;
      }
    } else if ((access & 3) !== 1 || (tlb.flags & FLAG_DIRTY) !== 0) {
      if (this.watcher !== null) this.watcher.hit(this, vpn, access, found);
      return tlb.pfn;
    } else {
      counts.dirtyAssists++;
      tlb.dropDataPage(vpn, this.asid, true);
    }
    return this.walker.walk(vpn, access, fetch);
  }

  private unpaged(vpn: Vpn): Pfn {
    const low = vpn & 0xfffff;
    this.tlb.flags = FLAG_RIGHTS + FLAG_DIRTY + 2 ** FLAG_LEVEL_SHIFT;
    this.tlb.pfn = low;
    return low;
  }

  /** Whether an entry's rights and key allow `access` now. */
  allows(flags: number, access: number): boolean {
    return allowsAccess(this.state, flags, access);
  }

  /** What a walk that ends in a fault comes to: invalidates what the fault does, notes the code, and returns −1. */
  faulted(vpn: Vpn, code: number): Pfn {
    this.forget(vpn);
    this.faultCode = code;
    return -1;
  }

  /** The page-fault error code that a denied or missing translation gives for `access`, by the bits P, W, U and I/D. */
  errorCode(access: number, present: boolean): number {
    const kind = access & ACCESS_KIND;
    return (
      (present ? FAULT_PRESENT : 0)
      + (kind === ACCESS_WRITE ? FAULT_WRITE : 0)
      + ((access & ACCESS_USER) === 0 ? 0 : FAULT_USER)
      + (kind === ACCESS_FETCH && this.state.fetchReported ? FAULT_FETCH : 0)
    );
  }

  /** Invalidates what a page fault does: the page's translations, global ones too, and the cached upper-level entries for it. */
  forget(vpn: Vpn): void {
    this.tlb.dropPage(vpn, this.asid, true);
    this.structures.dropPage(vpn, this.asid);
  }

  /**
   * Invalidates what INVLPG does: the page's translations of this PCID and global ones, and every cached upper-level entry
   * of this PCID, whatever its address. Source: SDM 3A, Operations that Invalidate TLBs and Paging-Structure Caches.
   */
  invalidate(vpn: Vpn): void {
    this.tlb.dropPage(vpn, this.asid, true);
    this.structures.dropAll(this.asid);
    if (this.observer !== null) this.observer.invalidated(this, vpn, this.asid, true);
  }

  /** Invalidates one page of any PCID, not global translations: INVPCID type 0. */
  invalidateOf(vpn: Vpn, asid: number): void {
    this.tlb.dropPage(vpn, asid, false);
    this.structures.dropPage(vpn, asid);
    if (this.observer !== null) this.observer.invalidated(this, vpn, asid, false);
  }

  /**
   * Takes a translation into the TLB that no access asked for, as speculation may: only where the walk would succeed for a
   * read at supervisor or user level. Sets accessed bits on the way. Returns whether it did.
   */
  prefetch(vpn: Vpn, access: number): boolean {
    return this.walker.prefetch(vpn, access);
  }

  /** Invalidates all of a PCID (−1: of every one); global translations only with `globals`. */
  flush(asid: number, globals: boolean): void {
    this.tlb.dropAll(asid, globals);
    this.structures.dropAll(asid);
    if (this.observer !== null) this.observer.invalidated(this, NaN, asid, globals);
  }

  /** Throws `broken-invariant` unless TLB and caches hold. */
  check(): void {
    this.tlb.check();
    this.structures.check();
    if (!Number.isInteger(this.asid) || this.asid < 0 || this.asid > 4095)
      throw new MachineError("broken-invariant", `A PCID is in 0 … 4095, not ${this.asid}`);
  }

  /** Whether `code` says that the address was not canonical. */
  static isNonCanonical(code: number): boolean {
    return code === NON_CANONICAL;
  }

  /** The access bits that privilege and EFLAGS.AC add. */
  static modeBits(user: boolean, ac: boolean): number {
    return (user ? ACCESS_USER : 0) + (ac ? ACCESS_AC : 0);
  }
}
