/**
 * The translations of an address space in RISC-V Sv39 format: three levels of 512 entries. It takes the place of the x86-64 tables; nothing above it
 * changes.
 *
 * ```
 *  page number  26 ……… 18  17 ……… 9  8 ……… 0        signed, −2^26 … 2^26 − 1
 *               level 2     level 1    level 0
 *               root ──────► table ───► table ───► frame
 *                              └──────────────────► 512 frames: a megapage, 2 MiB
 * ```
 * Invariants: a table without an entry is in no other table, unless several spaces use it; level-0 tables alone have several users.
 */
import {
  ACCESSED,
  DIRTY,
  NO_FRAME,
  PRESENT,
  type EntrySink,
  type FlushSink,
  type Pfn,
  type TranslationTables,
  type Vpn,
} from "@pagewright/vmm";

import { A, D, frameOf, isPointer, leafWords, pointerWords, stateOf, type EntryWords } from "./entry.ts";
import { ENTRIES, type TableMemory } from "./table-memory.ts";

/** Pages of the lower half. */
export const SV39_USER_PAGES: number = 2 ** 26;
/** Pages of a megapage, and of a level-0 table. */
export const MEGAPAGE: number = ENTRIES;
/** Pages of an entry of the root. */
export const ROOT_ENTRY_PAGES: number = ENTRIES * ENTRIES;

/** Level of the root. */
const ROOT_LEVEL = 2;
/** Pages that one entry of a level stands for. */
const PAGES_PER_ENTRY: readonly [number, number, number] = [1, MEGAPAGE, ROOT_ENTRY_PAGES];
const EMPTY: EntryWords = { low: 0, high: 0 };

type Level = 0 | 1 | 2;

/** What is done to the leaves of a range. */
interface Visitor {
  /** One leaf: where its entry is, its first page, and how many pages it translates. */
  leaf(table: Pfn, at: number, vpn: Vpn, entry: EntryWords, pages: number): void;
  /** Told of megapages that reach beyond the range, which are split first; null: they are visited whole. */
  readonly split: FlushSink | null;
  /** Given the tables that end up without an entry; null: none can. */
  readonly prune: FlushSink | null;
}

/** Where the leaf entry of a page is. */
interface Place {
  readonly table: Pfn;
  readonly at: number;
  readonly entry: EntryWords;
  /** Pages that it translates. */
  readonly pages: number;
}

/** Sv39 tables of one space. */
export class Sv39Tables implements TranslationTables {
  /** Frame of the root table: what `satp` is given. */
  readonly root: Pfn;
  /** See `TranslationTables.frame`. */
  frame: Pfn = NO_FRAME;
  readonly #memory: TableMemory;
  /** Counts the megapages that became single pages, in all spaces. */
  readonly #counts: { splits: number };

  /** Tables whose root is the zeroed frame `root`. */
  constructor(root: Pfn, memory: TableMemory, counts: { splits: number }) {
    this.root = root;
    this.#memory = memory;
    this.#counts = counts;
  }

  /** See `TranslationTables.map`. Throws `RangeError` beyond ±2^38 bytes. */
  map(vpn: Vpn, pfn: Pfn, attributes: number, plan: FlushSink): boolean {
    requireRange(vpn, vpn + 1);
    const table = this.tableAt(vpn, plan);
    if (table === NO_FRAME) return false;
    const at = indexOf(vpn, 0);
    if (stateOf(this.#memory.read(table, at)) !== 0) plan.invalidate(vpn);
    this.#memory.write(table, at, leafWords(pfn, attributes));
    return true;
  }

  /** See `TranslationTables.fill`. */
  fill(vpn: Vpn, pfn: Pfn, attributes: number): boolean {
    const place = this.#place(vpn);
    if (place === null || place.pages > 1 || stateOf(place.entry) !== 0) return false;
    this.#memory.write(place.table, place.at, leafWords(pfn, attributes));
    return true;
  }

  /** See `TranslationTables.unmap`. Tables that become empty go to the plan. */
  unmap(start: Vpn, end: Vpn, plan: FlushSink, sink: EntrySink | null): void {
    this.#visit(start, end, {
      leaf: (table, at, vpn, entry, pages) => {
        this.#memory.write(table, at, EMPTY);
        plan.invalidate(vpn);
        if (pages > 1) this.#memory.giveKept();
        tell(sink, vpn, entry, pages);
      },
      split: plan,
      prune: plan,
    });
  }

