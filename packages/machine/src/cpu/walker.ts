/**
 * Page walks of one MMU: from the lowest cached paging-structure entry, from the root, and exactly, where those leave a case to x86-paging.
 *
 *     walkQuickly    4-level tables, all upper entries used, a 4K leaf: one test per entry             most misses, most first touches
 *     walkLevels     4- and 5-level tables entry by entry: accessed bits, 2M and 1G leaves, observers
 *     walkFromRoot   every mode; decides every fault that is not a page that is plainly absent
 */
import {
  ACCESS_AC,
  ACCESS_KIND,
  ACCESS_USER,
  isKeyDenied,
  MODE_PAE,
  TRANSLATED,
  Walk,
  walkMarking,
} from "@pagewright/x86-paging";
import type { PagingState } from "@pagewright/x86-paging";
import type { PhysicalMemory } from "../memory/physical-memory.ts";
import type { Pfn, Vpn } from "../units.ts";
import type { Mmu } from "./mmu.ts";
import type { MmuCounts } from "./mmu-ports.ts";
import type { StructureCaches } from "./structure-caches.ts";
import { FLAG_LEVEL_SHIFT, FLAG_PAT_SHIFT, FLAG_RIGHTS } from "./tlb-array.ts";
import { FOUND_NOWHERE, PAGES_1G, PAGES_2M } from "./tlb.ts";
import type { Tlb } from "./tlb.ts";

/** By level: what brings the bits of a page number that select an entry down to bits 8:0. */
const INDEX_SCALE: Float64Array = Float64Array.from([0, 1, 2 ** -9, 2 ** -18, 2 ** -27, 2 ** -36]);

const ACCESSED = 0x20;
const DIRTY = 0x40;
const LARGE = 0x80;
const GLOBAL = 0x100;
/** Bits of the low word of an upper entry of which a quick walk looks: P, A and, set in none, the bit that would make it a leaf. */
const TABLE_BITS = 0xa1;
/** P and A. */
const USED = 0x21;
/** What a quick walk comes to instead of a frame: the exact walk must decide; */
const ODD = -1;
/** the tables have no page there; */
const ABSENT = -2;
/** the table that a cached entry leads to has no page there. */
const UNSURE = -3;
/** Bits of accesses whose faults need no more than the error code's plain bits. */
const PLAIN_ACCESS = ACCESS_KIND + ACCESS_USER + ACCESS_AC;

/*
 * Hot: FLAG_ and ACCESS_ bits stand below as literals, because an imported constant is loaded and checked at every use.
 */

/** Whether an entry's rights and key (see the FLAG_ constants) allow `access` now. */
export function allowsAccess(state: PagingState, flags: number, access: number): boolean {
  if (state.allowed[(access & 63) * 32 + (flags & 31)]! === 0) return false;
  return state.keyed === 0 || !isKeyDenied(state, flags & 31, (flags >>> 8) & 15, access);
}

/** Rights that the words of an entry of 4-level tables give: U and W where they are, R and X in user mode always, X unless NX. */
function rightsOf(low: number, high: number): number {
  return (low & 6) + 17 + (~(high >>> 28) & 8);
}

/** Walks for one MMU and fills its TLB and paging-structure caches. */
export class Walker {
  /** Of the compiled state: bits of high words that are left to the exact walk. */
  private oddHigh = 0;
  /** The G bit of leaves, 0 where CR4.PGE is not set. */
  private global = 0;
  declare private readonly mmu: Mmu;
  declare private readonly memory: PhysicalMemory;
  declare private readonly state: PagingState;
  declare private readonly tlb: Tlb;
  declare private readonly structures: StructureCaches;
  declare private readonly counts: MmuCounts;
  /** Host memory: held here because reading it through the memory costs three dependent loads. */
  declare private words: Uint32Array;
  /** Rights accumulated by {@link tableOf}. */
  private rights = 0;
  /** Level of the table in which the last quick walk began. */
  private from = 0;
  /** Pages that are canonical and that these walks serve are at least −limit and less than limit. */
  private limit = 0;
  /** Whether {@link walkQuickly} is of use. */
  private quick = false;
  private readonly record = new Walk();

