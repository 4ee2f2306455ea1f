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
  isKeyDenied,
  MODE_32_BIT,
  MODE_32_BIT_NO_PSE,
  MODE_4_LEVEL,
  MODE_5_LEVEL,
  MODE_PAE,
  MODE_UNPAGED,
  NON_CANONICAL,
  PagingState,
  TRANSLATED,
  Walk,
  walkMarking,
} from "@pagewright/x86-paging";
import type { PagingMode, PagingOptions } from "@pagewright/x86-paging";
import { MachineError } from "../errors.ts";
import type { PhysicalMemory } from "../memory/physical-memory.ts";
import type { Pfn, Vpn } from "../units.ts";
import { FastView } from "./fast-view.ts";
import type { MmuCounts, MmuObserver, MmuOptions } from "./mmu-ports.ts";
import { QuickWalk, rightsOf } from "./quick-walk.ts";
import * as bits from "./registers.ts";
import type { Registers } from "./registers.ts";
import { StructureCaches } from "./structure-caches.ts";
import { FLAG_DIRTY, FLAG_KEY_SHIFT, FLAG_LEVEL_SHIFT, FLAG_PAT_SHIFT, FLAG_RIGHTS } from "./tlb-array.ts";
import { FOUND_FIRST, FOUND_NOWHERE, PAGES_1G, PAGES_2M, Tlb } from "./tlb.ts";

const has = (word: number, bit: number): boolean => Math.floor(word / bit) % 2 === 1;
/** By level: what brings the bits of a page number that select an entry down to bits 8:0. */
const INDEX_SCALE: Float64Array = Float64Array.from([0, 1, 2 ** -9, 2 ** -18, 2 ** -27, 2 ** -36]);

