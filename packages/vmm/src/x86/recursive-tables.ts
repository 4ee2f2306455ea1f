/**
 * Page tables through a recursive slot: one entry of the root refers to the root itself, so that every table of the space that the processor runs in is a page
 * of that space, and editing it needs no window.
 *
 * ```
 *  4-level, slot R:    leaf table over a page   R i4 i3 i2      level 2   R R i4 i3      level 3   R R R i4      root   R R R R
 * ```
 * A table is asked for by its frame, but the slot shows tables by what they translate. Where a table hangs is found by looking for its frame in the table that was
 * found before it, as a walk comes by, and remembered until any table goes or moves. The entry that leads to it is read each time: a table that hangs nowhere yet, or
 * no more, or in another root, is shown by the windows.
 *
 * Translations of the slot are not global, and an address of it leads to another frame once a table has gone: processors drop what they used of it when that has
 * happened since they were last here, each for the root that it runs on.
 */
import {
  ACCESS_WRITE,
  isLeaf,
  levelOf,
  recursivePage,
  tableFrameOf,
  type PagingMode,
  type TableMemory,
} from "@pagewright/x86-paging";

import { NO_FRAME, PAGE_SIZE, TABLE_PAGES, type Pfn, type Vpn } from "../units.ts";
import type { KernelCpu } from "./kernel-cpu.ts";
import type { KernelWindows } from "./windows.ts";

/** Where a table hangs: its level, and the first page that it translates. */
interface Place {
  readonly level: number;
  readonly start: Vpn;
}

/** The pages of the slot that a processor used in one root, since tables last changed places. */
interface Use {
  generation: number;
  readonly pages: Set<Vpn>;
}

/** Tables of the running space through its recursive slot, all others through windows. */
export class RecursiveTables implements TableMemory {
  /** The root entry. */
  readonly slot: number;
  readonly #mode: PagingMode;
  readonly #cpus: readonly KernelCpu[];
  readonly #current: () => number;
  readonly #windows: KernelWindows;
  readonly #places: Map<Pfn, Place> = new Map();
  /** The table found last that has tables below it: where the next one probably hangs. */
  #above: Place;
  /** By processor and root. */
  readonly #uses: readonly Map<Pfn, Use>[];
  /** Pages that the root covers, and of these, in index order, the first that the slot covers. */
  readonly #span: number;
  readonly #slotStart: number;
  /** Times that tables went or moved. */
  #generation = 0;
  #pfn: Pfn = NO_FRAME;
  #at = 0;
  #through = 0;

  /** Over a root entry that every root has; throws x86-paging's `bad-mode` where tables of one level cannot serve at another. */
  constructor(
    mode: PagingMode,
    slot: number,
    cpus: readonly KernelCpu[],
    current: () => number,
    windows: KernelWindows,
  ) {
    recursivePage(mode, slot, 0, 1);
    const top = levelOf(mode, mode.depth);
    this.#span = top.pages * top.entries;
    this.#slotStart = slot * top.pages;
    this.slot = slot;
    this.#mode = mode;
    this.#cpus = cpus;
    this.#current = current;
    this.#windows = windows;
    this.#above = { level: mode.depth, start: 0 };
    this.#uses = cpus.map(() => new Map<Pfn, Use>());
  }

  /** Tables that were reached through the slot rather than a window, each access counted. */
  get reached(): number {
    return this.#through;
  }

  /** See TableMemory: the array that has a table's words. */
  words(pfn: Pfn): Uint32Array {
    const cpu = this.#cpus[this.#current()];
    const at = cpu === undefined ? -1 : this.#asKernel(cpu, pfn);
    this.#pfn = at < 0 ? NO_FRAME : pfn;
    if (cpu === undefined || at < 0) return this.#windows.words(pfn);
    this.#at = at;
    this.#through++;
    return cpu.words;
  }

  /** See TableMemory: where in the array they begin. */
  base(pfn: Pfn): number {
    return this.#pfn === pfn ? this.#at : this.#windows.base(pfn);
  }

  /** A table is about to be given back, or tables moved: what is known of places is worth nothing any more. */
  forget(): void {
    this.#generation++;
    this.#pfn = NO_FRAME;
    this.#places.clear();
    this.#above = { level: this.#mode.depth, start: 0 };
  }