  /** Creates the walker of `mmu`, whose other parts are there. */
  constructor(mmu: Mmu) {
    const { memory, state, tlb, structures, counts } = mmu;
    this.mmu = mmu;
    this.memory = memory;
    this.state = state;
    this.tlb = tlb;
    this.structures = structures;
    this.counts = counts;
    this.words = memory.host.words;
    memory.onMove(() => {
      this.words = memory.host.words;
    });
  }

  /** To be called when the state was compiled anew. */
  configured(globals: boolean): void {
    this.global = globals ? GLOBAL : 0;
    this.oddHigh = this.state.oddHigh;
    this.limit = [0, 0, 0, 0, 2 ** 35, 2 ** 44][this.state.unrolled] ?? 0;
    this.quick = this.state.unrolled === 4 && this.mmu.observer === null;
  }

  /** Loads the four PAE page-directory pointers where the mode has them. Source: SDM 3A, PDPTE Registers. */
  loadPointers(cr3Low: number): void {
    if (this.state.mode !== MODE_PAE) return;
    const base = Math.floor(cr3Low / 32) * 32;
    for (let word = 0; word < 8; word++) this.state.rootEntries[word] = this.memory.read(base + word * 4, 4);
  }

  /** Walks for an access whose page the TLB does not have, and takes the translation in: the frame, or −1 after `mmu.faulted`. */
  walk(vpn: Vpn, access: number, fetch: boolean): Pfn {
    if (vpn >= this.limit || vpn < -this.limit) return this.walkFromRoot(vpn, access, fetch);
    const pfn = this.quick ? this.walkQuickly(vpn, access, fetch) : ODD;
    return pfn >= 0 ? pfn : this.walkExactly(vpn, access, fetch, pfn);
  }

  /** The walk that decides, after a quick one that came to `found`. */
  private walkExactly(vpn: Vpn, access: number, fetch: boolean, found: number): Pfn {
    if (found === ODD) {
      const pfn = this.walkLevels(vpn, access, fetch, this.structures.find(vpn, this.mmu.asid));
      if (pfn >= 0) return pfn;
    }
    const absent = (access & ~PLAIN_ACCESS) === 0 && (found === ABSENT || this.isAbsent(vpn));
    return absent ? this.mmu.faulted(vpn, this.mmu.errorCode(access, false)) : this.walkFromRoot(vpn, access, fetch);
  }

  /** Takes a translation in that nobody asked for; false where a walk for `access` does not succeed. */
  prefetch(vpn: Vpn, access: number): boolean {
    if (vpn >= this.limit || vpn < -this.limit) return false;
    return this.tlb.find(vpn, this.mmu.asid, false) === FOUND_NOWHERE && this.walkDown(vpn, access, false) >= 0;
  }

  /** The walk from the lowest cached entry on, for 4- and 5-level tables; a negative number where it does not end in a frame. */
  private walkDown(vpn: Vpn, access: number, fetch: boolean): Pfn {
    const pfn = this.quick ? this.walkQuickly(vpn, access, fetch) : ODD;
    return pfn === ODD ? this.walkLevels(vpn, access, fetch, this.structures.find(vpn, this.mmu.asid)) : pfn;
  }

