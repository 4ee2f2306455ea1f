/**
 * Entries of live tables: read, written in an order that a processor walking at the same time never sees half of, and table frames
 * reserved before a change so that it cannot fail midway.
 */

import { attributeHigh, attributeLow, leafFrameHigh, leafFrameLow } from "./attributes.ts";
import { FlushPlan } from "./flush-plan.ts";
import type { PagingLevel, PagingMode } from "./mode.ts";
import { isLeaf, LEAF_RIGHTS, leafFrameOf, levelOf, tableFrameOf } from "./mode.ts";
import type { TableFrames, TableMemory } from "./ports.ts";
import type { Refusal, RefusalReason } from "./refusal.ts";
import { describeRefusal } from "./refusal.ts";
import { TableShares } from "./shares.ts";
import type { Pfn, Vpn } from "./units.ts";
import { NO_FRAME, TWO_32 } from "./units.ts";

/** What a mapper is made of. */
export interface MapperOptions {
  readonly mode: PagingMode;
  /** Live memory: writes to the arrays are writes to the tables. */
  readonly memory: TableMemory;
  readonly frames: TableFrames;
  /** Counts of shared tables; give the same object to all mappers that share. */
  readonly shares?: TableShares;
  /** The PCID that flush plans name, or −1 (default). */
  readonly pcid?: number;
  /** CR4.SMEP or CR4.SMAP is on: making a page user-accessible must be flushed. */
  readonly supervisorGuards?: boolean;
  /** SME/SEV: position of the C-bit. */
  readonly encryptionBit?: number;
  /** Set the C-bit in entries that refer to tables. */
  readonly encryptTables?: boolean;
  /** Largest leaf level to use (default: any that the mode has): 1 = 4K only, 2 = up to 2M or 4M, 3 = up to 1G. */
  readonly largestLeaf?: number;
}

/** The entry words under the editor's hand; `low`, `high` are valid after `read`. */
export class TableEditor {
  readonly mode: PagingMode;
  readonly memory: TableMemory;
  readonly frames: TableFrames;
  readonly shares: TableShares;
  readonly pcid: number;
  readonly supervisorGuards: boolean;
  readonly encryption: number;
  readonly largestLeaf: number;
  /** 4K pages that the root covers. */
  readonly span: number;
  /** Software attribute bits, whose change needs no flush. */
  readonly softwareMask = 0x3ff0000;
  low = 0;
  high = 0;
  refusal: Refusal | null = null;
  readonly #wide: boolean;
  readonly #addressLow: number;
  readonly #addressHigh: number;
  readonly #tableLow: number;
  readonly #tableHigh: number;
  readonly #stash: Pfn[] = [];
  #packed = -1;
  #packedLevel: PagingLevel | undefined = undefined;
  #packedLow = 0;
  #packedHigh = 0;

  constructor(options: MapperOptions) {
    const mode = options.mode;
    const bit = options.encryptionBit ?? -1;
    this.mode = mode;
    this.memory = options.memory;
    this.frames = options.frames;
    this.shares = options.shares ?? new TableShares();
    this.pcid = options.pcid ?? -1;
    this.supervisorGuards = options.supervisorGuards ?? false;
    this.encryption = bit;
    this.largestLeaf = options.largestLeaf ?? mode.depth;
    this.span = 2 ** (mode.addressBits - 12);
    this.#wide = mode.entryWords === 2;
    const low = bit >= 0 && bit < 32 ? 2 ** bit : 0;
    const high = bit >= 32 ? 2 ** (bit - 32) : 0;
    this.#addressLow = ~low;
    this.#addressHigh = ~high;
    this.#tableLow = options.encryptTables === true ? low : 0;
    this.#tableHigh = options.encryptTables === true ? high : 0;
  }

  /** A level of the mode. */
  level(n: number): PagingLevel {
    return levelOf(this.mode, n);
  }

