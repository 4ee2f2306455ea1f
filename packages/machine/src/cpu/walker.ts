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
  ACCESS_WRITE,
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
import { QuickWalk, rightsOf } from "./quick-walk.ts";
import type { StructureCaches } from "./structure-caches.ts";
import { FLAG_KEY_SHIFT, FLAG_LEVEL_SHIFT, FLAG_PAT_SHIFT, FLAG_RIGHTS } from "./tlb-array.ts";
import { FOUND_NOWHERE, PAGES_1G, PAGES_2M } from "./tlb.ts";
import type { Tlb } from "./tlb.ts";

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

/** Whether an entry's rights and key (see the FLAG_ constants) allow `access` now. */
export function allowsAccess(state: PagingState, flags: number, access: number): boolean {
  const rights = flags & FLAG_RIGHTS;
  if (state.allowed[(access & 63) * 32 + rights]! === 0) return false;
  return state.keyed === 0 || !isKeyDenied(state, rights, (flags >>> FLAG_KEY_SHIFT) & 15, access);
}

/** Walks for one MMU and fills its TLB and paging-structure caches. */
export class Walker {
  /** CR4.PGE. */
  globals = false;
  declare private readonly mmu: Mmu;
  declare private readonly memory: PhysicalMemory;
  declare private readonly state: PagingState;
  declare private readonly tlb: Tlb;
  declare private readonly structures: StructureCaches;
  declare private readonly counts: MmuCounts;
  /** Of the lower half of the address space and of the upper one: so that a kernel's pages do not push out what was seen of a program's. */
  declare private readonly lowerWalk: QuickWalk;
  declare private readonly upperWalk: QuickWalk;
  /** Host memory; see `QuickWalk`. */
  declare private words: Uint32Array;
  /** Canonical pages are at least −limit and less than limit. */
  private limit = 0;
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
    this.lowerWalk = new QuickWalk(memory, state);
    this.upperWalk = new QuickWalk(memory, state);
    this.words = memory.host.words;
    memory.onMove(() => {
      this.words = memory.host.words;
      structures.forgetPlaces();
    });
  }

  /** To be called when the state was compiled anew. */
  configured(globals: boolean): void {
    this.globals = globals;
    this.limit = this.state.unrolled === 5 ? 2 ** 44 : 2 ** 35;
    this.lowerWalk.forget();
    this.upperWalk.forget();
  }

  /** Loads the four PAE page-directory pointers where the mode has them. Source: SDM 3A, PDPTE Registers. */
  loadPointers(cr3Low: number): void {
    if (this.state.mode !== MODE_PAE) return;
    const base = Math.floor(cr3Low / 32) * 32;
    for (let word = 0; word < 8; word++) this.state.rootEntries[word] = this.memory.read(base + word * 4, 4);
  }

  /** Walks for an access whose page the TLB does not have, and takes the translation in: the frame, or −1 after `mmu.faulted`. */
  walk(vpn: Vpn, access: number, fetch: boolean): Pfn {
    if (this.state.unrolled !== 0 && vpn < this.limit && vpn >= -this.limit) {
      const pfn = this.walkDown(vpn, access, fetch);
      if (pfn >= 0) return pfn;
      if ((access & ~PLAIN_ACCESS) === 0 && (pfn === ABSENT || this.isAbsent(vpn)))
        return this.mmu.faulted(vpn, this.mmu.errorCode(access, false));
    }
    return this.walkFromRoot(vpn, access, fetch);
  }

  /** Takes a translation in that nobody asked for; false where a walk for `access` does not succeed. */
  prefetch(vpn: Vpn, access: number): boolean {
    if (this.state.unrolled === 0 || vpn >= this.limit || vpn < -this.limit) return false;
    return this.tlb.find(vpn, this.mmu.asid, false) === FOUND_NOWHERE && this.walkDown(vpn, access, false) >= 0;
  }

  /** The walk from the lowest cached entry on, for 4- and 5-level tables; a negative number where it does not end in a frame. */
  private walkDown(vpn: Vpn, access: number, fetch: boolean): Pfn {
    const level = this.structures.find(vpn, this.mmu.asid);
    const pfn = this.mmu.observer === null ? this.walkQuickly(vpn, access, fetch, level) : ODD;
    return pfn === ODD ? this.walkLevels(vpn, access, fetch, level) : pfn;
  }

  /**
   * The walk where nothing is odd: upper entries have A set, the leaf is a 4K page, the access is allowed. Returns the frame, `ABSENT`
   * where the tables, read from the root, plainly have no page there, or `ODD`, in which cases nothing has changed.
   */
  private walkQuickly(vpn: Vpn, access: number, fetch: boolean, level: number): Pfn {
    const quick = vpn < 0 ? this.upperWalk : this.lowerWalk;
    const place = level === 1 ? this.placeFound() : this.tableAbove(quick, vpn, level);
    if (place <= 0) return ODD;
    const above = level === 1 ? this.structures.rights : quick.rights;
    const { words } = this;
    const at = place - 1 + (vpn & 511) * 2;
    const low = words[at]!;
    const high = words[at + 1]!;
    if ((low & 1) === 0) return level === 0 ? ABSENT : UNSURE;
    if ((high & this.state.oddHigh) !== 0) return ODD;
    const rights = above & rightsOf(low, high);
    if (!allowsAccess(this.state, rights + (((high >>> 27) & 15) << FLAG_KEY_SHIFT), access)) return ODD;
    const unset = ~low & (ACCESSED + ((access & ACCESS_KIND) === ACCESS_WRITE ? DIRTY : 0));
    if (unset !== 0 && !this.mark(words, at, low, unset)) return ODD;
    this.counts.walkReads += level === 0 ? 4 : level;
    if (level !== 1 && !this.structures.absent) this.remember(quick, vpn, level);
    const flags = this.flagsOf(1, low | unset, high, rights);
    const pfn = ((high & 0x7ff) << 20) | (low >>> 12);
    this.tlb.fillPage(vpn, this.mmu.asid, pfn, flags, fetch);
    return pfn;
  }

  /** The place of the table that the caches have found. */
  private placeFound(): number {
    const { structures } = this;
    const known = structures.place;
    if (known !== 0) return known;
    const place = this.memory.place(structures.table);
    structures.place = place;
    return place;
  }

  private remember(quick: QuickWalk, vpn: Vpn, level: number): void {
    const { asid } = this.mmu;
    if (!this.structures.isVoid(vpn, asid)) quick.remember(this.structures, level, vpn, asid);
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
    return level === 0 ? quick.table(vpn) : quick.tableBelow(level, this.placeFound(), structures.rights, vpn);
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
      if (this.mmu.observer !== null) this.mmu.observer.entryRead(this.mmu, table, index * 8);
      const leaf = level === 1 || (level <= 3 && (low & LARGE) !== 0);
      if ((low & 1) === 0 || this.isReserved(level, leaf, low, high)) return -1;
      rights &= (low & 6) + 1 + ((high >>> 28) & 8 ? 0 : 8) + 16;
      if (leaf) return this.finish(vpn, access, fetch, words, at, level, rights);
      if ((low & ACCESSED) === 0 && !this.mark(words, at, low, ACCESSED)) continue;
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
    const write = (access & ACCESS_KIND) === ACCESS_WRITE;
    const low = words[at]!;
    const high = words[at + 1]!;
    const key = (high >>> 27) & 15;
    if (!allowsAccess(this.state, rights + (key << FLAG_KEY_SHIFT), access)) return -1;
    const marked = (low | ACCESSED | (write ? DIRTY : 0)) >>> 0;
    if (marked !== low && !this.mark(words, at, low, marked - low)) return -1;
    const frame = (high & 0xfffff) * 0x100000 + (low >>> 12);
    this.enter(vpn, level, level === 1 ? frame : largeFrame(frame, level), marked, high, rights, fetch);
    if (this.mmu.observer !== null) this.mmu.observer.filled(this.mmu, vpn, access);
    return this.tlb.pfn;
  }

  private enter(vpn: Vpn, level: number, frame: Pfn, low: number, high: number, rights: number, fetch: boolean): void {
    this.tlb.fill(vpn, this.mmu.asid, frame, this.flagsOf(level, low, high, rights), fetch);
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
    const { record } = this;
    const low = (vpn & 0xfffff) * 4096;
    const high = Math.floor(vpn / 2 ** 20) >>> 0;
    const code = walkMarking(this.state, this.memory, low, high, access, record);
    if (code !== TRANSLATED) return this.mmu.faulted(vpn, code);
    this.structures.dropPage(vpn, this.mmu.asid);
    this.enterWalk(vpn, record, fetch);
    if (this.mmu.observer !== null) this.mmu.observer.filled(this.mmu, vpn, access);
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