  /**
   * The walk where nothing is odd: 4-level tables in plain memory, upper entries with A set, a 4K leaf, the access is allowed. From the
   * cached entry that refers to a table of `level`, or from the root (0). Returns the frame, `ABSENT` where the tables, read from the
   * root, plainly have no page there, `UNSURE` where a table that was cached has none, or `ODD`; then nothing has changed in memory.
   */
  private walkQuickly(vpn: Vpn, access: number, fetch: boolean): Pfn {
    const { words, structures, state } = this;
    const { asid } = this.mmu;
    let table: Pfn;
    const cached = !structures.absent;
    if (cached && structures.findDirectory(vpn, asid)) {
      table = structures.pd.table;
      this.rights = structures.pd.rights;
      this.from = 1;
    } else table = this.tableOf(vpn, cached && !structures.isVoid(vpn, asid));
    const place = this.memory.placeOfTable(table);
    if (place <= 0) return ODD;
    const at = place - 1 + (vpn & 511) * 2;
    const low = words[at]! | 0;
    const high = words[at + 1]! | 0;
    if ((low & 1) === 0) return this.from === 4 ? ABSENT : UNSURE;
    if ((high & this.oddHigh) !== 0) return ODD;
    const marked = low | ACCESSED | ((access & 1) * DIRTY);
    const flags = this.flagsOf(marked, high, this.rights & rightsOf(low, high));
    if (!allowsAccess(state, flags, access)) return ODD;
    if (marked !== low && !this.mark(words, at, low, marked)) return ODD;
    this.counts.walkReads += this.from;
    const pfn = ((high & 0x7ff) << 20) | (low >>> 12);
    this.tlb.fillPage(vpn, asid, pfn, flags, fetch);
    return pfn;
  }

  /**
   * The frame of the page table for `vpn`, of whose PD entry the caches know nothing, and the rights down to it; −1 where an entry is odd. With
   * `keeps` the walk begins at the lowest cached entry, and the caches take in what is read; without it begins at the root.
   */
  private tableOf(vpn: Vpn, keeps: boolean): Pfn {
    const { pd, pdpt } = this.structures;
    const { asid } = this.mmu;
    let table: Pfn;
    if (keeps && pdpt.look(vpn, asid)) {
      this.from = 2;
      table = pdpt.table;
      this.rights = pdpt.rights;
    } else {
      table = this.below(this.pointersOf(vpn, keeps), vpn >>> 18);
      if (keeps && table >= 0) pdpt.fill(vpn, asid, table, this.rights);
    }
    table = this.below(table, vpn >>> 9);
    if (keeps && table >= 0) pd.fill(vpn, asid, table, this.rights);
    return table;
  }

  /** The frame of the page-directory-pointer table for `vpn`, as {@link tableOf} that of the page table. */
  private pointersOf(vpn: Vpn, keeps: boolean): Pfn {
    const { pml4 } = this.structures;
    const { asid } = this.mmu;
    if (keeps && pml4.look(vpn, asid)) {
      this.from = 3;
      this.rights = pml4.rights;
      return pml4.table;
    }
    this.from = 4;
    this.rights = 31;
    const table = this.below(this.state.root, Math.floor(vpn * 2 ** -27));
    if (keeps && table >= 0) pml4.fill(vpn, asid, table, this.rights);
    return table;
  }

  /** The frame that entry `index` mod 512 of a table refers to, −1 where it is odd; takes the rights that it denies. */
  private below(table: Pfn, index: number): Pfn {
    const place = this.memory.placeOfTable(table);
    if (place <= 0) return -1;
    const { words } = this;
    const at = place - 1 + (index & 511) * 2;
    const low = words[at]! | 0;
    const high = words[at + 1]! | 0;
    if ((((low & TABLE_BITS) ^ USED) | (high & this.oddHigh)) !== 0) return -1;
    this.rights &= rightsOf(low, high);
    return ((high & 0x7ff) << 20) | (low >>> 12);
  }

  /** Makes an entry that reads `low` read `marked`; false: another thread has changed it. Alone with its memory, no exchange is needed (10 ns). */
  private mark(words: Uint32Array, at: number, low: number, marked: number): boolean {
    if (this.memory.host.shared) return Atomics.compareExchange(words, at, low, marked) === low >>> 0;
    words[at] = marked;
    return true;
  }