  /** Position of a page in index order: the lower half first. */
  rawOf(vpn: Vpn): number {
    return vpn < 0 ? vpn + this.span : vpn;
  }

  /** The page at a position in index order. */
  vpnOf(raw: number): Vpn {
    return this.mode.definition.extension === "sign" && raw >= this.span / 2 ? raw - this.span : raw;
  }

  /** Reads an entry into `low` and `high`. */
  read(table: Pfn, index: number): void {
    const words = this.memory.words(table);
    const at = this.memory.base(table) + index * this.mode.entryWords;
    this.low = words[at]!;
    this.high = this.#wide ? words[at + 1]! : 0;
  }

  /** The first entry of `[index, end)` in whose low word a bit of `mask` is set, or `end`. One look at the memory, 1 ns an entry. */
  nextWith(table: Pfn, index: number, end: number, mask: number): number {
    const words = this.memory.words(table);
    const base = this.memory.base(table);
    const step = this.mode.entryWords;
    let at = index;
    while (at < end && (words[base + at * step]! & mask) === 0) at++;
    return at;
  }

  /** Whether the entry read last is present. */
  get isPresent(): boolean {
    return (this.low & this.mode.presentMask) !== 0;
  }

  /** Whether the entry read last, a present one of this level, is a leaf. */
  isLeaf(level: PagingLevel): boolean {
    return isLeaf(this.mode, level, this.low);
  }

