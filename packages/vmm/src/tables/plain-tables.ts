/**
 * Translations in plain memory, for spaces that no processor walks: `SpaceMemory` reads them, tests act as the processor through {@link PlainTables.use}.
 *
 * ```
 *  floor(vpn / 512) → table { frames: 512 numbers, states: 512 words }
 * ```
 * Tables take no frames. They can be moved and shared whole, so users of {@link TableStructure} work without a machine too.
 */
import { VmmError } from "../errors.ts";
import type { EntrySink, FlushSink, TableStructure, TranslationSystem, TranslationTables } from "../ports.ts";
import { ACCESSED, DIRTY, PRESENT } from "../rights.ts";
import { NO_FRAME, TABLE_PAGES, type Pfn, type Vpn } from "../units.ts";

const STATE_MASK: number = ACCESSED | DIRTY;

/** The translations under one table. */
class PlainTable {
  readonly frames: Float64Array = new Float64Array(TABLE_PAGES).fill(NO_FRAME);
  /** Attributes and state; 0 where absent. */
  readonly states: Uint16Array = new Uint16Array(TABLE_PAGES);
  /** Present entries. */
  used = 0;
}

/** The translations of one space. */
export class PlainTables implements TranslationTables {
  /** A number that tells this space's tables from others'. */
  readonly root: number;
  /** See {@link TranslationTables.frame}. */
  frame: Pfn = NO_FRAME;
  readonly #tables: Map<number, PlainTable> = new Map();
  #lastNumber = NaN;
  #last: PlainTable | null = null;

  /** Empty tables. */
  constructor(root: number) {
    this.root = root;
  }

  /** See {@link TranslationTables.map}. */
  map(vpn: Vpn, pfn: Pfn, attributes: number, plan: FlushSink): boolean {
    const table = this.#make(Math.floor(vpn / TABLE_PAGES));
    const at = vpn & (TABLE_PAGES - 1);
    if (table.states[at] !== 0) plan.invalidate(vpn);
    else table.used++;
    table.frames[at] = pfn;
    table.states[at] = attributes + PRESENT;
    return true;
  }