  /**
   * Whether the tables, read from the root as they are now, plainly have no page there: all entries above are in order, that of the
   * page is not present. What most faults come to; others are decided by the exact walk.
   */
  private isAbsent(vpn: Vpn): boolean {
    if (this.state.unrolled !== 4) return false;
    const place = this.memory.placeOfTable(this.tableOf(vpn, false));
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
      const place = this.memory.placeOfTable(table);
      if (place <= 0) return -1;
      const words = this.words;
      const at = place - 1 + index * 2;
      const low = words[at]!;
      const high = words[at + 1]!;
      this.counts.walkReads++;
      if (this.mmu.observer !== null) this.mmu.observer.entryRead(this.mmu, table, index * 8, vpn, level);
      const leaf = level === 1 || (level <= 3 && (low & LARGE) !== 0);
      if ((low & 1) === 0 || this.isReserved(level, leaf, low, high)) return -1;
      rights &= (low & 6) + 1 + ((high >>> 28) & 8 ? 0 : 8) + 16;
      if (leaf) return this.finish(vpn, access, fetch, words, at, level, rights);
      if ((low & ACCESSED) === 0 && !this.mark(words, at, low, low | ACCESSED)) continue;
      table = (high & 0xfffff) * 0x100000 + (low >>> 12);
      this.structures.fill(level, vpn, this.mmu.asid, table, rights);
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
    const low = words[at]!;
    const high = words[at + 1]!;
    const marked = low | ACCESSED | ((access & 1) * DIRTY);
    if (!allowsAccess(this.state, this.flagsOf(marked, high, rights), access)) return -1;
    if (marked !== (low | 0) && !this.mark(words, at, low, marked)) return -1;
    const frame = (high & 0xfffff) * 0x100000 + (low >>> 12);
    this.enter(vpn, level, level === 1 ? frame : largeFrame(frame, level), marked, high, rights, fetch);
    if (this.mmu.observer !== null) this.mmu.observer.filled(this.mmu, vpn, access, null);
    return this.tlb.pfn;
  }

  private enter(vpn: Vpn, level: number, frame: Pfn, low: number, high: number, rights: number, fetch: boolean): void {
    const large = ((low >>> 10) & 4) << FLAG_PAT_SHIFT;
    const flags = this.flagsOf(level === 1 ? low : (low & ~LARGE) | 0, high, rights);
    const size = (level - 1) << FLAG_LEVEL_SHIFT;
    this.tlb.fill(vpn, this.mmu.asid, frame, level === 1 ? flags : (flags | large) + size, fetch);
  }

  /** The flags of a 4K leaf: rights, D, G, key, PAT, level 1. */
  private flagsOf(low: number, high: number, rights: number): number {
    const pat = ((low << 7) & 0x4000) | ((low << 9) & 0x3000);
    return rights | ((low >>> 1) & 32) | ((low & this.global) >>> 2) | ((high >>> 19) & 0xf00) | pat | 0x10000;
  }

  /** The exact walk: decides faults, and serves the modes that have no caches of their own. */
  private walkFromRoot(vpn: Vpn, access: number, fetch: boolean): Pfn {
    const { record } = this;
    const low = (vpn & 0xfffff) * 4096;
    const high = Math.floor(vpn / 2 ** 20) >>> 0;
    const code = walkMarking(this.state, this.memory, low, high, access, record);
    if (code !== TRANSLATED) return this.mmu.faulted(vpn, code);
    this.structures.dropPage(vpn, this.mmu.asid);
    this.enterWalk(vpn, record, fetch);
    if (this.mmu.observer !== null) this.mmu.observer.filled(this.mmu, vpn, access, record);
    return this.tlb.pfn;
  }

  /** A 4M page of 32-bit paging is held as two 2M pieces. */
  private enterWalk(vpn: Vpn, walk: Walk, fetch: boolean): void {
    const level = walk.level;
    const pages = level === 1 ? 1 : level === 2 ? PAGES_2M : PAGES_1G;
    const first = walk.pfn - (vpn - Math.floor(vpn / pages) * pages);
    this.enter(vpn, level, first, walk.low, walk.high, walk.rights, fetch);
  }
}

/** The first 4K frame of a 2M or 1G leaf: the PAT bit (12) and what must be zero are no address bits. */
function largeFrame(frame: Pfn, level: number): Pfn {
  const pages = level === 2 ? PAGES_2M : PAGES_1G;
  return Math.floor(frame / pages) * pages;
}