  #asKernel(cpu: KernelCpu, pfn: Pfn): number {
    const { cpl } = cpu;
    if (cpl !== 0) cpu.setCpl(0);
    const at = this.#reach(cpu, pfn);
    if (cpl !== 0) cpu.setCpl(cpl);
    return at;
  }

  /** The index of a table's first word, −1 where it hangs nowhere in the root that the processor runs on. */
  #reach(cpu: KernelCpu, pfn: Pfn): number {
    const { depth } = this.#mode;
    const rootPage = this.#pageOf(0, depth);
    const rootAt = cpu.viewOf(rootPage * PAGE_SIZE, ACCESS_WRITE);
    if (rootAt < 0) return -1;
    const root = this.#frameIn(cpu, rootAt + this.slot * 2, depth);
    if (root === pfn) return rootAt;
    const use = this.#useOf(cpu, root);
    const known = this.#places.get(pfn);
    const place = known !== undefined && this.#leadsTo(cpu, use, known) === pfn ? known : this.#search(cpu, use, pfn);
    if (place === null) return -1;
    this.#places.set(pfn, place);
    if (place.level > 1) this.#above = place;
    return this.#view(cpu, use, this.#pageOf(place.start, place.level));
  }

  /** Looks for a table's frame in the table that was found last, then in the root. */
  #search(cpu: KernelCpu, use: Use, pfn: Pfn): Place | null {
    const root: Place = { level: this.#mode.depth, start: 0 };
    const above = this.#above;
    if (above.level < root.level && this.#leadsTo(cpu, use, above) !== NO_FRAME) {
      const found = this.#searchIn(cpu, use, above, pfn);
      if (found !== null) return found;
    }
    return this.#searchIn(cpu, use, root, pfn);
  }

  #searchIn(cpu: KernelCpu, use: Use, above: Place, pfn: Pfn): Place | null {
    const { level, start } = above;
    const at = this.#view(cpu, use, this.#pageOf(start, level));
    if (at < 0) return null;
    const { entries, pages } = levelOf(this.#mode, level);
    for (let index = 0; index < entries; index++)
      if (cpu.words[at + index * 2] !== 0 && this.#frameIn(cpu, at + index * 2, level) === pfn)
        return { level: level - 1, start: this.#signed(start + index * pages) };
    return null;
  }

  /** The table to which the entry above a place leads, NO_FRAME for none. */
  #leadsTo(cpu: KernelCpu, use: Use, { level, start }: Place): Pfn {
    const page = this.#pageOf(start, level + 1);
    const at = this.#view(cpu, use, page);
    return at < 0 ? NO_FRAME : this.#frameIn(cpu, at + this.#indexOf(start, level + 1) * 2, level + 1);
  }

  /** The table that an entry of a level refers to, NO_FRAME for an absent one or a leaf. */
  #frameIn({ words }: KernelCpu, at: number, level: number): Pfn {
    const low = words[at]!;
    const shape = levelOf(this.#mode, level);
    if ((low & this.#mode.presentMask) === 0 || isLeaf(this.#mode, shape, low)) return NO_FRAME;
    return tableFrameOf(shape, low, words[at + 1]!);
  }

  #view(cpu: KernelCpu, use: Use, page: Vpn): number {
    use.pages.add(page);
    return cpu.viewOf(page * PAGE_SIZE, ACCESS_WRITE);
  }

  /** What the processor used of the slot on this root; dropped from its TLB where tables changed places since. */
  #useOf(cpu: KernelCpu, root: Pfn): Use {
    const uses = this.#uses[cpu.id];
    let use = uses?.get(root);
    if (use === undefined) {
      use = { generation: this.#generation, pages: new Set() };
      uses?.set(root, use);
    }
    if (use.generation !== this.#generation) {
      for (const page of use.pages) cpu.invlpg(page * PAGE_SIZE);
      use.pages.clear();
      use.generation = this.#generation;
    }
    return use;
  }

  /** The page at which the table of a level over a page appears. See x86-paging's `recursivePage`, which this agrees with. */
  #pageOf(start: Vpn, level: number): Vpn {
    let raw = start < 0 ? start + this.#span : start;
    for (let n = 0; n < level; n++) raw = this.#slotStart + Math.floor(raw / TABLE_PAGES);
    return this.#signed(raw);
  }

  /** The entry of a level's table for a page. */
  #indexOf(start: Vpn, level: number): number {
    return Math.floor(start / levelOf(this.#mode, level).pages) & (TABLE_PAGES - 1);
  }

  /** The page number of a position in index order. */
  #signed(page: number): Vpn {
    return page >= this.#span / 2 ? page - this.#span : page;
  }
}