const ACCESSED = 0x20;
const DIRTY = 0x40;
const LARGE = 0x80;
const GLOBAL = 0x100;
/** What a quick walk comes to instead of a frame: the exact walk must decide; */
const ODD = -1;
/** the tables have no page there; */
const ABSENT = -2;
/** the table that a cached entry leads to has no page there. */
const UNSURE = -3;
/** Bits of accesses whose faults need no more than the error code's plain bits. */
const PLAIN_ACCESS = ACCESS_KIND + ACCESS_USER + ACCESS_AC;

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
  /** Who watches, or null. */
  observer: MmuObserver | null = null;
  /**
   * Whether a translation in the TLB that denies an access faults at once, though the tables may allow it by now. Hardware
   * may do either; the default is to look at the tables first.
   */
  spuriousFaults = false;
  /** The PCID in force, 0 without CR4.PCIDE. */
  asid = 0;
  readonly #physicalBits: number;
  private readonly walk = new Walk();
  /** Of the lower half of the address space and of the upper one: so that a kernel's pages do not push out what was seen of a program's. */
  declare private readonly lowerWalk: QuickWalk;
  declare private readonly upperWalk: QuickWalk;
  /** Host memory; see `QuickWalk`. */
  declare private words: Uint32Array;
  /** Canonical pages are at least −limit and less than limit. */
  private limit = 0;
  #registers: Registers;
  private globals = false;

  /** Creates an MMU with empty caches. */
  constructor(memory: PhysicalMemory, options: MmuOptions) {
    this.memory = memory;
    this.views = [new FastView(), new FastView()];
    this.tlb = new Tlb(options.tlb, this.views);
    this.structures = new StructureCaches(options.tlb);
    this.#physicalBits = options.physicalBits;
    this.#registers = options.registers;
    this.state = new PagingState(this.options());
    this.lowerWalk = new QuickWalk(memory, this.state);
    this.upperWalk = new QuickWalk(memory, this.state);
    this.words = memory.host.words;
    memory.onMove(() => {
      this.words = memory.host.words;
    });
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
    this.noteRegisters();
  }

  /** The registers in force. */
  get registers(): Registers {
    return this.#registers;
  }

  /** The walk record of the last fill or fault: for diagnosis. */
  get lastWalk(): Walk {
    return this.walk;
  }

  private mode(): PagingMode {
    const { cr0, cr4, efer } = this.#registers;
    if (!has(cr0, bits.CR0_PG)) return MODE_UNPAGED;
    if (!has(cr4, bits.CR4_PAE)) return has(cr4, bits.CR4_PSE) ? MODE_32_BIT : MODE_32_BIT_NO_PSE;
    if (!has(efer, bits.EFER_LME)) return MODE_PAE;
    return has(cr4, bits.CR4_LA57) ? MODE_5_LEVEL : MODE_4_LEVEL;
  }

  /** What the registers say of walks. */
  private options(): PagingOptions {
    const { cr0, cr3Low, cr3High, cr4, efer, pkru, pkrs } = this.#registers;
    const mode = this.mode();
    const long = mode === MODE_4_LEVEL || mode === MODE_5_LEVEL;
    return {
      mode,
      root: (cr3High & 0xfffff) * 2 ** 20 + Math.floor(cr3Low / 4096),
      maxPhysicalBits: Math.min(this.#physicalBits, mode.definition.physicalBits),
      noExecute: has(efer, bits.EFER_NXE),
      writeProtect: has(cr0, bits.CR0_WP),
      smep: has(cr4, bits.CR4_SMEP),
      smap: has(cr4, bits.CR4_SMAP),
      userKeys: long && has(cr4, bits.CR4_PKE),
      supervisorKeys: long && has(cr4, bits.CR4_PKS),
      pkru,
      pkrs,
    };
  }

  private noteRegisters(): void {
    const { cr3Low, cr4 } = this.#registers;
    const { mode } = this.state;
    const long = mode === MODE_4_LEVEL || mode === MODE_5_LEVEL;
    this.globals = has(cr4, bits.CR4_PGE);
    this.limit = this.state.unrolled === 5 ? 2 ** 44 : 2 ** 35;
    this.asid = long && has(cr4, bits.CR4_PCIDE) ? cr3Low & 0xfff : 0;
    if (mode === MODE_PAE) this.loadPointers(cr3Low);
  }

  /** Loads the four PAE page-directory pointers. Source: SDM 3A, PDPTE Registers. */
  private loadPointers(cr3Low: number): void {
    const base = Math.floor(cr3Low / 32) * 32;
    for (let word = 0; word < 8; word++) this.state.rootEntries[word] = this.memory.read(base + word * 4, 4);
  }

  /** Changes registers without any invalidation but of the shortcuts; the CPU's register writes invalidate as the manual says. */
  setRegisters(change: Partial<Registers>): void {
    this.#registers = { ...this.#registers, ...change };
    this.state.configure(this.options());
    this.lowerWalk.forget();
    this.upperWalk.forget();
    this.noteRegisters();
    this.dropViews();
  }

  /** Switches the root and PCID only: the cheap part of a MOV to CR3. */
  setRoot(cr3Low: number, cr3High: number): void {
    this.#registers = { ...this.#registers, cr3Low, cr3High };
    this.state.root = (cr3High & 0xfffff) * 2 ** 20 + Math.floor(cr3Low / 4096);
    this.asid = has(this.#registers.cr4, bits.CR4_PCIDE) ? cr3Low & 0xfff : 0;
    if (this.state.mode === MODE_PAE) this.loadPointers(cr3Low);
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
    if (this.state.mode.depth === 0) return this.unpaged(vpn);
    const fetch = (access & ACCESS_KIND) === ACCESS_FETCH;
    const found = this.tlb.find(vpn, this.asid, fetch);
    this.count(found, fetch);
    if (found !== FOUND_NOWHERE) {
      const flags = this.tlb.flags;
      if (this.allows(flags, access)) {
        if ((access & ACCESS_KIND) !== ACCESS_WRITE || (flags & FLAG_DIRTY) !== 0) {
          if (this.observer !== null) this.observer.hit(this, vpn, access, found);
          return this.tlb.pfn;
        }
        this.counts.dirtyAssists++;
      } else {
        this.forget(vpn);
        if (this.spuriousFaults) {
          this.faultCode = this.errorCode(access, true);
          return -1;
        }
      }
    }
    return this.fill(vpn, access, fetch);
  }

  private unpaged(vpn: Vpn): Pfn {
    const low = vpn & 0xfffff;
    this.tlb.flags = FLAG_RIGHTS + FLAG_DIRTY + 2 ** FLAG_LEVEL_SHIFT;
    this.tlb.pfn = low;
    return low;
  }

  private count(found: number, fetch: boolean): void {
    const counts = this.counts;
    if (found === FOUND_FIRST) {
      if (fetch) counts.codeHits++;
      else counts.dataHits++;
    } else if (found === FOUND_NOWHERE) {
      if (fetch) counts.codeMisses++;
      else counts.dataMisses++;
    } else if (fetch) counts.codeSecondHits++;
    else counts.dataSecondHits++;
  }

  /** Whether an entry's rights and key allow `access` now. */
  allows(flags: number, access: number): boolean {
    const rights = flags & FLAG_RIGHTS;
    if (this.state.allowed[(access & 63) * 32 + rights]! === 0) return false;
    return this.state.keyed === 0 || !isKeyDenied(this.state, rights, (flags >>> FLAG_KEY_SHIFT) & 15, access);
  }

  private fill(vpn: Vpn, access: number, fetch: boolean): Pfn {
    if (this.state.unrolled !== 0 && this.isCanonical(vpn)) {
      const pfn = this.walkDown(vpn, access, fetch);
      if (pfn >= 0) return pfn;
      if ((access & ~PLAIN_ACCESS) === 0 && (pfn === ABSENT || this.isAbsent(vpn))) {
        this.forget(vpn);
        this.faultCode = this.errorCode(access, false);
        return -1;
      }
    }
    return this.walkFromRoot(vpn, access, fetch);
  }

  private isCanonical(vpn: Vpn): boolean {
    return vpn < this.limit && vpn >= -this.limit;
  }

  /** The walk from the lowest cached entry on, for 4- and 5-level tables; −1 where anything is odd. */
  private walkDown(vpn: Vpn, access: number, fetch: boolean): Pfn {
    const level = this.structures.find(vpn, this.asid);
    const pfn = this.observer === null ? this.walkQuickly(vpn, access, fetch, level) : ODD;
    return pfn === ODD ? this.walkLevels(vpn, access, fetch, level) : pfn;
  }

  /**
   * The walk where nothing is odd: upper entries have A set, the leaf is a 4K page, the access is allowed. Returns the frame, `ABSENT`
   * where the tables, read from the root, plainly have no page there, or `ODD`, in which cases nothing has changed.
   */
  private walkQuickly(vpn: Vpn, access: number, fetch: boolean, level: number): Pfn {
    const quick = vpn < 0 ? this.upperWalk : this.lowerWalk;
    const place = level === 1 ? this.memory.place(this.structures.table) : this.tableAbove(quick, vpn, level);
    if (place <= 0) return ODD;
    const above = level === 1 ? this.structures.rights : quick.rights;
    const { words } = this;
    const at = place - 1 + (vpn & 511) * 2;
    const low = words[at]!;
    const high = words[at + 1]!;
    if ((low & 1) === 0) return level === 0 ? ABSENT : UNSURE;
    if ((high & this.state.oddHigh) !== 0) return ODD;
    const rights = above & rightsOf(low, high);
    if (!this.allows(rights + (((high >>> 27) & 15) << FLAG_KEY_SHIFT), access)) return ODD;
    const unset = ~low & (ACCESSED + ((access & ACCESS_KIND) === ACCESS_WRITE ? DIRTY : 0));
    if (unset !== 0 && !this.mark(words, at, low, unset)) return ODD;
    this.counts.walkReads += level === 0 ? 4 : level;
    if (level !== 1 && !this.structures.isVoid(vpn, this.asid)) quick.remember(this.structures, level, vpn, this.asid);
    const flags = this.flagsOf(1, low | unset, high, rights);
    const pfn = ((high & 0x7ff) << 20) | (low >>> 12);
    this.tlb.fillPage(vpn, this.asid, pfn, flags, fetch);
    return pfn;
  }

  /** Sets bits of an entry that reads `low`; false: another thread has changed it. Alone with its memory, no exchange is needed (10 ns). */
  private mark(words: Uint32Array, at: number, low: number, bits: number): boolean {
    if (this.memory.host.shared) return Atomics.compareExchange(words, at, low, low | bits) === low;
    words[at] = low | bits;
    return true;
  }

  /** The place of the page table, from the root (`level` 0) or from the table of `level` that the caches know; ≤ 0: see `QuickWalk`. */
  private tableAbove(quick: QuickWalk, vpn: Vpn, level: number): number {
    const { structures } = this;
    if (this.state.unrolled !== 4) return 0;
    return level === 0 ? quick.table(vpn) : quick.tableBelow(level, structures.table, structures.rights, vpn);
  }

  /**
   * Whether the tables, read from the root as they are now, plainly have no page there: all entries above are in order, that of the
   * page is not present. What most faults come to; others are decided by the exact walk.
   */
  private isAbsent(vpn: Vpn): boolean {
    if (this.state.unrolled !== 4) return false;
    const place = (vpn < 0 ? this.upperWalk : this.lowerWalk).table(vpn);
    return place > 0 && (this.words[place - 1 + (vpn & 511) * 2]! & 1) === 0;
  }

  /** The exact form of the walk: sets accessed bits on the way, fills the paging-structure caches, tells the observer. */
  private walkLevels(vpn: Vpn, access: number, fetch: boolean, from: number): Pfn {
    let level = from;
    let table = this.state.root;
    let rights = FLAG_RIGHTS;
    this.structures.settle();
    if (level === 0) level = this.state.unrolled;
    else {
      table = this.structures.table;
      rights = this.structures.rights;
    }
    for (;;) {
      const index = Math.floor(vpn * INDEX_SCALE[level]!) & 511;
      const place = this.memory.place(table);
      if (place <= 0) return -1;
      const words = this.words;
      const at = place - 1 + index * 2;
      const low = words[at]!;
      const high = words[at + 1]!;
      this.counts.walkReads++;
      if (this.observer !== null) this.observer.entryRead(this, table, index * 8);
      const leaf = level === 1 || (level <= 3 && (low & LARGE) !== 0);
      if ((low & 1) === 0 || this.isReserved(level, leaf, low, high)) return -1;
      rights &= (low & 6) + 1 + ((high >>> 28) & 8 ? 0 : 8) + 16;
      if (leaf) return this.finish(vpn, access, fetch, words, at, level, rights);
      if ((low & ACCESSED) === 0 && !this.mark(words, at, low, ACCESSED)) continue;
      table = (high & 0xfffff) * 0x100000 + (low >>> 12);
      this.structures.fill(level, vpn, this.asid, table, rights);
      level--;
    }
  }

  private isReserved(level: number, leaf: boolean, low: number, high: number): boolean {
    const { state } = this;
    const lowMask = leaf ? state.reservedLeafLow : state.reservedTableLow;
    const highMask = leaf ? state.reservedLeafHigh : state.reservedTableHigh;
    return ((low & lowMask[level]!) | (high & highMask[level]!)) !== 0;
  }

  private finish(
    vpn: Vpn,
    access: number,
    fetch: boolean,
    words: Uint32Array,
    at: number,
    level: number,
    rights: number,
  ): Pfn {
    const write = (access & ACCESS_KIND) === ACCESS_WRITE;
    const low = words[at]!;
    const high = words[at + 1]!;
    const key = (high >>> 27) & 15;
    if (!this.allows(rights + (key << FLAG_KEY_SHIFT), access)) return -1;
    const marked = (low | ACCESSED | (write ? DIRTY : 0)) >>> 0;
    if (marked !== low && !this.mark(words, at, low, marked - low)) return -1;
    const frame = (high & 0xfffff) * 0x100000 + (low >>> 12);
    this.enter(vpn, level, level === 1 ? frame : largeFrame(frame, level), marked, high, rights, fetch);
    if (this.observer !== null) this.observer.filled(this, vpn, access);
    return this.tlb.pfn;
  }

  private enter(vpn: Vpn, level: number, frame: Pfn, low: number, high: number, rights: number, fetch: boolean): void {
    this.tlb.fill(vpn, this.asid, frame, this.flagsOf(level, low, high, rights), fetch);
  }

  private flagsOf(level: number, low: number, high: number, rights: number): number {
    const pat = ((level === 1 ? low >>> 5 : low >>> 10) & 4) | ((low >>> 3) & 3);
    return (
      rights
      | ((low & DIRTY) >>> 1)
      | (this.globals ? (low & GLOBAL) >>> 2 : 0)
      | (((high >>> 27) & 15) << FLAG_KEY_SHIFT)
      | (pat << FLAG_PAT_SHIFT)
      | (level << FLAG_LEVEL_SHIFT)
    );
  }

  /** The exact walk: decides faults, and serves the modes that have no caches of their own. */
  private walkFromRoot(vpn: Vpn, access: number, fetch: boolean): Pfn {
    const walk = this.walk;
    const low = (vpn & 0xfffff) * 4096;
    const high = Math.floor(vpn / 2 ** 20) >>> 0;
    const code = walkMarking(this.state, this.memory, low, high, access, walk);
    if (code !== TRANSLATED) {
      this.forget(vpn);
      this.faultCode = code;
      return -1;
    }
    this.structures.dropPage(vpn, this.asid);
    this.enterWalk(vpn, walk, fetch);
    if (this.observer !== null) this.observer.filled(this, vpn, access);
    return this.tlb.pfn;
  }

  /** A 4M page of 32-bit paging is held as two 2M pieces. */
  private enterWalk(vpn: Vpn, walk: Walk, fetch: boolean): void {
    const level = walk.level;
    const pages = level === 1 ? 1 : level === 2 ? PAGES_2M : PAGES_1G;
    const first = walk.pfn - (vpn - Math.floor(vpn / pages) * pages);
    this.enter(vpn, level, first, walk.low, walk.high, walk.rights, fetch);
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
    if (this.observer !== null) this.observer.invalidated(this, vpn);
  }

  /** Invalidates one page of any PCID, not global translations: INVPCID type 0. */
  invalidateOf(vpn: Vpn, asid: number): void {
    this.tlb.dropPage(vpn, asid, false);
    this.structures.dropPage(vpn, asid);
    if (this.observer !== null) this.observer.invalidated(this, vpn);
  }

  /**
   * Takes a translation into the TLB that no access asked for, as speculation may: only where the walk would succeed for a
   * read at supervisor or user level. Sets accessed bits on the way. Returns whether it did.
   */
  prefetch(vpn: Vpn, access: number): boolean {
    if (this.state.unrolled === 0 || !this.isCanonical(vpn)) return false;
    return this.tlb.find(vpn, this.asid, false) === FOUND_NOWHERE && this.walkDown(vpn, access, false) >= 0;
  }

  /** Invalidates all of a PCID (−1: of every one); global translations only with `globals`. */
  flush(asid: number, globals: boolean): void {
    this.tlb.dropAll(asid, globals);
    this.structures.dropAll(asid);
    if (this.observer !== null) this.observer.invalidated(this, NaN);
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

/** The first 4K frame of a 2M or 1G leaf: the PAT bit (12) and what must be zero are no address bits. */
function largeFrame(frame: Pfn, level: number): Pfn {
  const pages = level === 2 ? PAGES_2M : PAGES_1G;
  return Math.floor(frame / pages) * pages;
}
