/**
 * A walk over all tables of a space, entry by entry: what exists, not what some address translates to.
 *
 * The auditor's own, and deliberately simple: it shares the codec with the rest, but neither the walker nor the mapper, whose
 * results it judges.
 */
import {
  entryRights,
  isLeaf,
  leafFrameOf,
  levelOf,
  RIGHT_EXECUTE,
  RIGHT_READ,
  RIGHT_USER,
  RIGHT_WRITE,
  tableFrameOf,
} from "@pagewright/x86-paging";
import type { PagingMode, Pfn, TableMemory, Vpn } from "@pagewright/x86-paging";

/** Called for each leaf: pages `[vpn, vpn + pages)` are frames from `pfn` on, with the rights of all levels together. */
export type LeafVisitor = (leaf: Leaf) => void;

/** One leaf entry. */
export interface Leaf {
  /** First page that it maps. */
  readonly vpn: Vpn;
  /** 4K pages that it maps. */
  readonly pages: number;
  /** First frame. */
  readonly pfn: Pfn;
  /** Rights accumulated from the root: x86-paging's RIGHT_ bits. */
  readonly rights: number;
  /** The entry's words. */
  readonly low: number;
  readonly high: number;
  /** Level of the entry: 1 for a 4K page. */
  readonly level: number;
  /** The table that has the entry. */
  readonly table: Pfn;
}

const EVERY_RIGHT = RIGHT_READ | RIGHT_WRITE | RIGHT_USER | RIGHT_EXECUTE;

/** Tables and leaves reachable from roots. */
export class TableCensus {
  /** How often each table is referred to, by entries and as a root. */
  readonly tables: Map<Pfn, number> = new Map();
  /** Entries looked at. */
  entries: number = 0;
  /** Entries of a root that refer to the root itself: recursive slots. */
  recursiveSlots: number = 0;
  readonly #memory: TableMemory;
  readonly #mode: PagingMode;

  /** Begins a census of tables in this memory. */
  constructor(memory: TableMemory, mode: PagingMode) {
    this.#memory = memory;
    this.#mode = mode;
  }

  /** Walks what the entries `[first, end)` of a root reach; by default all of it. Cost: all entries of all its tables. */
  walk(
    root: Pfn,
    visit: LeafVisitor,
    first: number = 0,
    end: number = levelOf(this.#mode, this.#mode.depth).entries,
  ): void {
    this.#count(root);
    this.#table(root, root, this.#mode.depth, 0, EVERY_RIGHT, visit, first, end);
  }

  #count(table: Pfn): void {
    this.tables.set(table, (this.tables.get(table) ?? 0) + 1);
  }

  #table(
    root: Pfn,
    table: Pfn,
    depth: number,
    page: number,
    above: number,
    visit: LeafVisitor,
    first: number,
    end: number,
  ): void {
    const mode = this.#mode;
    const level = levelOf(mode, depth);
    const words = this.#memory.words(table);
    const base = this.#memory.base(table);
    for (let index = first; index < end; index++) {
      this.entries++;
      const low = words[base + index * 2]!;
      const high = words[base + index * 2 + 1]!;
      if ((low & mode.presentMask) === 0) continue;
      const rights = above & entryRights(mode, level, low, high);
      const start = page + index * level.pages;
      if (isLeaf(mode, level, low)) {
        visit({
          vpn: this.#signed(start),
          pages: level.pages,
          pfn: leafFrameOf(level, low, high),
          rights,
          low,
          high,
          level: depth,
          table,
        });
        continue;
      }
      const next = tableFrameOf(level, low, high);
      if (next === root) {
        this.recursiveSlots++;
        continue;
      }
      this.#count(next);
      this.#table(root, next, depth - 1, start, rights, visit, 0, levelOf(mode, depth - 1).entries);
    }
  }

  /** The upper half of the address space has negative page numbers. */
  #signed(page: number): Vpn {
    const top = levelOf(this.#mode, this.#mode.depth);
    const pages = top.entries * top.pages;
    return page >= pages / 2 ? page - pages : page;
  }
}