  /** The table that the entry read last refers to. */
  tableFrame(level: PagingLevel): Pfn {
    return tableFrameOf(level, this.low & this.#addressLow, this.high & this.#addressHigh);
  }

  /** The first frame that the leaf entry read last maps. */
  leafFrame(level: PagingLevel): Pfn {
    return leafFrameOf(level, this.low & this.#addressLow, this.high & this.#addressHigh);
  }

  /** Makes a not-present entry present (or a not-present one another): the word with P is written last. */
  write(table: Pfn, index: number, low: number, high: number): void {
    const words = this.memory.words(table);
    const at = this.memory.base(table) + index * this.mode.entryWords;
    if (this.#wide) words[at + 1] = high;
    words[at] = low;
  }

  /**
   * Replaces a present entry: not present in between, so that no processor combines old and new words. What it held at the last
   * moment (accessed and dirty bits included) is left in `low` and `high`.
   */
  replace(table: Pfn, index: number, low: number, high: number): void {
    const words = this.memory.words(table);
    const at = this.memory.base(table) + index * this.mode.entryWords;
    this.low = Atomics.exchange(words, at, 0);
    if (this.#wide) {
      this.high = words[at + 1]!;
      words[at + 1] = high;
    } else {
      this.high = 0;
    }
    words[at] = low;
  }

  /** Changes the low word if it still is `seen`; the high word stays. */
  exchangeLow(table: Pfn, index: number, seen: number, low: number): boolean {
    const at = this.memory.base(table) + index * this.mode.entryWords;
    return Atomics.compareExchange(this.memory.words(table), at, seen, low) === seen;
  }

  /** Low word of an entry of level `n` that refers to a table, with all rights, so that leaves alone decide. */
  tableLow(level: PagingLevel, pfn: Pfn): number {
    const mode = this.mode;
    let low = mode.presentMask | this.#tableLow | ((pfn / level.tableScale) & level.tableLow);
    if (!level.withoutRights && level.leafKind !== LEAF_RIGHTS) {
      low |= mode.readMask | mode.writeMask | mode.userMask | mode.executeMask | mode.userExecuteMask;
    }
    return low >>> 0;
  }

  /** High word of the same. */
  tableHigh(level: PagingLevel, pfn: Pfn): number {
    return ((Math.floor(pfn / level.tableScale / TWO_32) & level.tableHigh) | this.#tableHigh) >>> 0;
  }

  /** Writes a leaf into a not-present entry. The words of the last attributes are kept: most leaves are like the one before. */
  writeLeaf(table: Pfn, index: number, level: PagingLevel, pfn: Pfn, packed: number): void {
    if (packed !== this.#packed || level !== this.#packedLevel) this.#prepare(level, packed);
    this.write(table, index, this.#packedLow | leafFrameLow(level, pfn), this.#packedHigh | leafFrameHigh(level, pfn));
  }

  /** {@link writeLeaf} where the entry's low word is 0; false: it is not, and nothing is written. One look at the memory: what a fault needs. */
  fillLeaf(table: Pfn, index: number, level: PagingLevel, pfn: Pfn, packed: number): boolean {
    const words = this.memory.words(table);
    const at = this.memory.base(table) + index * this.mode.entryWords;
    if (words[at]! !== 0) return false;
    if (packed !== this.#packed || level !== this.#packedLevel) this.#prepare(level, packed);
    if (this.#wide) words[at + 1] = this.#packedHigh | leafFrameHigh(level, pfn);
    words[at] = this.#packedLow | leafFrameLow(level, pfn);
    return true;
  }

  #prepare(level: PagingLevel, packed: number): void {
    this.#packed = packed;
    this.#packedLevel = level;
    this.#packedLow = attributeLow(this.mode, level, packed, this.encryption);
    this.#packedHigh = attributeHigh(this.mode, packed, this.encryption);
  }

  /** Takes `count` frames aside, to be used in the order they came. False, and none kept, where the source has fewer. */
  reserve(count: number): boolean {
    while (this.#stash.length < count) {
      const pfn = this.frames.take();
      if (pfn === NO_FRAME) {
        this.releaseReserve();
        return false;
      }
      this.#stash.push(pfn);
    }
    this.#stash.reverse();
    return true;
  }

  /** Gives back what `reserve` took and the change did not need. */
  releaseReserve(): void {
    for (let pfn = this.#stash.pop(); pfn !== undefined; pfn = this.#stash.pop()) this.frames.give(pfn);
  }

  /** Links a reserved frame as a table under a not-present entry and returns it. */
  link(table: Pfn, index: number, level: PagingLevel): Pfn {
    const pfn = this.takeReserved();
    this.write(table, index, this.tableLow(level, pfn), this.tableHigh(level, pfn));
    return pfn;
  }

  /** A reserved frame, to become a table. */
  takeReserved(): Pfn {
    return this.#stash.pop() ?? NO_FRAME;
  }

  /** Whether all entries of a table are zero words (a not-present payload keeps a table alive). */
  isEmptyTable(table: Pfn): boolean {
    const words = this.memory.words(table);
    const base = this.memory.base(table);
    for (let i = base; i < base + 1024; i++) if (words[i]! !== 0) return false;
    return true;
  }

  /** Notes why a change is refused: the first reason stays. Returns −1, for counting passes to hand up. */
  refuse(reason: RefusalReason, level: number, raw: number): number {
    this.refusal ??= describeRefusal(reason, this, level, this.vpnOf(raw));
    return -1;
  }

  /** The refusal noted, which is forgotten. */
  takeRefusal(reason: RefusalReason, vpn: Vpn): Refusal {
    const refusal = this.refusal ?? describeRefusal(reason, this, 0, vpn);
    this.refusal = null;
    return refusal;
  }

  /** Whether any table on the way to a position is shared with another root. */
  isShared(root: Pfn, raw: number): boolean {
    if (this.shares.size === 0) return false;
    let table = root;
    for (let n = this.mode.depth; n > 1; n--) {
      const level = this.level(n);
      this.read(table, Math.floor(raw / level.pages) & (level.entries - 1));
      if (!this.isPresent || this.isLeaf(level)) return false;
      table = this.tableFrame(level);
      if (this.shares.count(table) > 1) return true;
    }
    return false;
  }

  /** A plan for this editor's context. */
  plan(): FlushPlan {
    return new FlushPlan(this.frames, this.pcid);
  }
}