  /** See {@link TranslationTables.unmap}. */
  unmap(start: Vpn, end: Vpn, plan: FlushSink, sink: EntrySink | null): void {
    this.#visit(start, end, (table, at, vpn) => {
      const pfn = table.frames[at]!;
      const state = table.states[at]!;
      table.states[at] = 0;
      table.frames[at] = NO_FRAME;
      table.used--;
      plan.invalidate(vpn);
      if (sink !== null) sink.entry(vpn, pfn, state);
    });
  }

  /** See {@link TranslationTables.protect}. */
  protect(start: Vpn, end: Vpn, attributes: number, plan: FlushSink): void {
    this.#visit(start, end, (table, at, vpn) => {
      const before = table.states[at]!;
      const after = (before & STATE_MASK) + attributes + PRESENT;
      if (after === before) return;
      table.states[at] = after;
      plan.invalidate(vpn);
    });
  }

  /** See {@link TranslationTables.query}. */
  query(vpn: Vpn): number {
    const table = this.#find(Math.floor(vpn / TABLE_PAGES));
    if (table === null) return 0;
    const at = vpn & (TABLE_PAGES - 1);
    const state = table.states[at]!;
    if (state !== 0) this.frame = table.frames[at]!;
    return state;
  }

  /** See {@link TranslationTables.harvest}. */
  harvest(start: Vpn, end: Vpn, bits: number, plan: FlushSink, sink: EntrySink): void {
    this.#visit(start, end, (table, at, vpn) => {
      const state = table.states[at]!;
      if ((state & bits) === 0) return;
      table.states[at] = state & ~bits;
      if ((state & bits & DIRTY) !== 0) plan.invalidate(vpn);
      sink.entry(vpn, table.frames[at]!, state);
    });
  }

  /** See {@link TranslationTables.destroy}. */
  destroy(plan: FlushSink): void {
    this.#tables.clear();
    this.#forget();
    plan.invalidateSpace();
  }

  /** What a processor's use does to a translation: sets ACCESSED and, for a store, DIRTY. */
  use(vpn: Vpn, bits: number): void {
    const table = this.#find(Math.floor(vpn / TABLE_PAGES));
    const at = vpn & (TABLE_PAGES - 1);
    if (table === null || table.states[at] === 0)
      throw new VmmError("bad-argument", "A page that has no translation was used.", { vpn });
    table.states[at] = table.states[at]! | (bits & STATE_MASK);
  }

  /** Takes the table of a table-aligned page out, whole; null if there is none. */
  detach(start: Vpn): PlainTable | null {
    const number = Math.floor(start / TABLE_PAGES);
    const table = this.#tables.get(number) ?? null;
    this.#tables.delete(number);
    this.#forget();
    return table;
  }

  /** Puts a whole table at a table-aligned page. */
  attach(start: Vpn, table: PlainTable): void {
    this.#tables.set(Math.floor(start / TABLE_PAGES), table);
    this.#forget();
  }

  /** The table of a table-aligned page, made if there is none. */
  tableAt(start: Vpn): PlainTable {
    return this.#make(Math.floor(start / TABLE_PAGES));
  }

  /** Walks everything; throws with the sentence of the broken invariant. */
  check(): void {
    for (const [number, table] of this.#tables) {
      let used = 0;
      for (const state of table.states) if (state !== 0) used++;
      if (used !== table.used)
        throw new VmmError("invariant", "A table's count of translations is wrong.", { number, used });
    }
  }

  #forget(): void {
    this.#last = null;
    this.#lastNumber = NaN;
  }

  #find(number: number): PlainTable | null {
    if (number === this.#lastNumber) return this.#last;
    const table = this.#tables.get(number) ?? null;
    if (table === null) return null;
    this.#lastNumber = number;
    this.#last = table;
    return table;
  }

  #make(number: number): PlainTable {
    const known = this.#find(number);
    if (known !== null) return known;
    const made = new PlainTable();
    this.#tables.set(number, made);
    this.#lastNumber = number;
    this.#last = made;
    return made;
  }

  #visit(start: Vpn, end: Vpn, change: (table: PlainTable, at: number, vpn: Vpn) => void): void {
    const first = Math.floor(start / TABLE_PAGES);
    const last = Math.floor((end - 1) / TABLE_PAGES);
    if (last - first < this.#tables.size) {
      for (let number = first; number <= last; number++) this.#visitTable(number, start, end, change);
      return;
    }
    const numbers = [...this.#tables.keys()]
      .filter((number) => number >= first && number <= last)
      .sort((a, b) => a - b);
    for (const number of numbers) this.#visitTable(number, start, end, change);
  }

  #visitTable(number: number, start: Vpn, end: Vpn, change: (table: PlainTable, at: number, vpn: Vpn) => void): void {
    const table = this.#find(number);
    if (table === null || table.used === 0) return;
    const base = number * TABLE_PAGES;
    const from = Math.max(0, start - base);
    const to = Math.min(TABLE_PAGES, end - base);
    for (let at = from; at < to; at++) if (table.states[at] !== 0) change(table, at, base + at);
  }
}

/** Makes {@link PlainTables}. Its spaces have no kernel half of their own; {@link kernel} is one more set of tables. */
export class PlainTranslationSystem implements TranslationSystem, TableStructure {
  /** Tables of kernel ranges. */
  readonly kernel: PlainTables = new PlainTables(0);
  /** The system itself: plain tables can be moved and shared. */
  readonly structure: TableStructure = this;
  #roots = 0;

  /** See {@link TranslationSystem.create}. Never null. */
  create(): PlainTables {
    return new PlainTables(++this.#roots);
  }

  /** See {@link TableStructure.moveTables}. */
  moveTables(
    from: PlainTables,
    fromStart: Vpn,
    to: PlainTables,
    toStart: Vpn,
    pages: number,
    plan: FlushSink,
  ): boolean {
    for (let at = 0; at < pages; at += TABLE_PAGES) {
      const table = from.detach(fromStart + at);
      if (table !== null) to.attach(toStart + at, table);
    }
    plan.invalidateSpace();
    return true;
  }

  /** See {@link TableStructure.shareTables}. Never false. */
  shareTables(
    from: PlainTables,
    fromStart: Vpn,
    to: PlainTables,
    toStart: Vpn,
    pages: number,
    _plan: FlushSink,
  ): boolean {
    for (let at = 0; at < pages; at += TABLE_PAGES) to.attach(toStart + at, from.tableAt(fromStart + at));
    return true;
  }

  /** See {@link TableStructure.detachTables}. */
  detachTables(from: PlainTables, start: Vpn, pages: number, plan: FlushSink): void {
    for (let at = 0; at < pages; at += TABLE_PAGES) from.detach(start + at);
    plan.invalidateSpace();
  }

  /** See {@link TableStructure.merge}: plain tables have one page size. */
  merge(_tables: PlainTables, _start: Vpn, _plan: FlushSink): boolean {
    return false;
  }

  /** See {@link TableStructure.split}: nothing is ever merged here. */
  split(_tables: PlainTables, _start: Vpn, _plan: FlushSink): boolean {
    return true;
  }
}