  /** See `TranslationTables.protect`. */
  protect(start: Vpn, end: Vpn, attributes: number, plan: FlushSink): void {
    this.#visit(start, end, {
      leaf: (table, at, vpn, entry) => {
        const kept = stateOf(entry) & (ACCESSED | DIRTY);
        const next = leafWords(frameOf(entry), attributes + kept);
        if (next.low === entry.low && next.high === entry.high) return;
        this.#memory.write(table, at, next);
        plan.invalidate(vpn);
      },
      split: plan,
      prune: null,
    });
  }

  /** See `TranslationTables.query`. */
  query(vpn: Vpn): number {
    const place = this.#place(vpn);
    const state = place === null ? 0 : stateOf(place.entry);
    if (place !== null && state !== 0) this.frame = frameOf(place.entry) + (vpn & (place.pages - 1));
    return state;
  }

  /** See `TranslationTables.harvest`. */
  harvest(start: Vpn, end: Vpn, bits: number, plan: FlushSink, sink: EntrySink): void {
    const clear = ((bits & ACCESSED) !== 0 ? A : 0) + ((bits & DIRTY) !== 0 ? D : 0);
    this.#visit(start, end, {
      leaf: (table, at, vpn, entry, pages) => {
        const state = stateOf(entry);
        if ((state & bits & (ACCESSED | DIRTY)) === 0) return;
        this.#memory.write(table, at, { low: (entry.low & ~clear) >>> 0, high: entry.high });
        if ((state & bits & DIRTY) !== 0) plan.invalidate(vpn);
        tell(sink, vpn, entry, pages);
      },
      split: null,
      prune: null,
    });
  }

  /** See `TranslationTables.destroy`. */
  destroy(plan: FlushSink): void {
    plan.invalidateSpace();
    this.#giveTables(this.root, ROOT_LEVEL, plan);
  }

  /** What a processor's use does to a translation: sets A and, for a store, D. */
  use(vpn: Vpn, bits: number): void {
    const place = this.#place(vpn);
    if (place === null) throw new RangeError(`page ${vpn} has no translation`);
    const { table, at, entry } = place;
    this.#memory.write(table, at, leafWords(frameOf(entry), (stateOf(entry) & ~PRESENT) | bits));
  }

  /** The words of the leaf entry of a page, as the processor would find them; null where no table leads there. */
  leaf(vpn: Vpn): EntryWords | null {
    return this.#place(vpn)?.entry ?? null;
  }

  // ------------------------------------------------------------ megapages

  /** See `LargeLeaves.map` of the ports: one entry of level 1. */
  mapMegapage(vpn: Vpn, pfn: Pfn, attributes: number, plan: FlushSink): boolean {
    requireRange(vpn, vpn + MEGAPAGE);
    const table = this.#tableUnder(this.root, 2, vpn);
    if (table === NO_FRAME) return false;
    const at = indexOf(vpn, 1);
    if (stateOf(this.#memory.read(table, at)) !== 0 || !this.#memory.keepOne()) {
      this.prune(vpn, vpn + MEGAPAGE, plan);
      return false;
    }
    this.#memory.write(table, at, leafWords(pfn, attributes));
    return true;
  }

  /** See `LargeLeaves.split` of the ports. */
  split(vpn: Vpn, plan: FlushSink): void {
    const place = this.#place(vpn);
    if (place === null || place.pages === 1) throw new RangeError(`page ${vpn} lies in no megapage`);
    const table = this.#memory.takeKept();
    const [first, attributes] = [frameOf(place.entry), stateOf(place.entry)];
    for (let at = 0; at < ENTRIES; at++) this.#memory.write(table, at, leafWords(first + at, attributes));
    this.#memory.write(place.table, place.at, pointerWords(table));
    this.#counts.splits++;
    plan.invalidate(vpn - (vpn & (MEGAPAGE - 1)));
  }

  /** Pages of the leaf that a page lies under; 1 where there is none. */
  pagesAt(vpn: Vpn): number {
    const place = this.#place(vpn);
    return place !== null && stateOf(place.entry) !== 0 ? place.pages : 1;
  }

  // ------------------------------------------------------------ whole tables

  /** The level-0 table of a page, made where it is missing, of the pages of a megapage where there is one; NO_FRAME if no frame is there for it. */
  tableAt(vpn: Vpn, plan: FlushSink): Pfn {
    if (this.pagesAt(vpn) > 1) this.split(vpn, plan);
    const top = this.#tableUnder(this.root, 2, vpn);
    if (top === NO_FRAME) return NO_FRAME;
    const table = this.#tableUnder(top, 1, vpn);
    if (table === NO_FRAME) this.prune(vpn, vpn + 1, plan);
    return table;
  }

  /** Puts a level-0 table of another space, one more user of it, where nothing is. False: no frame for the table above. */
  link(vpn: Vpn, table: Pfn): boolean {
    const top = this.#tableUnder(this.root, 2, vpn);
    if (top === NO_FRAME) return false;
    this.#memory.write(top, indexOf(vpn, 1), pointerWords(table));
    this.#memory.share(table);
    return true;
  }

  /** Takes the level-0 table of a page out, entries and all; it goes to the plan if nobody else uses it. */
  unlink(vpn: Vpn, plan: FlushSink): void {
    const entry = this.takeEntry(1, vpn);
    if (isPointer(entry) && this.#memory.leave(frameOf(entry))) plan.tableFrame(frameOf(entry));
  }

  /** Makes the table that holds a page's entry of a level. False: no frame for it. */
  reach(level: 1 | 2, vpn: Vpn): boolean {
    return level === ROOT_LEVEL || this.#tableUnder(this.root, 2, vpn) !== NO_FRAME;
  }

  /** Takes a page's entry of a level out: a table or a megapage, with all that is below. */
  takeEntry(level: 1 | 2, vpn: Vpn): EntryWords {
    const table = this.#holder(level, vpn);
    if (table === NO_FRAME) return EMPTY;
    const entry = this.#memory.read(table, indexOf(vpn, level));
    this.#memory.write(table, indexOf(vpn, level), EMPTY);
    return entry;
  }

  /** Puts an entry that was taken out where nothing is and {@link reach} was true. */
  putEntry(level: 1 | 2, vpn: Vpn, entry: EntryWords): void {
    const table = this.#holder(level, vpn);
    if (table === NO_FRAME) throw new RangeError(`no table has an entry of level ${level} for page ${vpn}`);
    this.#memory.write(table, indexOf(vpn, level), entry);
  }

  /** Takes out the tables of a range that have no entry. */
  prune(start: Vpn, end: Vpn, plan: FlushSink): void {
    this.#visit(start, end, { leaf: () => undefined, split: null, prune: plan });
  }

  #holder(level: 1 | 2, vpn: Vpn): Pfn {
    if (level === ROOT_LEVEL) return this.root;
    const entry = this.#memory.read(this.root, indexOf(vpn, 2));
    return isPointer(entry) ? frameOf(entry) : NO_FRAME;
  }

  /** The entry that decides about a page, a leaf or nothing; null where no table leads there. */
  #place(vpn: Vpn): Place | null {
    if (vpn < -SV39_USER_PAGES || vpn >= SV39_USER_PAGES) return null;
    let table = this.root;
    for (const level of [2, 1, 0] as const) {
      const at = indexOf(vpn, level);
      const entry = this.#memory.read(table, at);
      if (!isPointer(entry)) return level === ROOT_LEVEL ? null : { table, at, entry, pages: PAGES_PER_ENTRY[level] };
      table = frameOf(entry);
    }
    return null;
  }

  /** The table one level below, made where it is missing; NO_FRAME if no frame is there for it. */
  #tableUnder(table: Pfn, level: 1 | 2, vpn: Vpn): Pfn {
    const at = indexOf(vpn, level);
    const entry = this.#memory.read(table, at);
    if (isPointer(entry)) return frameOf(entry);
    const made = this.#memory.take();
    if (made !== NO_FRAME) this.#memory.write(table, at, pointerWords(made));
    return made;
  }

  #visit(start: Vpn, end: Vpn, visitor: Visitor): void {
    requireRange(start, end);
    this.#visitTable(this.root, ROOT_LEVEL, start, end, visitor);
  }

  #visitTable(table: Pfn, level: Level, start: Vpn, end: Vpn, visitor: Visitor): void {
    const pages = PAGES_PER_ENTRY[level];
    for (let vpn = Math.floor(start / pages) * pages; vpn < end; vpn += pages) {
      const at = indexOf(vpn, level);
      const entry = this.#memory.read(table, at);
      if (stateOf(entry) === 0) continue;
      const isLeaf = level === 0 || !isPointer(entry);
      if (isLeaf && (visitor.split === null || (start <= vpn && vpn + pages <= end))) {
        visitor.leaf(table, at, vpn, entry, pages);
        continue;
      }
      if (isLeaf && visitor.split !== null) this.split(vpn, visitor.split);
      const below = frameOf(this.#memory.read(table, at));
      this.#visitTable(below, (level - 1) as Level, Math.max(start, vpn), Math.min(end, vpn + pages), visitor);
      if (visitor.prune === null || !this.#memory.isIdle(below)) continue;
      this.#memory.write(table, at, EMPTY);
      visitor.prune.tableFrame(below);
    }
  }

  #giveTables(table: Pfn, level: Level, plan: FlushSink): void {
    if (!this.#memory.leave(table)) return;
    for (let at = 0; level > 0 && at < ENTRIES; at++) {
      const entry = this.#memory.read(table, at);
      if (isPointer(entry)) this.#giveTables(frameOf(entry), (level - 1) as Level, plan);
      else if (stateOf(entry) !== 0) this.#memory.giveKept();
    }
    plan.tableFrame(table);
  }
}

/** Tells every page of a leaf. */
function tell(sink: EntrySink | null, vpn: Vpn, entry: EntryWords, pages: number): void {
  if (sink === null) return;
  const [pfn, state] = [frameOf(entry), stateOf(entry)];
  for (let at = 0; at < pages; at++) sink.entry(vpn + at, pfn + at, state);
}

function indexOf(vpn: Vpn, level: Level): number {
  return Math.floor(vpn / PAGES_PER_ENTRY[level]) & (ENTRIES - 1);
}

function requireRange(start: Vpn, end: Vpn): void {
  if (start < -SV39_USER_PAGES || end > SV39_USER_PAGES)
    throw new RangeError(`Sv39 translates pages −2^26 … 2^26 − 1, not ${start} … ${end - 1}`);
}
