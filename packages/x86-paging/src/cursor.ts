/**
 * Leaves in index order (lower half first), one at a time, without allocating; can be stopped, kept and resumed anywhere.
 *
 * Leaves are what the present bits and page-size bits say, as a debugger wants them: reserved bits are the reader's affair (`isReserved`).
 * A table that is referred to many times is visited each time, at every address at which it maps something.
 */

import { PagingError } from "./errors.ts";
import type { PagingLevel, PagingMode } from "./mode.ts";
import { isLeaf, leafFrameOf, levelOf, tableFrameOf } from "./mode.ts";
import type { TableMemory } from "./ports.ts";
import { ALL_RIGHTS } from "./rights.ts";
import type { PagingState } from "./state.ts";
import { MAX_DEPTH } from "./state.ts";
import type { Pfn, Vpn } from "./units.ts";
import { entryRights } from "./walk.ts";

/** Position of a page in index order: lower half first, so that the upper half follows without a hole. */
export function rawOfVpn(mode: PagingMode, vpn: Vpn): number {
  return vpn < 0 ? vpn + 2 ** (mode.addressBits - 12) : vpn;
}

/** The page at a position in index order. */
export function vpnOfRaw(mode: PagingMode, raw: number): Vpn {
  const span = 2 ** (mode.addressBits - 12);
  return mode.definition.extension === "sign" && raw >= span / 2 ? raw - span : raw;
}

/** A place in the tables that moves from leaf to leaf. */
export class LeafCursor {
  /** First page of the leaf that `next` found. */
  vpn: Vpn = 0;
  /** The same as a position in index order. */
  raw = 0;
  /** 4K pages of the leaf. */
  pages = 0;
  /** First frame of the leaf. */
  pfn: Pfn = 0;
  /** Words of the leaf entry. */
  low = 0;
  high = 0;
  /** The leaf's level. */
  level = 0;
  /** Rights accumulated from the root down. */
  rights = 0;
  /** Frame of the table that holds the leaf entry, and the entry's index. */
  table: Pfn = 0;
  index = 0;
  readonly #state: PagingState;
  readonly #memory: TableMemory;
  readonly #mode: PagingMode;
  readonly #tables: Float64Array = new Float64Array(MAX_DEPTH + 2);
  readonly #bases: Float64Array = new Float64Array(MAX_DEPTH + 2);
  readonly #indices: Int32Array = new Int32Array(MAX_DEPTH + 2);
  readonly #rights: Int32Array = new Int32Array(MAX_DEPTH + 2);
  #at: number;
  #end: number;

  /** A cursor over `pages` pages from `vpn`; over everything where they are left out. Throws `out-of-range`. */
  constructor(state: PagingState, memory: TableMemory, vpn?: Vpn, pages?: number) {
    const mode = state.mode;
    const span = 2 ** (mode.addressBits - 12);
    const start = vpn === undefined ? 0 : rawOfVpn(mode, vpn);
    const end = pages === undefined ? span : start + pages;
    if (
      !Number.isSafeInteger(start)
      || start < 0
      || start > span
      || !Number.isSafeInteger(end)
      || end < start
      || end > span
    ) {
      throw new PagingError("out-of-range", `pages ${start} … ${end} are not within ${mode.name} address space`, {
        start,
        end,
      });
    }
    this.#state = state;
    this.#memory = memory;
    this.#mode = mode;
    this.#end = end;
    this.#at = mode.depth;
    this.seek(start);
  }

  /** Continues at a position in index order: the next leaf found is the one that covers it, or the first after it. */
  seek(raw: number): void {
    const depth = this.#mode.depth;
    this.#at = depth;
    this.#tables[depth] = this.#state.root;
    this.#bases[depth] = 0;
    this.#rights[depth] = ALL_RIGHTS;
    if (depth > 0) this.#indices[depth] = Math.floor(raw / levelOf(this.#mode, depth).pages);
    this.raw = raw;
    this.pages = 0;
  }

  /** Where a cursor that is to go on from here must `seek`. */
  get position(): number {
    return this.raw + this.pages;
  }

  /** Moves to the next leaf; false at the end of the range. */
  next(): boolean {
    const mode = this.#mode;
    const from = this.position;
    let n = this.#at;
    while (n <= mode.depth && n > 0) {
      const level = mode.levels[n];
      if (level === undefined) break;
      const found = this.#scan(level, n, from);
      if (found === FOUND) {
        this.#at = n;
        return true;
      }
      n = found === DOWN ? n - 1 : n + 1;
    }
    this.#at = mode.depth + 1;
    return false;
  }

  /** Scans one table from its index on, up to a leaf (FOUND), a table to go down into (DOWN), or its end (UP). */
  #scan(level: PagingLevel, n: number, from: number): number {
    const mode = this.#mode;
    const state = this.#state;
    const table = this.#tables[n]!;
    const base = this.#bases[n]!;
    const wide = mode.entryWords;
    const words = level.inRegisters ? state.rootEntries : this.#memory.words(table);
    const first = level.inRegisters ? 0 : this.#memory.base(table);
    const present = state.presentMask;
    for (let i = this.#indices[n]!; i < level.entries; i++) {
      const at = first + i * wide;
      const low = words[at]!;
      if ((low & present) === 0) continue;
      const raw = base + i * level.pages;
      if (raw >= this.#end) break;
      this.#indices[n] = i + 1;
      const high = wide === 2 ? words[at + 1]! : 0;
      const own = entryRights(mode, level, low, high);
      const leaf = isLeaf(mode, level, low);
      const rights = mode.definition.inherit === "leaf" ? (leaf ? own : ALL_RIGHTS) : this.#rights[n]! & own;
      if (leaf) {
        this.raw = raw;
        this.vpn = vpnOfRaw(mode, raw);
        this.pages = level.pages;
        this.level = n;
        this.low = low;
        this.high = high;
        this.rights = rights;
        this.table = table;
        this.index = i;
        this.pfn = leafFrameOf(level, low & state.addressLow, high & state.addressHigh);
        return FOUND;
      }
      this.#tables[n - 1] = tableFrameOf(level, low & state.addressLow, high & state.addressHigh);
      this.#bases[n - 1] = raw;
      this.#rights[n - 1] = rights;
      this.#indices[n - 1] = from > raw ? Math.floor((from - raw) / levelOf(mode, n - 1).pages) : 0;
      return DOWN;
    }
    return UP;
  }
}

const FOUND = 0;
const DOWN = 1;
const UP = 2;
